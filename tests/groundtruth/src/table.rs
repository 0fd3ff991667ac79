//! What was issued, counted where every thread and process of a run can count, also one that is about to be killed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::raw::Abi;

/// Numbers below this are counted.
const NUMBERS: usize = 512;

/// What our own doing made of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reached the kernel: allowed, logged, or continued by a supervisor.
    Reached,
    /// Refused with an errno.
    Errno,
    /// Refused with SIGSYS, its process or only thread ended or not.
    Signalled,
    /// Refused by ending one thread of many.
    ThreadKilled,
    /// Answered by a supervisor in the kernel's place: no denial.
    Answered,
    /// Taken away by a tracer: no denial.
    Cancelled,
    /// Turned into a signal by Syscall User Dispatch: no denial.
    Dispatched,
}

impl Fate {
    const ALL: [Self; 7] = [
        Self::Reached,
        Self::Errno,
        Self::Signalled,
        Self::ThreadKilled,
        Self::Answered,
        Self::Cancelled,
        Self::Dispatched,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Errno => "errno",
            Self::Signalled => "signalled",
            Self::ThreadKilled => "thread_killed",
            Self::Answered => "answered",
            Self::Cancelled => "cancelled",
            Self::Dispatched => "dispatched",
        }
    }
}

/// One kind of call: how often it was issued, and how often it gave an error.
#[derive(Debug)]
struct Cell {
    issued: AtomicU64,
    failed: AtomicU64,
}

/// Without a filter of our own, and with one.
const SIDES: usize = 2;
const CELLS: usize = Abi::ALL.len() * NUMBERS * Fate::ALL.len() * SIDES;
const BYTES: usize = CELLS * size_of::<Cell>();

/// The counts of a run, in memory that forks share and programs that are executed can find again.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    cells: &'static [Cell],
    fd: i32,
}

impl Table {
    /// An empty table.
    pub fn new() -> Result<Self> {
        // SAFETY: a C string; the file is not closed on exec, as the executed program takes it over.
        let fd = unsafe { libc::memfd_create(c"counts".as_ptr(), 0) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("making memory for the counts");
        }
        let length = i64::try_from(BYTES).context("sizing the table")?;
        // SAFETY: a file of ours.
        if unsafe { libc::ftruncate(fd, length) } != 0 {
            return Err(std::io::Error::last_os_error()).context("sizing the memory of the counts");
        }
        Self::open(fd)
    }

    /// The table of the program that executed this one.
    pub fn open(fd: i32) -> Result<Self> {
        // SAFETY: a new mapping, kept to the end of the process.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), BYTES, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)
        };
        if at == libc::MAP_FAILED {
            bail!("mapping the counts: {}", std::io::Error::last_os_error());
        }
        // SAFETY: the mapping is that long, zeroed by the kernel, page-aligned, and cells are atomics.
        let cells = unsafe { std::slice::from_raw_parts(at.cast::<Cell>(), CELLS) };
        Ok(Self { cells, fd })
    }

    /// The file that a program to be executed opens the table by.
    pub const fn fd(self) -> i32 {
        self.fd
    }

    /// Counts calls, before they are issued: there may be no afterwards.
    pub fn issued(self, abi: Abi, nr: u32, own_filter: bool, fate: Fate, count: u64) {
        self.cell(abi, nr, own_filter, fate).issued.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts results that were errors.
    pub fn failed(self, abi: Abi, nr: u32, own_filter: bool, fate: Fate, count: u64) {
        self.cell(abi, nr, own_filter, fate).failed.fetch_add(count, Ordering::Relaxed);
    }

    fn cell(self, abi: Abi, nr: u32, own_filter: bool, fate: Fate) -> &'static Cell {
        let row = abi as usize * NUMBERS + nr as usize % NUMBERS;
        &self.cells[(row * Fate::ALL.len() + fate as usize) * SIDES + usize::from(own_filter)]
    }

    /// The counts as one line of JSON.
    pub fn render(self) -> String {
        let mut rows = Vec::new();
        for abi in Abi::ALL {
            for nr in 0..u32::try_from(NUMBERS).unwrap_or(u32::MAX) {
                for fate in Fate::ALL {
                    for own_filter in [false, true] {
                        let cell = self.cell(abi, nr, own_filter, fate);
                        let issued = cell.issued.load(Ordering::Relaxed);
                        if issued == 0 {
                            continue;
                        }
                        let mut row = String::new();
                        _ = write!(
                            row,
                            r#"{{"abi":"{}","nr":{nr},"own_filter":{own_filter},"fate":"{}","issued":{issued},"failed":{}}}"#,
                            abi.as_str(),
                            fate.as_str(),
                            cell.failed.load(Ordering::Relaxed)
                        );
                        rows.push(row);
                    }
                }
            }
        }
        format!("[{}]", rows.join(","))
    }
}
