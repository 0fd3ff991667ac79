//! Real runtimes: what they call under the filter is told from what the program calls, to the last call of each. Needs
//! root, Docker, runc, crun and a kernel that takes the programs; fails without.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use auditor::container::CgroupId;

use auditor::control::{Request, Response, call};
use auditor::counters::Counters;
use auditor::evidence::Start;
use auditor::kernel::{Existing, Kernel, SlotNr};
use auditor::syscall::{self, Abi, SyscallNr};
use tests::counting::{Made, alone, counting, of_program, of_runtime, slot_of};
use tests::engine::{CRUN, CgroupMode, Engine};
use tests::process::wait_for;
use tests::stage::Stage;
use tests::{image, tiny};

fn number(name: &str) -> Result<(Abi, i32)> {
    Ok((Abi::X86_64, syscall::number(Abi::X86_64, name).with_context(|| format!("the number of {name}"))?.0))
}

/// The slot of a container, also of one that has ended.
fn slot_named(kernel: &Kernel, id: &str) -> Result<SlotNr> {
    let owners = kernel.owners()?;
    let found = owners.iter().find(|(_, owner)| owner.name == id);
    Ok(*found.with_context(|| format!("container {id} has no slot"))?.0)
}

fn counters_in(kernel: &Kernel, slot: SlotNr) -> Result<Counters> {
    kernel.counters(&BTreeSet::from([slot]))?.remove(&slot).context("the slot's counters")
}

/// What they do under the filter ends with one `execve`; all other calls are the program's.
#[test]
fn of_a_container_all_but_the_program_s_calls_are_the_runtime_s() -> Result<()> {
    let _alone = alone();
    let engine = Engine::start(CgroupMode::Unified)?;
    let tree = image::busybox_tree(&engine)?;
    tiny::write(&tree.path().join("tiny"))?;
    engine.import_image(tree.path(), image::BUSYBOX)?;
    let mut kernel = counting()?;
    let rows: [(&str, &[&str]); 6] = [
        ("runc", &[]),
        ("runcnnp", &["--security-opt=no-new-privileges"]),
        ("runcuser", &["--user=1000:1000", "--cap-drop=ALL"]),
        ("crun", &[CRUN]),
        ("crunnnp", &[CRUN, "--security-opt=no-new-privileges"]),
        ("crunuser", &[CRUN, "--user=1000:1000", "--cap-drop=ALL"]),
    ];
    for (name, options) in rows {
        let line = [&["run", "--network=none", "--name", name][..], options, &[image::BUSYBOX, "/tiny"]].concat();
        engine.client(line)?;
        let slot = slot_named(&kernel, &engine.id(name)?)?;
        let counters = counters_in(&kernel, slot)?;
        assert_eq!(of_program(&counters), tiny::calls(1), "{name}");
        let runtime = of_runtime(&counters);
        assert_eq!(runtime.get(&number("execve")?), Some(&1), "{name}");
        // crun's are the same at each start; a Go program's scheduler makes some as it likes.
        if options.contains(&CRUN) {
            let again = format!("{name}again");
            let line = [&["run", "--network=none", "--name", &again][..], options, &[image::BUSYBOX, "/tiny"]].concat();
            engine.client(line)?;
            let slot = slot_named(&kernel, &engine.id(&again)?)?;
            assert_eq!(of_runtime(&counters_in(&kernel, slot)?), runtime, "{name}");
        }
        ensure!(runtime.len() > 1 && runtime.keys().all(|(abi, _)| *abi == Abi::X86_64), "{name}: {runtime:?}");
        kernel.release(&BTreeSet::from([slot]))?;
    }
    for (name, options) in [("runcexec", &[][..]), ("crunexec", &[CRUN])] {
        let sleep = [image::BUSYBOX, "/bin/busybox", "sleep", "1000"];
        engine.client([&["run", "--detach", "--network=none", "--name", name][..], options, &sleep].concat())?;
        let slot = slot_named(&kernel, &engine.id(name)?)?;
        let execs = |kernel: &Kernel| -> Result<_> {
            let before = wait_for("the program to sleep", Duration::from_secs(10), || {
                let counters = counters_in(kernel, slot)?;
                let made = of_program(&counters);
                let asleep = ["nanosleep", "clock_nanosleep"]
                    .iter()
                    .any(|name| number(name).is_ok_and(|sleep| made.contains_key(&sleep)));
                Ok(asleep.then_some(counters))
            })?;
            for _ in 0..3 {
                engine.client(["exec", name, "/tiny"])?;
            }
            let after = counters_in(kernel, slot)?;
            let more = |count: fn(&Counters) -> Made| {
                let (before, after) = (count(&before), count(&after));
                let grown = |(key, n): (&(Abi, i32), &u64)| (*key, n - before.get(key).copied().unwrap_or(0));
                after.iter().map(grown).filter(|(_, n)| *n > 0).collect::<Made>()
            };
            Ok((more(of_runtime), more(of_program)))
        };
        let (runtime, program) = execs(&kernel)?;
        assert_eq!(program, tiny::calls(3), "{name}");
        assert_eq!(runtime.get(&number("execve")?), Some(&3), "{name}");
        // The same for one that was there before.
        let id = CgroupId(std::fs::metadata(engine.cgroup(name)?)?.ino());
        let mut later = Kernel::load(4)?;
        later.attach(|| vec![Existing::nameless(id)])?;
        for _ in 0..2 {
            engine.client(["exec", name, "/tiny"])?;
        }
        let counters = counters_in(&later, slot_of(&later, id)?)?;
        assert_eq!(of_program(&counters), tiny::calls(2), "{name}");
        assert_eq!(of_runtime(&counters).get(&number("execve")?), Some(&2), "{name}");
        engine.client(["rm", "--force", name])?;
    }
    Ok(())
}

/// The one start of a container, as the daemon tells of it.
fn start_of(stage: &Stage, container: &str) -> Result<Start> {
    let request = Request::Suggest { container: container.to_owned(), profile: None };
    let Response::Material(material) = call(&stage.auditor.socket(), &request, Duration::from_secs(20))? else {
        bail!("another answer than what a suggestion of {container} is made from");
    };
    let [start] = &material.evidence.starts[..] else { bail!("{:?}", material.evidence.starts) };
    Ok(start.clone())
}

/// Evidence that the daemon gives has the phases and the arguments, of a container that runs and of one that has ended.
fn evidence_has_phases_and_arguments(stage: &Stage) -> Result<()> {
    let ioctl = (Abi::I386, syscall::number(Abi::I386, "ioctl").context("ioctl")?);
    let made = ["args", "i386:54(ffffffff,77)*5", "124(0)*3", "7(0,0,1f4)"];
    for (name, options, confined) in [
        ("ev-runc", &[][..], true),
        ("ev-crun", &[CRUN], true),
        ("ev-open", &["--security-opt=seccomp=unconfined"], false),
    ] {
        let line = [&["run", "--detach", "--network=none", "--name", name][..], options];
        stage.engine.client([&line.concat()[..], &[image::BUSYBOX, "/groundtruth"], &made].concat())?;
        let complete = |start: &Start| {
            start.arguments.calls.get(&ioctl).is_some_and(|values| values.seen.get(&[0x77, 0]) == Some(&5))
        };
        let start = wait_for("the calls", Duration::from_secs(20), || {
            stage.auditor.settled(name)?;
            Ok(Some(start_of(stage, name)?).filter(complete))
        })?;
        let values = &start.arguments.calls[&ioctl];
        ensure!((values.seen.len(), values.overflowed) == (1, 0), "{name}: {values:?}");
        stage.engine.client(["wait", name])?;
        let ended = start_of(stage, name)?;
        ensure!(ended.arguments.calls[&ioctl] == *values && ended.confined == Some(confined), "{name}: {ended:?}");
        let of = |name: &str| -> Result<_> {
            let (abi, nr) = number(name)?;
            Ok(ended.calls[&(abi, SyscallNr(nr))])
        };
        let (getsid, execve) = (of("getsid")?, of("execve")?);
        let calls = if confined { getsid.tally.calls } else { getsid.tally.unfiltered_calls };
        ensure!((calls, getsid.tally.runtime_calls) == (3, 0), "{name}: {getsid:?}");
        ensure!(getsid.startup_calls == Some(3), "{name}: {getsid:?}");
        ensure!(execve.tally.runtime_calls == u64::from(confined), "{name}: {execve:?}");
    }
    Ok(())
}

tests::on_both! {
    evidence_has_phases_and_arguments
}
