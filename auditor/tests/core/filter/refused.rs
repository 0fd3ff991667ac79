//! What the kernel refuses is no filter.

use auditor::filter::{Fault, Instruction, Program, ProgramError};

use super::arbitrary::stmt;

const END: Instruction = stmt(0x06, 0x7fff_0000);

fn fault(instructions: &[Instruction]) -> Fault {
    match Program::new(instructions.to_vec()) {
        Err(ProgramError::Refused { fault, .. }) => fault,
        other => panic!("{instructions:?}: {other:?}"),
    }
}

#[test]
fn a_filter_is_whole_instructions_and_has_some() {
    assert_eq!(Program::parse(&[6, 0, 0]), Err(ProgramError::Length(3)));
    assert_eq!(Program::parse(&[]), Err(ProgramError::Count(0)));
    assert!(Program::new(vec![END; 4096]).is_ok());
    assert_eq!(Program::new(vec![END; 4097]), Err(ProgramError::Count(4097)));
}

#[test]
fn each_instruction_is_one_of_seccomps() {
    // BPF_MOD, a load of a byte, an ancillary load, an indirect one, and nonsense: socket filters may, seccomp may not.
    for code in [0x94, 0x9c, 0x30, 0x28, 0x40, 0xb1, 0xffff] {
        assert_eq!(fault(&[stmt(code, 0), END]), Fault::Operation(code));
    }
    assert_eq!(fault(&[stmt(0x20, 64), END]), Fault::Offset(64));
    assert_eq!(fault(&[stmt(0x20, 17), END]), Fault::Offset(17));
    assert_eq!(fault(&[stmt(0x34, 0), END]), Fault::Division);
    assert_eq!(fault(&[stmt(0x64, 32), END]), Fault::Shift(32));
    assert_eq!(fault(&[stmt(0x74, 33), END]), Fault::Shift(33));
    assert_eq!(fault(&[stmt(0x02, 16), END]), Fault::Cell(16));
}

#[test]
fn jumps_stay_inside() {
    assert_eq!(fault(&[stmt(0x05, 1), END]), Fault::Jump);
    assert_eq!(fault(&[stmt(0x05, u32::MAX), END]), Fault::Jump);
    assert_eq!(fault(&[Instruction { code: 0x15, jt: 0, jf: 1, k: 0 }, END]), Fault::Jump);
    assert_eq!(fault(&[Instruction { code: 0x15, jt: 1, jf: 0, k: 0 }, END]), Fault::Jump);
    assert!(Program::new(vec![stmt(0x05, 0), END]).is_ok());
    assert_eq!(fault(&[END, stmt(0x00, 0)]), Fault::End);
}

#[test]
fn scratch_memory_is_written_before_it_is_read() {
    assert_eq!(fault(&[stmt(0x60, 3), END]), Fault::Unwritten(3));
    assert!(Program::new(vec![stmt(0x02, 3), stmt(0x61, 3), END]).is_ok());
    // Written on one of two ways.
    let one_way = [Instruction { code: 0x15, jt: 0, jf: 1, k: 0 }, stmt(0x02, 3), stmt(0x60, 3), END];
    assert_eq!(fault(&one_way), Fault::Unwritten(3));
    // The kernel's check goes on behind a return, as if that were a way.
    let jump = Instruction { code: 0x15, jt: 1, jf: 0, k: 0 };
    let behind_return = [jump, END, stmt(0x60, 3), END];
    assert_eq!(fault(&behind_return), Fault::Unwritten(3));
}
