//! The kernel's filters: reading, running, and what analysis says of all arguments at once.

mod arbitrary;
mod cases;
mod disassemble;
mod laws;
mod refused;
