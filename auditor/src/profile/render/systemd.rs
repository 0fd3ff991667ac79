//! A profile as settings of a systemd unit: `SystemCallFilter=` and what goes with it.
//!
//! systemd's filters have names and errnos and no conditions (`seccomp_load_syscall_filter_set_raw` in
//! `src/shared/seccomp-util.c`). What cannot be said is said wider, and told. Errnos of single calls come after a list
//! of allowed ones as `~name:ERRNO`, which systemd 247 and newer know, as they do `SystemCallLog=`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, Arch, HostArch, Policy, Profile, Verdict};
use super::format::Rendered;
use crate::filter::{Diagrams, Outcome};
use crate::syscall::{self, Abi, SyscallNr, errno, known_name};

/// Of a line with names, where it fits.
const WIDTH: usize = 110;

/// What happens to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Allowed {
        logged: bool,
    },
    /// Refused, with an errno or a signal.
    Refused(Option<u16>),
}

struct Unit<'a> {
    policy: &'a Policy,
    notes: Vec<String>,
}

pub(super) fn render(profile: &Profile, host: HostArch) -> Rendered {
    let policy = profile.evaluate(host);
    let mut unit = Unit { policy: &policy, notes: Vec::new() };
    let fates = unit.fates();
    let text = unit.text(profile, &fates, host.native);
    unit.tell_of_the_rest(profile);
    Rendered { text, notes: unit.notes }
}

impl Unit<'_> {
    /// What happens to every name that any ABI of the filter has.
    fn fates(&mut self) -> BTreeMap<&'static str, Fate> {
        let mut fates: BTreeMap<&'static str, Fate> = BTreeMap::new();
        let (mut conditional, mut logged, mut asked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (abi, nr, name) in
            self.policy.abis().flat_map(|abi| syscall::all(abi).map(move |(nr, name)| (abi, nr, name)))
        {
            let fate = match self.policy.verdict(abi, nr) {
                Verdict::Allowed(decision) | Verdict::Conditional(decision) | Verdict::Denied(decision)
                    if decision.action == Action::Notify =>
                {
                    asked.insert(name);
                    Fate::Allowed { logged: false }
                }
                Verdict::Allowed(_) | Verdict::Conditional(_) => {
                    let (some_refused, some_logged, all_logged) = self.outcomes(abi, nr);
                    if some_refused {
                        conditional.insert(name);
                    }
                    if some_logged && !all_logged {
                        logged.insert(name);
                    }
                    Fate::Allowed { logged: all_logged }
                }
                Verdict::Denied(decision) => Fate::Refused(decision.errno),
            };
            // What one ABI allows is allowed: a name stands for all of them. The native one comes first.
            let known = fates.entry(name).or_insert(fate);
            if let (Fate::Refused(_), Fate::Allowed { .. }) = (*known, fate) {
                *known = fate;
            }
        }
        let tell = |names: BTreeSet<&str>, what: &str| {
            let names: Vec<&str> = names.into_iter().collect();
            (!names.is_empty()).then(|| format!("systemd: {what}: {}", names.join(", ")))
        };
        self.notes.extend(tell(conditional, "there are no conditions, so these are allowed whatever their arguments"));
        self.notes.extend(tell(logged, "there are no conditions, so these are logged never or always"));
        self.notes.extend(tell(asked, "nobody is asked, so these are allowed"));
        fates
    }

    /// Of a call that is let through for some arguments: whether others are refused, whether any are logged, and all.
    fn outcomes(&self, abi: Abi, nr: SyscallNr) -> (bool, bool, bool) {
        let mut diagrams = Diagrams::new();
        let outcomes: BTreeSet<Outcome> = match self.policy.diagram(&mut diagrams, abi, nr) {
            Ok(diagram) => diagrams.outcomes(diagram),
            Err(_) => return (true, false, false),
        };
        let passing = || outcomes.iter().filter(|outcome| outcome.action.passes());
        let logs = |outcome: &&Outcome| outcome.action == Action::Log;
        (
            passing().count() < outcomes.len(),
            passing().any(|outcome| logs(&outcome)),
            passing().all(|outcome| logs(&outcome)),
        )
    }

    fn text(&mut self, profile: &Profile, fates: &BTreeMap<&'static str, Fate>, native: Abi) -> String {
        let mut text = String::from("[Service]\n");
        let default = self.policy.default_decision();
        let names = |wanted: &dyn Fn(&Fate) -> bool| -> Vec<String> {
            fates.iter().filter(|(_, fate)| wanted(fate)).map(|(name, _)| (*name).to_owned()).collect()
        };
        let default_fate = if default.action.passes() {
            Fate::Allowed { logged: default.action == Action::Log }
        } else {
            Fate::Refused(default.errno)
        };
        if default.action.passes() {
            // Every one with its errno: what is not named is allowed.
            let refused = fates.iter().filter_map(|(name, fate)| match fate {
                Fate::Refused(errno) => Some(format!("{name}:{}", errno.map_or("kill".to_owned(), word))),
                Fate::Allowed { .. } => None,
            });
            text.push_str(&lines("SystemCallFilter=~", &refused.collect::<Vec<_>>()));
        } else {
            let allowed = names(&|fate| matches!(fate, Fate::Allowed { .. }));
            // The first line makes it a list of what is allowed; these are allowed in every such list.
            let allowed = if allowed.is_empty() { vec!["@default".to_owned()] } else { allowed };
            text.push_str(&lines("SystemCallFilter=", &allowed));
            let refused = fates.iter().filter_map(|(name, fate)| match fate {
                Fate::Refused(errno) if *fate != default_fate => {
                    Some(format!("{name}:{}", errno.map_or("kill".to_owned(), word)))
                }
                _ => None,
            });
            text.push_str(&lines("SystemCallFilter=~", &refused.collect::<Vec<_>>()));
            match default.errno {
                Some(0) => {
                    self.notes.push("systemd: there is no errno 0 for a default: it is EPERM".to_owned());
                    text.push_str("SystemCallErrorNumber=EPERM\n");
                }
                Some(errno) => text.push_str(&format!("SystemCallErrorNumber={}\n", word(errno))),
                None => {}
            }
        }
        if default.action == Action::Log {
            text.push_str(&lines("SystemCallLog=~", &names(&|fate| *fate == Fate::Allowed { logged: false })));
        } else {
            text.push_str(&lines("SystemCallLog=", &names(&|fate| *fate == Fate::Allowed { logged: true })));
        }
        let others = profile.architectures.iter().copied().collect::<BTreeSet<Arch>>();
        let mut words = vec!["native".to_owned()];
        for arch in others.into_iter().filter(|arch| *arch != Arch::of(native)) {
            words.push(architecture(arch).to_owned());
        }
        text.push_str(&format!("SystemCallArchitectures={}\n", words.join(" ")));
        text
    }

    fn tell_of_the_rest(&mut self, profile: &Profile) {
        let default = self.policy.default_decision().action;
        if default.denies() {
            self.notes.push(
                "systemd: it lets execve, exit, exit_group, getrlimit, rt_sigreturn, sigreturn and calls that ask for the \
                 time or sleep through, whatever the list says"
                    .to_owned(),
            );
        }
        let actions: BTreeSet<Action> =
            profile.rules.iter().map(|rule| rule.action).chain([profile.default_action]).collect();
        for action in actions {
            match action {
                Action::Trap | Action::KillThread => {
                    self.notes.push(format!("systemd: there is no {action}: the whole process is killed"));
                }
                Action::Trace => {
                    self.notes.push(format!("systemd: there is no {action}: the errno is given without one"));
                }
                _ => {}
            }
        }
        if profile.flags.as_ref().is_some_and(|flags| !flags.is_empty()) {
            self.notes.push("systemd: there are no flags, and the profile's are left out".to_owned());
        }
        // runc's stub answers to numbers that no table knows; here the default does.
        let native = self.policy.native();
        if let Some(newest) = self.policy.stub_above(native).and_then(|nr| known_name(native, nr)) {
            self.notes.push(format!(
                "systemd: to calls newer than {newest} runc answers ENOSYS, systemd only to those that are listed here"
            ));
        }
    }
}

/// Names after a setting, on as many lines as they need: each adds to the list.
fn lines(setting: &str, names: &[String]) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for name in names {
        if !line.is_empty() && line.len() + 1 + name.len() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line.clear();
        }
        line.push_str(if line.is_empty() { setting } else { " " });
        line.push_str(name);
    }
    if !line.is_empty() {
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

/// An errno as systemd reads it.
fn word(number: u16) -> String {
    let word = errno::describe(number);
    if word.starts_with('E') { word } else { number.to_string() }
}

/// What systemd calls an architecture (`ConditionArchitecture=` in systemd.unit(5)).
const fn architecture(arch: Arch) -> &'static str {
    match arch {
        Arch::X86 => "x86",
        Arch::X86_64 => "x86-64",
        Arch::X32 => "x32",
        Arch::Arm => "arm",
        Arch::Aarch64 => "arm64",
        Arch::Mips => "mips",
        Arch::Mips64 => "mips64",
        Arch::Mips64N32 => "mips64-n32",
        Arch::Mipsel => "mips-le",
        Arch::Mipsel64 => "mips64-le",
        Arch::Mipsel64N32 => "mips64-le-n32",
        Arch::Ppc => "ppc",
        Arch::Ppc64 => "ppc64",
        Arch::Ppc64le => "ppc64-le",
        Arch::Riscv64 => "riscv64",
        Arch::S390 => "s390",
        Arch::S390x => "s390x",
        Arch::Loongarch64 => "loongarch64",
    }
}
