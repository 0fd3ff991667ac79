//! How long a call takes: a tight loop of the cheapest one.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::filter::{Reach, Rule, install};
use crate::raw::{self, Abi};

/// `getppid`: reads a pointer and returns.
const CHEAPEST: u32 = 110;
const BLOCKS: usize = 5;

/// Prints nanoseconds a call: the median of a few blocks of so many calls, on one processor, under these rules.
pub fn run(args: &[String]) -> Result<()> {
    let [calls, rules @ ..] = args else { bail!("clock CALLS [RULE...]") };
    let calls: u32 = calls.parse()?;
    let rules = rules.iter().map(|rule| rule.parse()).collect::<Result<Vec<Rule>>>()?;
    crate::work::pin(1);
    if !rules.is_empty() {
        install(&rules, Reach::Thread)?;
    }
    let mut blocks: Vec<f64> = (0..=BLOCKS).map(|_| block(calls)).collect();
    // The first one warms up.
    blocks.remove(0);
    blocks.sort_by(f64::total_cmp);
    println!("{:.1}", blocks[BLOCKS / 2]);
    Ok(())
}

fn block(calls: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        raw::call(Abi::X86_64, CHEAPEST, 0);
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}
