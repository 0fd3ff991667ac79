//! Calls under filters, and what became of each: what the program `caller` (`src/bin/caller.rs`) is asked and answers.
//!
//! Both sides speak in 64-bit words: a message is its number of words, and the words.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// A way into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Door {
    /// `syscall`, also with the number of an x32 call.
    Syscall,
    /// `int 0x80`.
    Interrupt,
}

/// One call: the number is what the kernel sees, with x32's bit 30.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The way.
    pub door: Door,
    /// The number.
    pub nr: i32,
    /// The registers.
    pub args: [u64; 6],
    /// It does no harm, and is also made before there is a filter.
    pub harmless: bool,
}

/// Filters, and calls under them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The bytes of each, in the order in which they are installed.
    pub filters: Vec<Vec<u8>>,
    /// The filters let `rt_sigreturn` through, so that a trapped caller can go on.
    pub resumes: bool,
    /// The calls, one after the other.
    pub calls: Vec<Call>,
}

/// What a SIGSYS said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sigsys {
    /// `si_errno`: the data of the filter.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_syscall`.
    pub nr: i32,
    /// `si_arch`.
    pub arch: u32,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It came back.
    Returned {
        /// With this.
        result: i64,
        /// And with this, where it is harmless, in the same thread before that had a filter.
        unfiltered: i64,
    },
    /// The caller got the signal.
    Trapped(Sigsys),
    /// The thread was gone, and the process was not.
    ThreadDied,
    /// The process died of SIGSYS.
    ProcessDied,
}

/// Words that one call takes in a question.
const CALL_WORDS: usize = 7;
/// Words that one fate takes in an answer.
pub const FATE_WORDS: usize = 4;

/// The first word of a fate that has not come.
pub const PENDING: u64 = 0;
/// Of [`Fate::Returned`].
pub const RETURNED: u64 = 1;
/// Of [`Fate::Trapped`].
pub const TRAPPED: u64 = 2;
/// Of [`Fate::ThreadDied`].
pub const THREAD_DIED: u64 = 3;
/// Of [`Fate::ProcessDied`].
pub const PROCESS_DIED: u64 = 4;

impl Job {
    fn to_words(&self) -> Vec<u64> {
        let mut words = vec![u64::from(self.resumes), self.filters.len() as u64];
        for filter in &self.filters {
            let (instructions, _) = filter.as_chunks();
            words.push(instructions.len() as u64);
            words.extend(instructions.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        }
        for call in &self.calls {
            let nr = u64::from(call.nr.cast_unsigned());
            words.push(u64::from(call.door == Door::Interrupt) | u64::from(call.harmless) << 1 | nr << 32);
            words.extend(call.args);
        }
        words
    }

    /// Reads what a client wrote.
    pub fn from_words(words: &[u64]) -> Result<Self> {
        let mut words = words.iter().copied();
        let mut next = || words.next().context("a question that ends too early");
        let resumes = next()? != 0;
        let mut filters = Vec::new();
        for _ in 0..next()? {
            let length = next()?;
            let instructions = (0..length).map(|_| next()).collect::<Result<Vec<_>>>()?;
            filters.push(instructions.into_iter().flat_map(u64::to_le_bytes).collect());
        }
        let rest: Vec<u64> = words.collect();
        let (calls, left) = rest.as_chunks::<CALL_WORDS>();
        ensure!(left.is_empty(), "half a call");
        let call = |[head, args @ ..]: &[u64; CALL_WORDS]| Call {
            door: if head & 1 == 0 { Door::Syscall } else { Door::Interrupt },
            nr: ((head >> 32) as u32).cast_signed(),
            args: *args,
            harmless: head & 2 != 0,
        };
        Ok(Self { filters, resumes, calls: calls.iter().map(call).collect() })
    }
}

impl Sigsys {
    /// As two words.
    #[must_use]
    pub fn to_words(self) -> [u64; 2] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        [pair(self.errno.cast_unsigned(), self.code.cast_unsigned()), pair(self.nr.cast_unsigned(), self.arch)]
    }

    #[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
    fn from_words(words: [u64; 2]) -> Self {
        let [(errno, code), (nr, arch)] = words.map(|word| ((word >> 32) as u32, word as u32));
        Self { errno: errno.cast_signed(), code: code.cast_signed(), nr: nr.cast_signed(), arch }
    }
}

impl Fate {
    fn from_words(words: [u64; FATE_WORDS]) -> Result<Self> {
        Ok(match words {
            [RETURNED, result, unfiltered, _] => {
                Self::Returned { result: result.cast_signed(), unfiltered: unfiltered.cast_signed() }
            }
            [TRAPPED, first, second, _] => Self::Trapped(Sigsys::from_words([first, second])),
            [THREAD_DIED, ..] => Self::ThreadDied,
            [PROCESS_DIED, ..] => Self::ProcessDied,
            other => bail!("no fate: {other:x?}"),
        })
    }
}

/// Sends a message.
pub fn send(to: &mut impl Write, words: &[u64]) -> Result<()> {
    let count = [words.len() as u64];
    let bytes: Vec<u8> = count.iter().chain(words).flat_map(|word| word.to_le_bytes()).collect();
    to.write_all(&bytes).and_then(|()| to.flush()).context("sending a message")
}

/// Receives a message; `None` at the end.
pub fn receive(from: &mut impl Read) -> Result<Option<Vec<u64>>> {
    let mut count = [0; 8];
    if let Err(error) = from.read_exact(&mut count) {
        return if error.kind() == std::io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error.into()) };
    }
    let mut bytes = vec![0; 8 * usize::try_from(u64::from_le_bytes(count))?];
    from.read_exact(&mut bytes).context("receiving a message")?;
    let (words, _) = bytes.as_chunks();
    Ok(Some(words.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()))
}

/// The program that makes the calls.
#[derive(Debug)]
pub struct Caller {
    child: Child,
    questions: Option<ChildStdin>,
    answers: ChildStdout,
}

impl Caller {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let program = crate::process::built("caller")?;
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let questions = child.stdin.take();
        let answers = child.stdout.take().context("no standard output")?;
        Ok(Self { child, questions, answers })
    }

    /// Has the calls of a job made; what became of each.
    pub fn perform(&mut self, job: &Job) -> Result<Vec<Fate>> {
        send(self.questions.as_mut().context("no standard input")?, &job.to_words())?;
        let words = receive(&mut self.answers)?.context("the caller has ended; its last words are above")?;
        let (fates, _) = words.as_chunks();
        ensure!(fates.len() == job.calls.len(), "{} fates of {} calls", fates.len(), job.calls.len());
        fates.iter().map(|words| Fate::from_words(*words)).collect()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It ends with its input.
        self.questions = None;
        _ = self.child.wait();
    }
}
