//! An engine with images and a daemon that watches it, shared by the tests of one file.

use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::auditord::Auditor;
use crate::engine::{CgroupMode, Engine};
use crate::image;
use crate::process::wait_for;

/// An engine, and the daemon that watches it. Lives as long as the test's process; the wardens see its end.
#[derive(Debug)]
pub struct Stage {
    /// The engine; it has [`image::BUSYBOX`].
    pub engine: Engine,
    /// The daemon, started before any container.
    pub auditor: Auditor,
}

impl Stage {
    /// A stage of one's own.
    pub fn new(mode: CgroupMode) -> Result<Self> {
        Self::of(Engine::start(mode)?)
    }

    /// The same with an engine of one's own.
    pub fn of(engine: Engine) -> Result<Self> {
        image::import_busybox(&engine)?;
        let auditor = Auditor::start(&engine.host(), &[])?;
        Ok(Self { engine, auditor })
    }

    /// The stage that the tests of this process share.
    pub fn shared(mode: CgroupMode) -> Result<&'static Self> {
        static STAGES: [OnceLock<Stage>; 2] = [const { OnceLock::new() }; 2];
        static BUILDING: Mutex<()> = Mutex::new(());
        let _building = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let place = &STAGES[usize::from(mode == CgroupMode::Hybrid)];
        if let Some(stage) = place.get() {
            return Ok(stage);
        }
        let stage = Self::new(mode).with_context(|| format!("setting the stage ({mode:?})"))?;
        Ok(place.get_or_init(|| stage))
    }

    /// Runs groundtruth to its end in a container of this name and gives what it wrote.
    pub fn groundtruth(&self, name: &str, options: &[&str], args: &[&str]) -> Result<String> {
        let mut line = vec!["run", "--name", name];
        line.extend(options);
        line.extend([image::BUSYBOX, "/groundtruth"]);
        line.extend(args);
        self.engine.client(line)
    }

    /// The same, begun when the daemon has read the container's profile: calls that it logs are told of from then on.
    pub fn groundtruth_once_known(&self, name: &str, options: &[&str], args: &[&str]) -> Result<()> {
        const SCRIPT: &str = "while [ ! -e /go ]; do /bin/busybox usleep 20000; done; exec /groundtruth \"$@\"";
        let mut line = vec!["run", "--detach", "--name", name];
        line.extend(options);
        line.extend([image::BUSYBOX, "/bin/sh", "-c", SCRIPT, "sh"]);
        line.extend(args);
        self.engine.client(line)?;
        wait_for("the container's profile", Duration::from_secs(60), || {
            Ok((self.auditor.show(name)?["profile"]["source"] == "bundle").then_some(()))
        })?;
        let pid = self.engine.client(["inspect", "--format", "{{.State.Pid}}", name])?;
        let root = Path::new("/proc").join(pid.trim()).join("root");
        std::fs::write(root.join("go"), "").context("letting the container go on")?;
        let code = self.engine.client(["wait", name])?;
        ensure!(code.trim() == "0", "{name} ended with {code}");
        Ok(())
    }
}

/// Makes tests of functions that take a [`Stage`]: each on both layouts of control groups.
#[macro_export]
macro_rules! on_both {
    ($($test:ident)*) => {
        mod unified {
            $(#[test] fn $test() -> anyhow::Result<()> {
                super::$test($crate::stage::Stage::shared($crate::engine::CgroupMode::Unified)?)
            })*
        }
        mod hybrid {
            $(#[test] fn $test() -> anyhow::Result<()> {
                super::$test($crate::stage::Stage::shared($crate::engine::CgroupMode::Hybrid)?)
            })*
        }
    };
}
