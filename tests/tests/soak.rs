//! A minute of what `cargo xtask soak` does for an hour, and that its verdict can fail.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::soak::verdict::courses;
use tests::soak::{self, Plan, Sample};

#[test]
fn a_minute_of_churn_and_restarts_is_counted_exactly_and_leaves_nothing() -> Result<()> {
    let report = soak::run(Plan::short())?;
    let faults = report.faults(false);
    assert!(faults.is_empty(), "{faults:?}");
    let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let done = &report.done;
    ensure!(count(&done.containers) >= 8 && count(&done.failed) >= 1 && count(&done.restarts) >= 1, "{done:?}");
    ensure!(count(&done.refused) > 0 && count(&done.execs) > 3 && count(&done.scrapes) > 5, "{done:?}");
    for map in ["CGROUPS", "FOREIGN", "DENIALS", "ARGUMENTS"] {
        let filled = report.samples.iter().any(|sample| sample.entries.get(map).is_some_and(|entries| *entries > 0));
        ensure!(filled, "{map} never had an entry");
    }
    Ok(())
}

fn samples(number: impl Fn(u64) -> u64) -> Vec<Sample> {
    (0..40)
        .map(|at| Sample {
            at: Duration::from_secs(at),
            rss: number(at),
            entries: BTreeMap::from([("CGROUPS".to_owned(), number(at))]),
            ..Sample::default()
        })
        .collect()
}

#[test]
fn what_grows_is_not_flat_and_what_has_warmed_up_is() {
    let warm = courses(&samples(|at| if at < 10 { 100 * at } else { 1_000 + at % 3 }));
    assert!(warm.iter().all(|course| course.is_flat), "{warm:?}");
    let growing = courses(&samples(|at| 1_000 + 10 * at));
    let bent: Vec<&str> = growing.iter().filter(|course| !course.is_flat).map(|course| course.name.as_str()).collect();
    assert_eq!(bent, ["memory (kB)", "entries of CGROUPS"]);
}
