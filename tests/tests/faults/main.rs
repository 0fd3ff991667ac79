//! What can go wrong, made to happen: `tests/faults.toml` has the rows, `docs/faults.md` what came of them. Needs root and
//! a kernel that takes the programs; fails without.

mod brief;
mod calls;
mod clock;
mod crowd;
mod end;
mod engine;
mod host;
mod hostile;
mod names;
mod nesting;
mod numbers;
mod profiles;
mod reuse;
mod rounds;
mod state;
