//! The corpus: what suggestions do for real programs. `cargo xtask corpus` builds and starts it.

use std::process::ExitCode;

use tests::corpus::tour;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match tour::run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        // It has said why.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corpus: {error:#}");
            ExitCode::from(2)
        }
    }
}
