//! `auditor profile check` against the real programs: every row is a profile that is given to runc, or to Docker, and to
//! the command. What is refused there is an error here, with the same reason; what is passed over there is a warning
//! here, and a row whose effect can be seen shows that it was. A row that disagrees fails.

mod docker;
mod oci;
mod row;
mod start;
