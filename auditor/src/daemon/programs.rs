//! The kernel half in the daemon's hands: where it is pinned, what it replaces, whether it runs, and with which privileges.

use std::path::Path;

use tracing::{error, info, warn};

use super::DaemonError;
use super::keeping::Keeping;
use super::ledger::Ledger;
use super::run::Now;
use crate::config::{Config, Place};
use crate::kernel::{FilterScope, Kernel, Pins, PinsError, Replaced, SlotNr};
use crate::privilege;

/// The directory of pins that the configuration wants, locked.
pub fn pins(wanted: &Place) -> Result<Option<Pins>, PinsError> {
    match wanted {
        Place::Given(directory) => Pins::take(directory).map(Some),
        Place::None => Ok(None),
        Place::Default => match Pins::take(Path::new(Config::DEFAULT_BPFFS)) {
            Ok(pins) => Ok(Some(pins)),
            Err(error @ (PinsError::InUse { .. } | PinsError::NotOurs(..))) => Err(error),
            Err(error) => {
                warn!("counting ends with this daemon: {error}");
                Ok(None)
            }
        },
    }
}

/// Takes in what older programs had counted when they were detached.
pub fn take_replaced(ledger: &mut Ledger, old: &Replaced) -> Result<(), DaemonError> {
    let Some(counted) = old.counted() else {
        warn!(
            pins = old.name(),
            "what other programs counted cannot be read by this version, and is given up: containers that run are not complete"
        );
        return Ok(());
    };
    let starts = ledger.take_replaced(counted, Now::read())?;
    info!(starts, pins = old.name(), "replaced the programs of an earlier daemon; what they counted is kept");
    Ok(())
}

/// Pinned sets of older programs, until what they hold is kept.
pub struct Leaving {
    sets: Vec<Replaced>,
    /// The batch that has what they hold.
    number: u64,
}

impl Leaving {
    /// What these sets hold is in the batch of this number.
    pub const fn of(sets: Vec<Replaced>, number: u64) -> Self {
        Self { sets, number }
    }

    /// Removes them, if that batch is on the disk.
    pub fn remove_kept(&mut self, keeping: &Keeping) {
        if self.sets.is_empty() || !keeping.has_on_disk(self.number) {
            return;
        }
        for old in self.sets.drain(..) {
            let name = old.name();
            if let Err(error) = old.remove() {
                warn!(%error, pins = name, "pins of an earlier daemon stay; auditor doctor --clean removes them");
            }
        }
    }
}

/// Whether the programs run, and are pinned.
#[derive(Debug, Default)]
pub struct Pinning {
    trouble: Option<String>,
}

impl Pinning {
    /// Looks.
    ///
    /// # Errors
    /// When the programs do not run any more.
    pub fn check(&mut self, kernel: &mut Kernel) -> Result<(), DaemonError> {
        if !kernel.is_counting()? {
            return Err(DaemonError::NotCounting);
        }
        let before = self.trouble.take();
        match kernel.mend_pins() {
            Ok(0) => {}
            Ok(gone) => warn!(gone, "pins of the programs were removed by somebody; they are there again"),
            Err(error) => {
                // One line for a cause, however often it is tried.
                if before.is_none() {
                    error!(%error, "the programs cannot be pinned: counting ends with this daemon");
                }
                self.trouble = Some(error.to_string());
            }
        }
        Ok(())
    }

    /// Why they are not pinned.
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .as_ref()
            .map(|why| format!("the programs are not pinned, and counting ends with the daemon: {why}"))
    }
}

/// Gives up what counting does not need, tried with what the daemon asks of the kernel half from here on.
pub fn give_up_privileges(kernel: &mut Kernel) {
    let ask =
        |kernel: &mut Kernel| (kernel.losses().is_ok(), kernel.read_filters(FilterScope::Slot(SlotNr(0))).is_ok());
    let now = ask(kernel);
    if let Err(error) = privilege::give_up(|| ask(kernel) == now) {
        warn!(%error, "privileges that are not needed cannot be given up");
    }
    match privilege::held() {
        Ok(held) => info!(capabilities = held.join(" "), "privileges that are left"),
        Err(error) => warn!(%error, "privileges that are left are not known"),
    }
}
