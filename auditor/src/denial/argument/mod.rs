//! Arguments of system calls in the kernel's own words.
//!
//! The kernel shows a filter six registers and nothing that they point to; so does this. Which of them a call has, and
//! what they are, is in two tables of data: signatures, and names of constants.

mod signature;
mod values;

use self::signature::{Format, Parameter, parameters};
use self::values::table::{
    AF, CAPABILITY, IOCTL, IPPROTO, NETLINK, PERSONALITY, PRCTL, SECCOMP, SECCOMP_FLAGS, SIGNAL, SO, SOL,
};
use crate::syscall::{self, Abi, SyscallNr};

/// Arguments that a filter sees (`struct seccomp_data`).
pub const COUNT: usize = 6;

/// `AT_FDCWD` of include/uapi/linux/fcntl.h.
const AT_FDCWD: i32 = -100;

/// One argument, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The kernel's name for it.
    pub name: &'static str,
    /// The register.
    pub value: u64,
    /// What it says.
    pub text: String,
    /// Whether it says what was wanted, as flags and modes do and addresses do not.
    pub telling: bool,
}

/// Names for the registers of a call that no table knows.
const NAMELESS: [&str; COUNT] = ["arg1", "arg2", "arg3", "arg4", "arg5", "arg6"];

/// The arguments that the call has, in words; all six where no table knows the call.
#[must_use]
pub fn decode(abi: Abi, nr: SyscallNr, args: &[u64; COUNT]) -> Vec<Argument> {
    let known = syscall::known_name(abi, nr).and_then(|call| parameters(abi, call));
    let Some(parameters) = known else {
        let nameless = NAMELESS.into_iter().zip(*args);
        return nameless
            .map(|(name, value)| Argument { name, value, text: format!("{value:#x}"), telling: false })
            .collect();
    };
    let is_32_bit = !matches!(abi, Abi::X86_64 | Abi::Aarch64);
    let argument = |(at, parameter): (usize, &Parameter)| {
        let value = args[at];
        let word = if is_32_bit && abi != Abi::X32 { value & u64::from(u32::MAX) } else { value };
        let text = render(parameter.format, word, is_32_bit && abi != Abi::X32, args);
        Argument { name: parameter.name, value, text, telling: parameter.format.is_telling() }
    };
    parameters.iter().enumerate().map(argument).collect()
}

/// The call that is meant where several share a number: `socketcall` and `ipc` of i386.
#[must_use]
pub fn inner_call(abi: Abi, nr: SyscallNr, args: &[u64; COUNT]) -> Option<&'static str> {
    let doors = crate::profile::doors(abi);
    if !doors.contains(&nr) {
        return None;
    }
    // The version of an IPC call stands in the upper half (`ipc_parse_version` in ipc/syscall.c).
    let is_socketcall = syscall::known_name(abi, nr) == Some("socketcall");
    let wanted = args[0] & if is_socketcall { u64::from(u32::MAX) } else { 0xffff };
    syscall::all(abi)
        .map(|(_, name)| name)
        .chain(["send", "recv", "accept", "semop"])
        .find(|name| crate::profile::door(abi, name).is_some_and(|(door, number)| door == nr && number == wanted))
}

fn render(format: Format, word: u64, is_32_bit: bool, args: &[u64; COUNT]) -> String {
    let low = word & u64::from(u32::MAX);
    match format {
        Format::Pointer if word == 0 => "NULL".to_owned(),
        Format::Pointer | Format::Address => format!("{word:#x}"),
        Format::Directory if int(word) == AT_FDCWD => "AT_FDCWD".to_owned(),
        Format::Descriptor | Format::Directory | Format::Int => int(word).to_string(),
        Format::Unsigned => low.to_string(),
        Format::Signed if is_32_bit => int(word).to_string(),
        Format::Signed => word.cast_signed().to_string(),
        Format::Size => word.to_string(),
        Format::Word if word < 0x1_0000 => word.to_string(),
        Format::Word => format!("{word:#x}"),
        Format::Hex if low == 0 => "0".to_owned(),
        Format::Hex => format!("{low:#x}"),
        Format::Mode => format!("0{low:o}"),
        Format::Values(values) => values.render(low, false),
        Format::Long(values) => values.render(word, false),
        Format::Octal(values) => values.render(low, true),
        Format::Personality if low == u64::from(u32::MAX) => format!("{low:#x}"),
        Format::Personality => PERSONALITY.render(low, false),
        Format::Ioctl => ioctl(low),
        Format::Protocol => protocol(low, args[0]),
        Format::PrctlArgument => prctl_argument(word, args[0]),
        Format::SeccompFlags if SECCOMP.name(args[0] & u64::from(u32::MAX)) == Some("SECCOMP_SET_MODE_FILTER") => {
            SECCOMP_FLAGS.render(low, false)
        }
        Format::SocketOption if SOL.name(args[1] & u64::from(u32::MAX)) == Some("SOL_SOCKET") => SO.render(low, false),
        Format::SeccompFlags | Format::SocketOption => low.to_string(),
    }
}

/// The lower half as the C type `int`.
#[expect(clippy::cast_possible_truncation, reason = "the kernel too takes the lower half of the register")]
const fn int(word: u64) -> i32 {
    (word as u32).cast_signed()
}

/// By name, else taken apart as `_IOC` of include/uapi/asm-generic/ioctl.h put it together.
fn ioctl(request: u64) -> String {
    if let Some(name) = IOCTL.name(request) {
        return name.to_owned();
    }
    if request > u64::from(u32::MAX) || request < 0x100 {
        return format!("{request:#x}");
    }
    let (number, kind, size) = (request & 0xff, request >> 8 & 0xff, request >> 16 & 0x3fff);
    let direction = match request >> 30 {
        0 => "_IOC_NONE",
        1 => "_IOC_WRITE",
        2 => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    let kind = match u8::try_from(kind) {
        Ok(kind) if kind.is_ascii_graphic() && !matches!(kind, b'\'' | b'\\') => format!("'{}'", char::from(kind)),
        _ => format!("{kind:#x}"),
    };
    format!("_IOC({direction}, {kind}, {number:#x}, {size})")
}

fn protocol(protocol: u64, family: u64) -> String {
    match AF.name(family & u64::from(u32::MAX)) {
        Some("AF_NETLINK") => NETLINK.render(protocol, false),
        Some("AF_INET" | "AF_INET6") => IPPROTO.render(protocol, false),
        // An Ethernet protocol in network byte order.
        Some("AF_PACKET") => format!("{protocol:#x}"),
        _ => protocol.to_string(),
    }
}

fn prctl_argument(word: u64, option: u64) -> String {
    match PRCTL.name(option & u64::from(u32::MAX)) {
        Some("PR_CAPBSET_READ" | "PR_CAPBSET_DROP") => CAPABILITY.render(word, false),
        Some("PR_SET_PDEATHSIG") => SIGNAL.render(word, false),
        Some("PR_SET_SECCOMP") if word == 1 => "SECCOMP_MODE_STRICT".to_owned(),
        Some("PR_SET_SECCOMP") if word == 2 => "SECCOMP_MODE_FILTER".to_owned(),
        _ => render(Format::Word, word, false, &[0; COUNT]),
    }
}
