//! The `auditor` command and daemon.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use auditor::cli::Stderr;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = auditor::cli::parse();
    let stderr = Stderr::find();
    log_to(stderr, cli.log_level());
    match cli.run() {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            if !error.is_quiet() {
                // Nobody is left to tell when stderr is closed.
                let _ = writeln!(stderr.line(Level::ERROR), "auditor: {error}");
            }
            error.exit_code()
        }
    }
}

/// `AUDITOR_LOG` takes tracing's directives, for example `debug` or `auditor::docker=trace`.
fn log_to(stderr: Stderr, level: LevelFilter) {
    let filter = EnvFilter::builder().with_default_directive(level.into()).with_env_var("AUDITOR_LOG");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    if stderr.is_journal() {
        log.without_time().init();
    } else {
        log.init();
    }
}
