//! Words: what people type, and what strangers call their things.

use auditor::container::ContainerId;
use auditor::denial::argument::{decode, inner_call};
use auditor::profile::check::RuncVersion;
use auditor::profile::docker::KernelVersion;
use auditor::profile::{Runtime, object_name};
use auditor::report::escape::{capped, printable};
use auditor::suggest::Allowance;
use auditor::syscall::{Abi, SyscallNr, display_name, is_known};

pub(super) fn run(bytes: &[u8]) {
    arguments(bytes);
    let text = String::from_utf8_lossy(bytes);
    let shown = printable(&text);
    assert!(shown.chars().all(|character| !character.is_control()), "{shown:?}");
    // What was made printable stays as it is.
    assert_eq!(printable(&shown), shown);
    for width in [1, 12, 48] {
        let cut = capped(&text, width);
        assert!(cut.chars().count() <= width && cut.chars().all(|character| !character.is_control()), "{cut:?}");
    }
    if let Ok(id) = ContainerId::parse(&text) {
        assert_eq!(id.to_string(), text);
    }
    // To look for names that are like a wrong one takes as long as all the rest: that is done for one length.
    let is_like_a_call = text.split('@').next().is_some_and(is_known) || bytes.len() == 8;
    if is_like_a_call && let Ok(allowance) = Allowance::parse(&text) {
        assert!(is_known(&allowance.name), "{allowance:?}");
    }
    let name = object_name(&text);
    assert!(
        name.len() <= 253 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    );
    let _ = (KernelVersion::parse_release(&text), RuncVersion::parse(&text), Runtime::of(&text));
}

fn arguments(bytes: &[u8]) {
    let Some(([abi, nr @ ..], rest)) = bytes.split_first_chunk::<5>() else { return };
    let (abi, nr) = (Abi::ALL[usize::from(*abi) % Abi::ALL.len()], i32::from_ne_bytes(*nr));
    // Every other time a number that there may be.
    let nr = SyscallNr(if bytes.len().is_multiple_of(2) { nr } else { nr & 0x1ff });
    let mut args = [0; 6];
    for (argument, word) in args.iter_mut().zip(rest.chunks_exact(8)) {
        *argument = u64::from_ne_bytes(word.try_into().unwrap());
    }
    let words = decode(abi, nr, &args);
    assert!(words.len() <= 6);
    for word in &words {
        assert!(word.text.len() < 4096 && word.text.chars().all(|c| !c.is_control()), "{word:?}");
    }
    let _ = (inner_call(abi, nr, &args), display_name(abi, nr));
}
