//! A container that does known work each time it is told to, without the engine's help.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::auditord::Auditor;
use tests::engine::Engine;
use tests::groundtruth::Key;
use tests::image::BUSYBOX;
use tests::process::wait_for;

/// Calls of one round: `getsid`, which nothing else makes.
pub const CALLS: u64 = 100;

const SCRIPT: &str = "for n in 1 2 3 4 5 6; do while [ ! -e /go$n ]; do usleep 20000; done; \
                      /groundtruth work '124*100' >/out$n && touch /done$n; done; sleep 1000";

/// The container.
#[derive(Debug)]
pub struct Rounds {
    /// Its name.
    pub name: String,
    root: PathBuf,
    told: u32,
}

impl Rounds {
    /// Starts it.
    pub fn start(engine: &Engine, name: &str, options: &[&str]) -> Result<Self> {
        let mut line = vec!["run", "--detach", "--name", name];
        line.extend(options);
        line.extend([BUSYBOX, "/bin/sh", "-c", SCRIPT]);
        engine.client(line)?;
        let mut rounds = Self { name: name.to_owned(), root: PathBuf::new(), told: 0 };
        rounds.find(engine)?;
        Ok(rounds)
    }

    /// Its process is another one.
    pub fn find(&mut self, engine: &Engine) -> Result<u32> {
        let pid = engine.inspect(&self.name)?["State"]["Pid"].as_u64().context("no process")?;
        self.root = PathBuf::from(format!("/proc/{pid}/root"));
        Ok(u32::try_from(pid)?)
    }

    /// Has the next round done.
    pub fn next(&mut self) -> Result<()> {
        self.told += 1;
        fs::write(self.root.join(format!("go{}", self.told)), "").context("telling a container to go on")?;
        let done = self.root.join(format!("done{}", self.told));
        wait_for("a round of work", Duration::from_secs(20), || Ok(done.exists().then_some(())))
    }
}

/// How many of the rounds' calls were counted.
pub fn counted(auditor: &Auditor, name: &str) -> Result<u64> {
    let key: Key = ("x86_64".to_owned(), 124);
    Ok(auditor.rows(name)?.get(&key).map_or(0, |row| row.calls + row.unfiltered))
}
