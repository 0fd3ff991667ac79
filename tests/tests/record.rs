//! Counting without a daemon: every count is what the program says that it did. Needs root and a kernel that takes the
//! programs; fails without.

use anyhow::{Context as _, Result};
use auditor::container::ContainerId;
use auditor::recording::{About, Recording};
use tests::cage::Cage;
use tests::counting::{alone, assert_equal};
use tests::groundtruth;

const CALLS: [&str; 5] = ["work", "--threads=3", "--forks=5", "124*100", "i386:147*20"];

#[test]
fn a_recording_counts_a_container_that_comes_later_from_its_first_call() -> Result<()> {
    let _alone = alone();
    let name = format!("{:064x}", 0x00c0_ffee_u64 << 32 | u64::from(std::process::id()));
    let mut recording = Recording::of_container(ContainerId::parse(&name)?)?;
    recording.look()?;
    assert!(!recording.has_begun());
    let other = Cage::new()?;
    other.run(groundtruth::program()?, &["work", "124*7"])?;
    drop(other);
    let cage = Cage::named(&name)?;
    let issued = groundtruth::parse(&cage.run(groundtruth::program()?, &CALLS)?)?;
    drop(cage);
    recording.look()?;
    assert!(recording.has_begun() && recording.has_ended());
    assert_equal(&issued, &recording.counters(), &[("x86_64", 124), ("i386", 147)])?;
    let start = recording.start(About { container: name.clone(), ..About::default() })?;
    assert_eq!((start.from_first_call, start.lost, start.container), (true, 0, name));
    assert!(start.began <= start.until);
    Ok(())
}

#[test]
fn a_recording_of_a_cgroup_with_somebody_in_it_does_not_know_the_first_calls() -> Result<()> {
    let _alone = alone();
    let cage = Cage::named("some.service")?;
    let empty = Recording::of_cgroup(cage.path())?;
    assert!(empty.start(About::default())?.from_first_call);
    let mut child = cage.start("sleep".as_ref(), &["30"])?;
    tests::process::wait_for("a process in the cgroup", std::time::Duration::from_secs(10), || {
        Ok(auditor::cgroupfs::is_populated(cage.path()).then_some(()))
    })?;
    let mut recording = Recording::of_cgroup(cage.path())?;
    let issued = groundtruth::parse(&cage.run(groundtruth::program()?, &CALLS)?)?;
    recording.look()?;
    child.kill().context("ending sleep")?;
    child.wait()?;
    assert!(!recording.start(About::default())?.from_first_call);
    assert_equal(&issued, &recording.counters(), &[("x86_64", 124), ("i386", 147)])
}
