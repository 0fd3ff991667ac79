//! Random profiles, compiled by the real libseccomp.

use std::io::{Read as _, Seek as _};

use anyhow::{Context as _, Result};
use auditor::filter::Program;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use crate::chance::Chance;
use crate::trial::{Trial, harmless, harmless_names};

const VALUES: [u64; 12] =
    [0, 1, 2, 5, 8, 0xff, 0x1000, 0x7e02_0000, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0xffff_ffff_ffff_fff0];

fn action(chance: &mut Chance) -> ScmpAction {
    let errno = *chance.pick(&[0, 1, 13, 38, 4094]);
    match chance.below(16) {
        0..=4 => ScmpAction::Allow,
        5..=9 => ScmpAction::Errno(errno),
        10 => ScmpAction::Log,
        11 => ScmpAction::Trace(7),
        12 => ScmpAction::Notify,
        13 => ScmpAction::Trap,
        14 => ScmpAction::KillThread,
        _ => ScmpAction::KillProcess,
    }
}

fn value(chance: &mut Chance) -> u64 {
    match chance.below(5) {
        0 => chance.next(),
        1 => u64::from(chance.half()),
        _ => chance.pick(&VALUES).wrapping_add(chance.next() % 3),
    }
}

fn comparison(chance: &mut Chance) -> ScmpArgCompare {
    let operator = match chance.below(8) {
        0 => ScmpCompareOp::NotEqual,
        1 => ScmpCompareOp::Less,
        2 => ScmpCompareOp::LessOrEqual,
        3 => ScmpCompareOp::Greater,
        4 => ScmpCompareOp::GreaterEqual,
        5 | 6 => ScmpCompareOp::MaskedEqual(value(chance)),
        _ => ScmpCompareOp::Equal,
    };
    let argument = u32::try_from(chance.below(3)).unwrap_or(0);
    ScmpArgCompare::new(argument, operator, value(chance))
}

/// What the calling program itself cannot do without, once filters are stacked.
const NEEDED: [&str; 2] = ["seccomp", "rt_sigreturn"];

fn compile(chance: &mut Chance) -> Result<Program> {
    let mut context = ScmpFilterContext::new(action_of_default(chance))?;
    for arch in [ScmpArch::X86, ScmpArch::X32] {
        if !chance.one_in(4) {
            context.add_arch(arch)?;
        }
    }
    if chance.one_in(2) {
        context.set_act_badarch(action(chance))?;
    }
    if chance.one_in(3) {
        context.set_ctl_optimize(2)?;
    }
    for name in NEEDED {
        // Refused where it is what the default says anyway.
        _ = context.add_rule(ScmpAction::Allow, ScmpSyscall::from_name(name)?);
    }
    for _ in 0..1 + chance.below(12) {
        let name = chance.pick(harmless_names());
        let comparisons: Vec<_> = (0..chance.below(4)).map(|_| comparison(chance)).collect();
        // Two comparisons of one argument, the default's action, a rule that contradicts another one: libseccomp
        // refuses it, and takes the next.
        _ = context.add_rule_conditional(action(chance), ScmpSyscall::from_name(name)?, &comparisons);
    }
    let mut file = tempfile::tempfile().context("making a file for a filter")?;
    context.export_bpf(&file).context("compiling a profile")?;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(Program::parse(&bytes)?)
}

/// No supervisor can be the default.
fn action_of_default(chance: &mut Chance) -> ScmpAction {
    match action(chance) {
        ScmpAction::Notify => ScmpAction::Errno(1),
        action => action,
    }
}

/// The trial of one random profile.
pub fn trial(seed: u64) -> Result<Trial> {
    let mut chance = Chance::new(seed);
    let program = compile(&mut chance).with_context(|| format!("profile of seed {seed}"))?;
    let mut trial = Trial::new(format!("profile of seed {seed}"), vec![program]);
    trial.calls = harmless(&mut chance, 4);
    trial.arguments = 26;
    Ok(trial)
}
