//! The fuzzer's program: one target, named by `AUDITOR_FUZZ_TARGET`, and libFuzzer's own arguments.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("AUDITOR_FUZZ_TARGET").expect("AUDITOR_FUZZ_TARGET names a target");
        let target = Target::named(&name).expect("a target of this name");
        if target.catches_panics() {
            // libFuzzer's hook ends the process at every panic; without it, at those that nobody caught.
            std::panic::set_hook(Box::new(|_| ()));
        }
        target
    });
    (target.run)(bytes);
});
