//! The listing. That it says of every instruction what another reader says is `tests/tests/disassembly.rs`.

use std::path::Path;

use auditor::filter::{Instruction, Program};

use super::arbitrary::stmt;
use super::cases::read;

fn assert_recorded(name: &str, output: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("AUDITOR_RECORD").is_some() {
        std::fs::write(&path, output).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(output == recorded, "{name} is out of date: AUDITOR_RECORD=1 cargo test writes it anew");
}

#[test]
fn a_real_filter_is_listed() {
    assert_recorded("filter-suggestion.txt", &read("filters/suggestion.bpf").disassemble());
}

#[test]
fn every_kind_of_instruction_is_listed() {
    let jump = |code, k, jt, jf| Instruction { code, jt, jf, k };
    let mut all = vec![stmt(0x20, 4), jump(0x15, 0xc000_003e, 0, 1), stmt(0x05, 1), stmt(0x06, 0), stmt(0x20, 0)];
    all.extend([jump(0x15, 56, 0, 1), jump(0x15, 0x4000_0000 | 520, 1, 2), jump(0x35, 0x4000_0000, 3, 0)]);
    all.extend([jump(0x45, 0x4000_0000, 0, 2), stmt(0x20, 8), stmt(0x20, 12), stmt(0x20, 16), stmt(0x54, 0x7e02_0000)]);
    all.extend([
        jump(0x15, 0, 1, 0),
        stmt(0x06, 0x0005_0001),
        stmt(0x20, 60),
        jump(0x25, 9, 0, 1),
        jump(0x3d, 0, 1, 1),
    ]);
    all.extend([0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0xa4].map(|code| stmt(code, 5)));
    all.extend([0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c, 0x7c, 0xac].map(|code| stmt(code, 0)));
    all.extend([(0x00, 1), (0x01, 0x2000), (0x02, 3), (0x03, 4), (0x60, 3), (0x61, 4)].map(|(code, k)| stmt(code, k)));
    all.extend([0x07, 0x87, 0x84, 0x80, 0x81].map(|code| stmt(code, 0)));
    all.extend([jump(0x45, 6, 0, 9), jump(0x1d, 0, 9, 0), jump(0x2d, 0, 0, 8), jump(0x4d, 0, 1, 8)]);
    let values =
        [0x7fff_0000, 0x7ffc_0000, 0x7ff0_0005, 0x7fc0_0000, 0x0005_0000, 0x0003_0007, 0, 0x8000_0000, 0x4_0000];
    all.extend(values.map(|value| stmt(0x06, value)));
    all.push(stmt(0x16, 0));
    assert_recorded("filter-instructions.txt", &Program::new(all).unwrap().disassemble());
}
