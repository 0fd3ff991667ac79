//! The two laws of a suggestion, checked by the evaluator over every ABI and every number that any table knows.

use super::SuggestError;
use super::argument::{is_within, passes_as_seen};
use super::shape::Seen;
use crate::evidence::Arguments;
use crate::profile::Policy;
use crate::syscall::{self, Abi, SyscallNr, display_name};

/// `arguments` are those that conditions were made from, what was seen and what the runtime asks for: of a call that has
/// them only these must pass.
pub(super) fn check(
    active: &Policy,
    small: &Policy,
    seen: &Seen,
    arguments: Option<(&Arguments, &Arguments)>,
) -> Result<(), SuggestError> {
    for abi in Abi::ALL {
        let mut known = syscall::all(abi).map(|(nr, _)| nr).chain([SyscallNr::OUTSIDE]);
        // Rules that are the same, or fewer of the same, need no look at arguments.
        let is_wider = |nr: &SyscallNr| !small.is_within(active, abi, *nr) && !is_within(small, active, abi, *nr);
        if let Some(nr) = known.find(is_wider) {
            return Err(SuggestError::Wider { abi, name: display_name(abi, nr).into_owned() });
        }
    }
    let passes = |call: (Abi, SyscallNr), arguments: Option<&Arguments>| {
        active.is_within(small, call.0, call.1)
            || is_within(active, small, call.0, call.1)
            || arguments.is_some_and(|arguments| passes_as_seen(active, small, call, arguments))
    };
    let (asked, given) = arguments.unzip();
    let seen = seen.calls.iter().find(|call| !passes(**call, asked));
    let given = || given.into_iter().flat_map(|given| given.calls.keys()).find(|call| !passes(**call, given));
    match seen.or_else(given) {
        Some(&(abi, nr)) => Err(SuggestError::Narrower { abi, name: display_name(abi, nr).into_owned() }),
        None => Ok(()),
    }
}
