//! The listing of a filter, against what another reader says of the same bytes: `bpf_image` of libpcap.
//!
//! Both texts are read back, instruction by instruction, into an opcode, its constant and where it jumps to.

use std::ffi::{CStr, c_char, c_int};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::filter::{Instruction, Program};

#[link(name = "pcap")]
unsafe extern "C" {
    /// pcap/bpf.h; `struct bpf_insn` is `struct sock_filter`.
    fn bpf_image(instruction: *const libc::sock_filter, number: c_int) -> *const c_char;
}

/// What a reader says of an instruction: opcode, constant, and both targets of a jump.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: u16,
    k: u32,
    targets: Option<(usize, usize)>,
}

const fn said(code: u16, k: u32) -> Said {
    Said { code, k, targets: None }
}

/// Also where libpcap takes the highest bit for a sign.
fn number(text: &str) -> Result<u32> {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| text.parse().ok().map(i32::cast_unsigned)),
    };
    parsed.with_context(|| format!("{text} is no number"))
}

/// Operations by libpcap's names and by the listing's, and the opcode with a constant.
const OPERATIONS: [(&str, &str, u16); 9] = [
    ("add", "+", 0x04),
    ("sub", "-", 0x14),
    ("mul", "*", 0x24),
    ("div", "/", 0x34),
    ("or", "|", 0x44),
    ("and", "&", 0x54),
    ("lsh", "<<", 0x64),
    ("rsh", ">>", 0x74),
    ("xor", "^", 0xa4),
];

/// `(001) jeq      #0x40000003      jt 4 jf 2`.
fn libpcap(instruction: Instruction, at: usize) -> Result<Said> {
    let Instruction { code, jt, jf, k } = instruction;
    let raw = libc::sock_filter { code, jt, jf, k };
    // SAFETY: a valid instruction; the text is in a buffer of the library's, which this test alone uses, by one thread.
    let text = unsafe { CStr::from_ptr(bpf_image(&raw const raw, c_int::try_from(at)?)) }.to_str()?;
    let mut words = text.split_whitespace().skip(1);
    let name = words.next().with_context(|| format!("nothing in {text}"))?;
    let operand = words.next().unwrap_or_default();
    let constant = operand.strip_prefix('#');
    let inside = |before: &str| operand.strip_prefix(before).and_then(|rest| rest.strip_suffix(']'));
    let rest: Vec<&str> = words.collect();
    let targets = match rest[..] {
        ["jt", yes, "jf", no] => Some((yes.parse()?, no.parse()?)),
        _ => None,
    };
    let with_x = if operand == "x" { 0x08 } else { 0 };
    let value = || constant.map_or(Ok(0), number);
    let branch = |code| Ok(Said { code: code | with_x, k: value()?, targets });
    match name {
        "ld" if operand == "#pktlen" => Ok(said(0x80, 0)),
        // The one operation of seccomp's that libpcap has no name for.
        "unimp" if code == 0x81 => Ok(said(0x81, 0)),
        "ld" | "ldx" => {
            let x = u16::from(name == "ldx");
            match (constant, inside("M["), inside("[")) {
                (Some(k), ..) => Ok(said(x, number(k)?)),
                (_, Some(cell), _) => Ok(said(0x60 | x, number(cell)?)),
                (.., Some(offset)) => Ok(said(0x20 | x, number(offset)?)),
                _ => bail!("libpcap says {text}"),
            }
        }
        "st" | "stx" => Ok(said(0x02 | u16::from(name == "stx"), number(inside("M[").context("no cell")?)?)),
        "tax" => Ok(said(0x07, 0)),
        "txa" => Ok(said(0x87, 0)),
        "neg" => Ok(said(0x84, 0)),
        "ja" => {
            let target = number(operand)? as usize;
            Ok(Said { code: 0x05, k: 0, targets: Some((target, target)) })
        }
        "ret" if constant.is_none() => Ok(said(0x16, 0)),
        "ret" => Ok(said(0x06, value()?)),
        "jeq" => branch(0x15),
        "jgt" => branch(0x25),
        "jge" => branch(0x35),
        "jset" => branch(0x45),
        _ => {
            let found = OPERATIONS.iter().find(|(operation, ..)| *operation == name);
            let (.., code) = found.with_context(|| format!("libpcap says {text}"))?;
            Ok(said(code | with_x, value()?))
        }
    }
}

/// What the listing's own words say; of a return the value is in its column alone.
fn listing(line: &str, at: usize, returned: u32) -> Result<Said> {
    let text = line.splitn(7, ' ').nth(6).context("a line without words")?.trim_end_matches(" (never reached)");
    let operand = |text: &str| if text == "X" { Ok((0x08, 0)) } else { number(text).map(|k| (0, k)) };
    if let Some(rest) = text.strip_prefix("if ") {
        return listed_branch(rest, at);
    }
    if let Some(target) = text.strip_prefix("goto ") {
        let target = target.parse()?;
        return Ok(Said { code: 0x05, k: 0, targets: Some((target, target)) });
    }
    match text {
        "return A" => return Ok(said(0x16, 0)),
        "A = X" => return Ok(said(0x87, 0)),
        "X = A" => return Ok(said(0x07, 0)),
        "A = -A" => return Ok(said(0x84, 0)),
        "A = nr" => return Ok(said(0x20, 0)),
        "A = arch" => return Ok(said(0x20, 4)),
        _ if text.starts_with("return ") => return Ok(said(0x06, returned)),
        _ => {}
    }
    let (to, from) = text.split_once("= ").with_context(|| format!("not understood: {text}"))?;
    let cell = |text: &str| text.trim().strip_prefix("M[").and_then(|rest| rest.strip_suffix(']')).map(number);
    if let Some(cell) = cell(to) {
        return Ok(said(if from == "X" { 0x03 } else { 0x02 }, cell?));
    }
    let x = u16::from(to == "X ");
    if let Some(cell) = cell(from) {
        return Ok(said(0x60 | x, cell?));
    }
    if let Some((word, half)) = from.split_once('.') {
        let high = if half == "high" { 4 } else { 0 };
        let base = word.strip_prefix("arg").map_or(Ok(8), |index| number(index).map(|index| 16 + 8 * index))?;
        return Ok(said(0x20, base + high));
    }
    let (with_x, k) = operand(from)?;
    let operation = to.strip_prefix("A ").unwrap_or_default();
    match OPERATIONS.iter().find(|(_, name, _)| !operation.is_empty() && *name == operation) {
        Some((.., code)) => Ok(said(code | with_x, k)),
        None => Ok(said(x, k)),
    }
}

/// `arch != 0xc000003e (x86_64) goto 0077`, `(arg0.low & 0x7e020000) == 0 goto 0003 else 0005`.
fn listed_branch(text: &str, at: usize) -> Result<Said> {
    let (condition, targets) = text.split_once(" goto ").context("no target")?;
    let (first, second) = targets.split_once(" else ").map_or((targets, None), |(first, second)| (first, Some(second)));
    let (first, second) = (first.parse::<usize>()?, second.map(str::parse).transpose()?);
    let (condition, not) = match condition.strip_prefix("!(") {
        Some(rest) => (rest.trim_end_matches(')'), true),
        None => (condition, false),
    };
    // A masked word is in parentheses of its own; behind a number there may be its name, in some too.
    let condition =
        condition.split_once(") ").filter(|(before, _)| before.starts_with('(')).map_or(condition, |(_, rest)| rest);
    let words: Vec<&str> = condition.split(' ').collect();
    let ([relation, value] | [_, relation, value] | [_, relation, value, _]) = words[..] else {
        bail!("not understood: {condition}")
    };
    let (code, negated) = match relation {
        "==" => (0x15, false),
        "!=" => (0x15, true),
        ">" => (0x25, false),
        "<=" => (0x25, true),
        ">=" => (0x35, false),
        "<" => (0x35, true),
        "&" => (0x45, not),
        other => bail!("no relation: {other}"),
    };
    let (with_x, k) = if value == "X" { (0x08, 0) } else { (0, number(value)?) };
    let targets = if negated { (at + 1, first) } else { (first, second.unwrap_or(at + 1)) };
    Ok(Said { code: code | with_x, k, targets: Some(targets) })
}

fn compare(name: &str, program: &Program) -> Result<()> {
    let text = program.disassemble();
    ensure!(text.lines().count() == program.instructions().len(), "{name}: a line for each instruction");
    for (at, (instruction, line)) in program.instructions().iter().zip(text.lines()).enumerate() {
        let Instruction { code, jt, jf, k } = *instruction;
        let columns = format!("{at:04}: {code:#04x} {jt:#04x} {jf:#04x} {k:#010x}  ");
        ensure!(line.starts_with(&columns), "{name}: {line}: expected {columns}");
        let theirs = libpcap(*instruction, at).with_context(|| format!("{name}: {line}"))?;
        let ours = listing(line, at, k).with_context(|| format!("{name}: {line}"))?;
        // The kernel makes a constant of a length, and so does the listing.
        let length = matches!(code, 0x80 | 0x81) && ours == said(code & 1, 64);
        ensure!(ours == theirs || length, "{name}: {line}: {ours:x?}, and libpcap {theirs:x?}");
    }
    Ok(())
}

#[test]
fn libpcap_reads_the_same_instructions() -> Result<()> {
    let data = tests::root().join("auditor/tests/data");
    let filters = std::fs::read_dir(data.join("filters"))?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = filters.collect::<Result<_>>()?;
    files.push(data.join("docker-default-20.10-oci.bpf"));
    let mut instructions = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "bpf")) {
        let program = Program::parse(&std::fs::read(file)?)?;
        compare(&file.display().to_string(), &program)?;
        instructions += program.instructions().len();
    }
    ensure!(instructions > 5000, "only {instructions} instructions");
    compare("each instruction", &each()?)
}

/// Every instruction that there is, each jump in the ways it can go.
fn each() -> Result<Program> {
    let stmt = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let mut all = vec![stmt(0x02, 3), stmt(0x03, 15), stmt(0x60, 3), stmt(0x61, 15)];
    all.extend((0..64).step_by(4).map(|offset| stmt(0x20, offset)));
    all.extend([(0x00, 7), (0x01, 0xffff_ffff), (0x80, 0), (0x81, 0)].map(|(code, k)| stmt(code, k)));
    all.extend([0x07, 0x87, 0x84].map(|code| stmt(code, 0)));
    for (.., code) in OPERATIONS {
        all.extend([stmt(code, 1), stmt(code, 31), stmt(code | 0x08, 0)]);
    }
    for load in [0x00, 0x20] {
        for code in [0x15, 0x25, 0x35, 0x45, 0x1d, 0x2d, 0x3d, 0x4d] {
            for (jt, jf) in [(0, 0), (1, 0), (0, 1), (2, 1)] {
                let k = if code & 0x08 == 0 { 0x4000_0003 } else { 0 };
                all.extend([stmt(load, 16), Instruction { code, jt, jf, k }]);
            }
        }
        all.extend([stmt(0x54, 0xff00), Instruction { code: 0x15, jt: 0, jf: 2, k: 5 }]);
    }
    all.extend([stmt(0x05, 2), stmt(0x05, 0), stmt(0x06, 0x0005_0001), stmt(0x06, 0x7fff_0000), stmt(0x16, 0)]);
    Ok(Program::new(all)?)
}
