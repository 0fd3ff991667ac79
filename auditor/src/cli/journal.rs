//! Where the log goes: standard error, and for the journal each line with its priority before it (sd-daemon(3)).

use std::io::{self, Write};

use nix::sys::stat::fstat;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Standard error.
#[derive(Debug, Clone, Copy)]
pub struct Stderr {
    is_journal: bool,
}

/// One line of it.
#[derive(Debug)]
pub struct Line {
    prefix: &'static str,
}

impl Stderr {
    /// Finds out whether it is the journal: systemd says which file that would be (`JOURNAL_STREAM` in systemd.exec(5)).
    #[must_use]
    pub fn find() -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let own = fstat(io::stderr()).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        Self { is_journal: own.is_some() && own == journal }
    }

    /// Whether it is the journal, which notes the time itself.
    #[must_use]
    pub const fn is_journal(&self) -> bool {
        self.is_journal
    }

    /// A line for this level.
    #[must_use]
    pub fn line(&self, level: Level) -> Line {
        let prefix = match level {
            _ if !self.is_journal => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        };
        Line { prefix }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        stderr.write_all(std::mem::take(&mut self.prefix).as_bytes())?;
        stderr.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        self.line(Level::INFO)
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line {
        self.line(*of.level())
    }
}
