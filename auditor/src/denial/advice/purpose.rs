//! What a call was for, by its arguments where they say more than its name.

use crate::denial::argument::{Argument, decode};
use crate::denial::decision::Call;

/// The namespaces of include/uapi/linux/sched.h, in words.
const NAMESPACES: [(&str, &str); 8] = [
    ("CLONE_NEWUSER", "user"),
    ("CLONE_NEWNS", "mount"),
    ("CLONE_NEWPID", "process"),
    ("CLONE_NEWNET", "network"),
    ("CLONE_NEWIPC", "IPC"),
    ("CLONE_NEWUTS", "host name"),
    ("CLONE_NEWCGROUP", "cgroup"),
    ("CLONE_NEWTIME", "time"),
];

/// Arguments that say it all: the call, the argument, what its text has, and what it means.
const MEANINGS: [(&str, &str, &str, &str); 26] = [
    ("personality", "personality", "0xffffffff", "wanted to ask how it is executed"),
    (
        "personality",
        "personality",
        "ADDR_NO_RANDOMIZE",
        "wanted memory addresses that are not random (as debuggers do)",
    ),
    ("personality", "personality", "PER_LINUX32", "wanted to pass for a 32-bit program"),
    ("bpf", "cmd", "BPF_PROG_LOAD", "wanted to load an eBPF program"),
    ("bpf", "cmd", "BPF_MAP_CREATE", "wanted to make an eBPF map"),
    ("ioctl", "cmd", "TIOCSTI", "wanted to put characters into a terminal's input"),
    ("ioctl", "cmd", "TIOCLINUX", "wanted to control the text console"),
    ("ioctl", "cmd", "KVM_CREATE_VM", "wanted to make a virtual machine"),
    ("ioctl", "cmd", "TUNSETIFF", "wanted a network tunnel"),
    ("mount", "flags", "MS_BIND", "wanted to mount a directory at a second place"),
    ("mount", "flags", "MS_REMOUNT", "wanted to change a mount"),
    ("ptrace", "request", "PTRACE_TRACEME", "wanted to be traced by its parent"),
    ("ptrace", "request", "PTRACE_ATTACH", "wanted to trace a running program"),
    ("ptrace", "request", "PTRACE_SEIZE", "wanted to trace a running program"),
    ("prctl", "option", "PR_SET_NO_NEW_PRIVS", "wanted to give up gaining privileges"),
    ("prctl", "option", "PR_SET_SECCOMP", "wanted to put a filter on itself"),
    ("prctl", "option", "PR_SET_NAME", "wanted to name its thread"),
    ("prctl", "option", "PR_CAPBSET_DROP", "wanted to drop a capability for good"),
    ("keyctl", "option", "KEYCTL_JOIN_SESSION_KEYRING", "wanted a keyring of its own"),
    ("socket", "family", "AF_PACKET", "wanted to see raw network packets"),
    ("socket", "family", "AF_ALG", "wanted the kernel's cryptography"),
    ("socket", "family", "AF_VSOCK", "wanted to speak to the virtual machine's host"),
    ("socket", "family", "AF_NETLINK", "wanted to ask or configure the kernel (netlink)"),
    ("socket", "type", "SOCK_RAW", "wanted a raw socket"),
    ("mknod", "mode", "S_IFBLK", "wanted to make a block device"),
    ("mknodat", "mode", "S_IFBLK", "wanted to make a block device"),
];

/// What the program wanted. `purpose` is what the call is for in general; without one nobody knows it.
pub(super) fn of(call: &Call, name: Option<&'static str>, purpose: Option<&'static str>) -> String {
    let (Some(name), Some(purpose)) = (name, purpose) else {
        return format!("wanted call number {}, which nobody knows", call.nr.0);
    };
    let arguments = decode(call.abi, call.nr, &call.args);
    if let Some(namespaces) = namespaces(name, &arguments) {
        return namespaces;
    }
    let says = |argument: &Argument, text: &str| argument.text.split('|').any(|part| part == text);
    let meaning = MEANINGS.iter().find(|(call, parameter, text, _)| {
        *call == name && arguments.iter().any(|argument| argument.name == *parameter && says(argument, text))
    });
    if let Some((.., meaning)) = meaning {
        return (*meaning).to_owned();
    }
    let telling: Vec<&str> = arguments
        .iter()
        .filter(|argument| argument.telling && argument.text.bytes().any(|byte| byte.is_ascii_uppercase()))
        .map(|argument| argument.text.as_str())
        .collect();
    if telling.is_empty() {
        format!("wanted to {purpose}")
    } else {
        format!("wanted to {purpose} ({})", telling.join(", "))
    }
}

/// "wanted a new user and mount namespace".
fn namespaces(name: &str, arguments: &[Argument]) -> Option<String> {
    let verb = match name {
        "clone" | "unshare" => "wanted a new",
        "setns" => "wanted to enter another",
        _ => return None,
    };
    let flags = arguments.iter().find(|argument| argument.text.contains("CLONE_NEW"))?;
    let kinds: Vec<&str> = NAMESPACES
        .iter()
        .filter(|(flag, _)| flags.text.split('|').any(|part| part == *flag))
        .map(|(_, kind)| *kind)
        .collect();
    let (last, others) = kinds.split_last()?;
    let list = if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
    Some(format!("{verb} {list} namespace"))
}
