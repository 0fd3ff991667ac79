//! The two laws of a suggestion, checked by the evaluator over every ABI and every number that any table knows.

use super::SuggestError;
use super::shape::Seen;
use crate::profile::Policy;
use crate::syscall::{self, Abi, SyscallNr, display_name};

pub(super) fn check(active: &Policy, small: &Policy, seen: &Seen) -> Result<(), SuggestError> {
    for abi in Abi::ALL {
        let known = syscall::all(abi).map(|(nr, _)| nr);
        if let Some(nr) = known.chain([SyscallNr::OUTSIDE]).find(|nr| !small.is_within(active, abi, *nr)) {
            return Err(SuggestError::Wider { abi, name: display_name(abi, nr) });
        }
    }
    match seen.calls.iter().find(|(abi, nr)| !active.is_within(small, *abi, *nr)) {
        Some(&(abi, nr)) => Err(SuggestError::Narrower { abi, name: display_name(abi, nr) }),
        None => Ok(()),
    }
}
