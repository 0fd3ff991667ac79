//! The machine's own libseccomp, called as runc calls it (`InitSeccomp` in its libcontainer/seccomp): what it makes of
//! a profile is what a container gets, but for runc's ENOSYS stub.

use std::io::{Read as _, Seek as _};

use anyhow::{Context as _, Result, bail};
use auditor::profile::{Action, Arch, ArgCondition, Operator, Profile};
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

/// What libseccomp says of a profile.
pub enum Compiled {
    /// The filter: 8 bytes an instruction.
    Filter(Vec<u8>),
    /// It refuses a rule.
    Refused(String),
}

/// Makes a filter of a profile. `tree`: with libseccomp's search tree for numbers, which changes what the filter looks
/// like and not what it does.
pub fn compile(profile: &Profile, tree: bool) -> Result<Compiled> {
    let default = action(profile.default_action, profile.default_errno);
    let mut context = ScmpFilterContext::new(default)?;
    if tree {
        context.set_ctl_optimize(2)?;
    }
    for name in &profile.architectures {
        context.add_arch(arch(*name)?)?;
    }
    for (at, rule) in profile.rules.iter().enumerate() {
        let action = action(rule.action, rule.errno);
        if action == default {
            continue;
        }
        let comparisons: Vec<ScmpArgCompare> = rule.args.iter().map(comparison).collect();
        let repeats = (0..6).any(|index| rule.args.iter().filter(|arg| arg.index == index).count() > 1);
        // One comparison at a time where several are about one argument.
        let size = if repeats { 1 } else { comparisons.len().max(1) };
        let mut chains: Vec<&[ScmpArgCompare]> = comparisons.chunks(size).collect();
        if chains.is_empty() {
            chains.push(&[]);
        }
        for name in &rule.names {
            let Ok(call) = ScmpSyscall::from_name(name) else { continue };
            for chain in &chains {
                if let Err(error) = context.add_rule_conditional(action, call, chain) {
                    return Ok(Compiled::Refused(format!("rule {at}, {name}: {error}")));
                }
            }
        }
    }
    let mut file = tempfile::tempfile().context("making a file for a filter")?;
    context.export_bpf(&file).context("exporting a filter")?;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(Compiled::Filter(bytes))
}

fn action(action: Action, errno: Option<u32>) -> ScmpAction {
    let data = errno.and_then(|errno| u16::try_from(errno).ok()).unwrap_or(1);
    match action {
        Action::Allow => ScmpAction::Allow,
        Action::Log => ScmpAction::Log,
        Action::Notify => ScmpAction::Notify,
        Action::Trace => ScmpAction::Trace(data),
        Action::Errno => ScmpAction::Errno(data.into()),
        Action::Trap => ScmpAction::Trap,
        Action::KillThread => ScmpAction::KillThread,
        Action::KillProcess => ScmpAction::KillProcess,
    }
}

fn arch(arch: Arch) -> Result<ScmpArch> {
    Ok(match arch {
        Arch::X86 => ScmpArch::X86,
        Arch::X86_64 => ScmpArch::X8664,
        Arch::X32 => ScmpArch::X32,
        Arch::Arm => ScmpArch::Arm,
        Arch::Aarch64 => ScmpArch::Aarch64,
        other => bail!("{} is not tested", other.as_str()),
    })
}

fn comparison(arg: &ArgCondition) -> ScmpArgCompare {
    let (operator, value) = match arg.operator {
        Operator::NotEqual => (ScmpCompareOp::NotEqual, arg.value),
        Operator::Less => (ScmpCompareOp::Less, arg.value),
        Operator::LessOrEqual => (ScmpCompareOp::LessOrEqual, arg.value),
        Operator::Equal => (ScmpCompareOp::Equal, arg.value),
        Operator::GreaterOrEqual => (ScmpCompareOp::GreaterEqual, arg.value),
        Operator::Greater => (ScmpCompareOp::Greater, arg.value),
        Operator::MaskedEqual => (ScmpCompareOp::MaskedEqual(arg.value), arg.value_two),
    };
    ScmpArgCompare::new(arg.index, operator, value)
}
