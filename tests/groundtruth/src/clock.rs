//! How long a call takes: a tight loop.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::raw;
use crate::work::Call;

const BLOCKS: usize = 5;

/// Prints nanoseconds a call: the median of a few blocks of so many calls, on one processor.
pub fn run(args: &[String]) -> Result<()> {
    let [call] = args else { bail!("clock CALL") };
    let call: Call = call.parse()?;
    crate::work::pin(1);
    let mut blocks: Vec<f64> = (0..=BLOCKS).map(|_| block(&call)).collect();
    // The first one warms up.
    blocks.remove(0);
    blocks.sort_by(f64::total_cmp);
    println!("{:.1}", blocks[BLOCKS / 2]);
    Ok(())
}

fn block(call: &Call) -> f64 {
    let started = Instant::now();
    for _ in 0..call.count {
        raw::call(call.abi, call.nr, call.arg);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are small")]
    let calls = call.count as f64;
    started.elapsed().as_secs_f64() * 1e9 / calls
}
