//! A systemd unit: its cgroup, by name, from one start to the next.
//!
//! systemd makes a unit's cgroup before it starts a process in it, and removes it when the last one has ended; with the
//! next start comes a new one. Where a directory appears, the kernel tells (inotify(7)), and the cgroup is followed
//! before the process is there: if it is found empty after that, nothing was missed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::command::Signals;
use super::{About, Counted, Recording, RecordingError};
use crate::cgroupfs::{Root, directories_named, processes_of};
use crate::evidence::Start;
use crate::kernel::Comers;
use crate::procfs::{self, SeccompMode};

/// How often the counters are read.
const TICK: Duration = Duration::from_secs(1);

/// Where units are that nothing else is said of.
const USUAL_SLICE: &str = "system.slice";

/// A unit, by where its cgroup is or is going to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// With its ending.
    pub name: String,
    /// Its cgroup's directory.
    pub directory: PathBuf,
}

/// Why it is not known which cgroup is meant.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A name that no unit has.
    #[error("{0:?} is no unit's name; give a name as nginx or nginx.service, or the cgroup's path from the root")]
    NoName(String),
    /// More than one cgroup is called so.
    #[error("more than one unit is called {name}; give one of {}", .paths.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// From the root of the hierarchy.
        paths: Vec<String>,
    },
    /// Nobody makes units here.
    #[error("no unit {name} runs, and there is no {}, so that none is going to; is systemd running here, and is \
             this the host's cgroup2 mount (--cgroup-root)?", .slice.display())]
    NoSystemd {
        /// The unit.
        name: String,
        /// Where it would be.
        slice: PathBuf,
    },
}

impl Unit {
    /// Finds a unit by its name, or by its cgroup's path from the root of the hierarchy. One that does not run now is
    /// expected in the slice that units are in by default.
    ///
    /// # Errors
    /// No unit is called so, or more than one.
    pub fn find(root: &Root, text: &str) -> Result<Self, UnitError> {
        let path = text.trim_matches('/');
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.is_empty() || path.split('/').any(|part| part == ".." || part == ".") {
            return Err(UnitError::NoName(text.to_owned()));
        }
        let name = with_type(name);
        if let Some((around, _)) = path.rsplit_once('/') {
            return Self::of(root.path().join(around), name);
        }
        let mut found = directories_named(root, &name);
        if found.len() > 1 {
            return Err(UnitError::Ambiguous { name, paths: found });
        }
        match found.pop() {
            Some(path) => Ok(Self { name, directory: root.path().join(path.trim_start_matches('/')) }),
            None => Self::of(root.path().join(usual_slice(&name)), name),
        }
    }

    /// Who comes into its cgroup. A scope's processes have executed their programs before it is made; a slice has other
    /// units in it, and those may be scopes.
    fn comers(&self) -> Comers {
        let is_set_up = !self.name.ends_with(".scope") && !self.name.ends_with(".slice");
        if is_set_up { Comers::Services } else { Comers::Programs }
    }

    fn of(slice: PathBuf, name: String) -> Result<Self, UnitError> {
        // An instance's own slice goes with the last of them, and comes with the next: the one around it stays.
        let there =
            slice.is_dir() || slice.parent().is_some_and(|around| around.ends_with(USUAL_SLICE) && around.is_dir());
        if there { Ok(Self { directory: slice.join(&name), name }) } else { Err(UnitError::NoSystemd { name, slice }) }
    }
}

/// The types of units that have cgroups (systemd.resource-control(5)).
const TYPES: [&str; 6] = ["service", "socket", "mount", "swap", "slice", "scope"];

/// A unit's whole name; where no type is said, it is a service. A dot alone says none: `php8.2-fpm`.
fn with_type(name: &str) -> String {
    let has_type = name.rsplit_once('.').is_some_and(|(_, last)| TYPES.contains(&last));
    if has_type { name.to_owned() } else { format!("{name}.service") }
}

/// `system.slice`, and for `name@instance.service` the slice of all instances in it (systemd.resource-control(5)).
fn usual_slice(name: &str) -> PathBuf {
    let slice = PathBuf::from(USUAL_SLICE);
    match name.split_once('@') {
        // systemd escapes a dash in the name, which would be a level of slices.
        Some((template, _)) => slice.join(format!("system-{}.slice", template.replace('-', "\\x2d"))),
        None => slice,
    }
}

/// Counts a unit, start by start, until somebody has enough of it or the time is over. `tell` is told what happens.
///
/// # Errors
/// The host cannot be audited.
pub fn watch(
    unit: &Unit,
    window: Option<Duration>,
    signals: &Signals,
    tell: impl Fn(&str),
) -> Result<Vec<Start>, RecordingError> {
    let recording = Recording::ready(unit.comers())?;
    let mut watching = Watching { unit, recording, starts: Vec::new(), confined: None };
    let appearing = Appearing::new(&unit.directory)?;
    let name = &unit.name;
    watching.follow()?;
    if watching.recording.counted().is_none() {
        tell(&format!("{name} does not run; its next start is waited for"));
    } else {
        tell(&format!("{name} runs and is counted from now on; systemctl restart {name} for a whole start"));
    }
    let began = Instant::now();
    let mut looked = began;
    loop {
        let patience = TICK.saturating_sub(looked.elapsed());
        let patience = window.map_or(patience, |window| patience.min(window.saturating_sub(began.elapsed())));
        if signals.wait_beside(&appearing.inotify, patience)? {
            break;
        }
        if appearing.happened()? {
            watching.follow()?;
        }
        if window.is_some_and(|window| began.elapsed() >= window) {
            break;
        }
        if looked.elapsed() >= TICK {
            watching.look()?;
            looked = Instant::now();
        }
    }
    watching.look()?;
    let last = watching.recording.counted().cloned();
    if let Some(last) = last {
        watching.keep(&last)?;
    }
    Ok(watching.starts)
}

struct Watching<'a> {
    unit: &'a Unit,
    recording: Recording,
    starts: Vec<Start>,
    /// Whether the processes that were seen last have a filter.
    confined: Option<bool>,
}

impl Watching<'_> {
    /// Goes over to the unit's cgroup, if it is another one than before.
    fn follow(&mut self) -> Result<(), RecordingError> {
        match self.recording.follow(&self.unit.directory) {
            Ok(before) => before.map_or(Ok(()), |before| self.keep(&before)),
            // It does not run, or no longer.
            Err(RecordingError::NoCgroup { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn look(&mut self) -> Result<(), RecordingError> {
        self.recording.look()?;
        // Also where the kernel told of nothing: the slice itself may be a new one.
        self.follow()?;
        let modes = processes_of(&self.unit.directory).into_iter().filter_map(|pid| procfs::seccomp_status(pid).ok());
        let filtered: Vec<bool> = modes.map(|status| status.mode == SeccompMode::Filter).collect();
        if !filtered.is_empty() {
            // Programs put themselves under filters; the unit's own is that of all.
            self.confined = Some(filtered.iter().all(|filtered| *filtered));
        }
        Ok(())
    }

    fn keep(&mut self, counted: &Counted) -> Result<(), RecordingError> {
        // Ended before anybody looked: with a filter of the unit's something would have been called under it.
        let any_filtered =
            counted.counters().tallies.values().any(|tally| tally.calls > 0 || tally.denials.certain() > 0);
        let confined = Some(self.confined.take().unwrap_or(any_filtered));
        let about = About { name: Some(self.unit.name.clone()), confined, ..About::default() };
        self.starts.push(counted.start(about)?);
        Ok(())
    }
}

/// Says when the unit's directory may have appeared.
struct Appearing<'a> {
    inotify: Inotify,
    directory: &'a Path,
}

impl<'a> Appearing<'a> {
    fn new(directory: &'a Path) -> Result<Self, RecordingError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(watching_failed)?;
        let appearing = Self { inotify, directory };
        appearing.watch()?;
        Ok(appearing)
    }

    /// Watches the slice, and the one around it: that of a template's instances comes and goes.
    fn watch(&self) -> Result<(), RecordingError> {
        for around in self.directory.ancestors().skip(1).take(2) {
            match self.inotify.add_watch(around, AddWatchFlags::IN_CREATE) {
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(watching_failed(errno)),
            }
        }
        Ok(())
    }

    /// Whether anything appeared since it was asked last.
    fn happened(&self) -> Result<bool, RecordingError> {
        let mut any = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => any |= !events.is_empty(),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(watching_failed(errno)),
            }
        }
        if any {
            self.watch()?;
        }
        Ok(any)
    }
}

fn watching_failed(errno: Errno) -> RecordingError {
    RecordingError::System { doing: "watching for the unit's cgroup", source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_in_a_name_is_no_type() {
        for (typed, name) in [
            ("nginx", "nginx.service"),
            ("nginx.service", "nginx.service"),
            ("php8.2-fpm", "php8.2-fpm.service"),
            ("php8.2-fpm.service", "php8.2-fpm.service"),
            ("postgresql@15.main", "postgresql@15.main.service"),
            ("x.socket", "x.socket"),
            ("a-b.slice", "a-b.slice"),
            ("session-1.scope", "session-1.scope"),
        ] {
            assert_eq!(with_type(typed), name);
        }
    }

    #[test]
    fn instances_are_in_a_slice_of_their_own() {
        assert_eq!(usual_slice("nginx.service"), Path::new("system.slice"));
        assert_eq!(usual_slice("getty@tty1.service"), Path::new("system.slice/system-getty.slice"));
        assert_eq!(usual_slice("a-b@1.service"), Path::new("system.slice/system-a\\x2db.slice"));
    }
}
