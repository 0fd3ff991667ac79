//! What the kernel tells: the records of our programs, and its own BTF.

use auditor::denial::argument::decode;
use auditor::filter::Program;
use auditor::hostile::kernel as door;
use auditor::kernel::Chain;
use auditor::report::escape::printable;

pub(super) fn record(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    match choice % 4 {
        0 => {
            let _ = door::event(bytes);
        }
        1 => {
            if let Some(refusal) = door::refusal(bytes) {
                let words = decode(refusal.abi, refusal.nr, &refusal.args);
                assert!(words.len() <= 6 && printable(&refusal.comm).chars().all(|c| !c.is_control()));
            }
        }
        2 => {
            let reading = door::filters(bytes);
            for task in &reading.tasks {
                if let Chain::Known { filters, .. } = &task.chain {
                    assert!(filters.iter().all(|id| id.0 < reading.filters.len()));
                }
            }
            for filter in &reading.filters {
                let _ = filter.program.as_deref().map(Program::parse);
            }
        }
        _ => {
            for ((abi, nr), tally) in door::counters(bytes).tallies {
                let _ = (auditor::syscall::display_name(abi, nr), tally.denials.certain());
            }
        }
    }
}

pub(super) fn btf(bytes: &[u8]) {
    let _ = door::btf(bytes);
}
