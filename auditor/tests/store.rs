//! The evidence store against what happens to files: writers that are killed, bytes that change, others that come first.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use auditor::counters::Tally;
use auditor::evidence::{self, Arguments, Evidence, Seen, Start, Workload};
use auditor::profile::Runtime;
use auditor::store::{Batch, Saved, Store, StoreError};
use auditor::syscall::{Abi, SyscallNr};
use jiff::{SignedDuration, Timestamp};

const PATIENCE: Duration = Duration::from_secs(20);
/// Set in a child of this test: the directory that it writes to.
const CHILD: &str = "AUDITOR_TEST_STORE";

fn workload(name: &str) -> Workload {
    Workload { image: format!("sha256:{name}"), command: evidence::Command::Line(vec![name.to_owned()]) }
}

/// A start of this number that made these calls, one of each.
fn start(number: i64, calls: &[i32]) -> Start {
    let began = "2026-11-23T19:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(number);
    let tally = Tally { calls: 1, ..Tally::default() };
    let seen = Seen { tally, startup_calls: None, first: began, last: began };
    Start {
        id: format!("{number:032x}"),
        container: "ab".repeat(32),
        name: None,
        began,
        until: began,
        seconds: 60,
        from_first_call: true,
        lost: 0,
        profile: None,
        runtime: Runtime::Runc,
        confined: Some(false),
        excluded: false,
        exclusions: 0,
        calls: calls.iter().map(|nr| ((Abi::X86_64, SyscallNr(*nr)), seen)).collect(),
        arguments: Arguments::default(),
        summary: false,
    }
}

fn saved(name: &str, start: Start) -> Saved {
    Saved { workload: workload(name), image_names: vec![name.to_owned()], start }
}

fn batch(starts: Vec<Saved>) -> Batch {
    Batch { starts, ..Batch::default() }
}

fn open(directory: &Path) -> Store {
    Store::open(directory).unwrap()
}

/// Writes and closes.
fn write(directory: &Path, starts: Vec<Saved>) {
    let store = open(directory);
    store.save(batch(starts));
    assert!(store.close(PATIENCE));
}

fn starts(store: &Store, name: &str) -> Vec<Start> {
    store.library().evidence(&workload(name).id()).unwrap().map(|evidence| evidence.starts).unwrap_or_default()
}

fn files(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn aside(directory: &Path, kind: &str) -> usize {
    files(directory).iter().filter(|name| name.starts_with(&format!("evidence.redb.{kind}-"))).count()
}

#[test]
fn starts_that_were_counted_while_no_daemon_ran_stay_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (counted, not) = (start(1, &[1]), start(2, &[2]));
    let running = BTreeSet::from([counted.id.clone(), not.id.clone()]);
    store.save(Batch { running, ..batch(vec![saved("web", counted.clone()), saved("web", not.clone())]) });
    assert!(store.close(PATIENCE));
    let store = Store::open_waiting(directory.path()).unwrap();
    assert!(store.take_interrupted().is_empty(), "nobody has said yet which were counted");
    store.take_over(BTreeSet::from([counted.id.clone()])).unwrap();
    let not = Start { from_first_call: false, ..not };
    assert_eq!(store.take_interrupted(), [counted.clone(), not.clone()]);
    assert_eq!(starts(&store, "web"), [counted, not]);
}

#[test]
fn accounts_are_kept_until_they_are_forgotten_and_it_is_known_what_is_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!((store.committed(), store.accounts()), (0, BTreeMap::new()));
    let accounts = |pairs: &[(&str, Option<&str>)]| {
        pairs.iter().map(|(id, text)| ((*id).to_owned(), text.map(str::to_owned))).collect::<BTreeMap<_, _>>()
    };
    store.save(Batch { accounts: accounts(&[("a", Some("1")), ("b", Some("2"))]), number: 1, ..Batch::default() });
    store.save(Batch { accounts: accounts(&[("a", Some("3"))]), number: 2, ..Batch::default() });
    assert!(store.settle(PATIENCE));
    assert_eq!(store.committed(), 2);
    store.save(Batch { accounts: accounts(&[("b", None)]), number: 3, ..Batch::default() });
    assert!(store.close(PATIENCE));
    let store = open(directory.path());
    assert_eq!(store.accounts(), BTreeMap::from([("a".to_owned(), "3".to_owned())]));
}

#[test]
fn a_file_from_before_there_were_accounts_gets_room_for_them() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), vec![saved("web", start(1, &[1]))]);
    let file = redb::Database::open(directory.path().join("evidence.redb")).unwrap();
    let change = file.begin_write().unwrap();
    assert!(change.delete_table(redb::TableDefinition::<&str, &str>::new("accounts")).unwrap());
    change.commit().unwrap();
    drop(file);
    let store = open(directory.path());
    assert_eq!((starts(&store, "web").len(), aside(directory.path(), "corrupt")), (1, 0));
    let accounts = BTreeMap::from([("a".to_owned(), Some("1".to_owned()))]);
    store.save(Batch { accounts, ..Batch::default() });
    assert!(store.close(PATIENCE));
    assert_eq!(open(directory.path()).accounts().len(), 1);
}

#[test]
fn what_is_saved_is_there_for_the_next_daemon_and_what_went_on_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (over, running) = (start(1, &[1, 2]), start(2, &[3]));
    let profiles = BTreeMap::from([("5e".repeat(32), "{}".to_owned())]);
    let starts_saved = vec![saved("web", over.clone()), saved("web", running.clone())];
    store.save(Batch {
        starts: starts_saved,
        profiles,
        running: BTreeSet::from([running.id.clone()]),
        ..Batch::default()
    });
    assert!(store.close(PATIENCE));
    let store = open(directory.path());
    // Whatever it did since: nobody counted it.
    let interrupted = Start { from_first_call: false, ..running };
    assert_eq!(store.take_interrupted(), std::slice::from_ref(&interrupted));
    assert!(store.take_interrupted().is_empty());
    assert_eq!(starts(&store, "web"), [over.clone(), interrupted.clone()]);
    assert_eq!(store.library().profile(&"5e".repeat(32)).unwrap().unwrap(), "{}");
    let more = Start { until: interrupted.until + SignedDuration::from_secs(9), ..start(2, &[3, 4]) };
    store.save(batch(vec![saved("web", more.clone())]));
    assert!(store.close(PATIENCE));
    let store = open(directory.path());
    let more = Start { from_first_call: false, ..more };
    assert_eq!((starts(&store, "web"), store.take_interrupted()), (vec![over, more], vec![]));
    assert_eq!(files(directory.path()), BTreeSet::from(["evidence.lock".to_owned(), "evidence.redb".to_owned()]));
}

#[test]
fn what_two_have_counted_of_one_start_is_not_lost_whoever_writes_last() {
    let directory = tempfile::tempdir().unwrap();
    let many = |start: Start, calls: u64| {
        let calls =
            start.calls.iter().map(|(key, seen)| (*key, Seen { tally: Tally { calls, ..Tally::default() }, ..*seen }));
        Start { calls: calls.collect(), ..start.clone() }
    };
    let first = many(start(1, &[1, 2]), 1_000);
    // Of a daemon that came later and heard nothing of the first.
    let later = Start {
        from_first_call: false,
        until: first.until + SignedDuration::from_hours(1),
        ..many(start(1, &[2, 3]), 5)
    };
    let store = open(directory.path());
    store.save(batch(vec![saved("web", first.clone())]));
    assert!(store.settle(PATIENCE));
    store.save(batch(vec![saved("web", later.clone())]));
    assert!(store.settle(PATIENCE));
    let found = starts(&store, "web").remove(0);
    let calls = |nr| found.calls[&(Abi::X86_64, SyscallNr(nr))].tally.calls;
    assert_eq!((calls(1), calls(2), calls(3)), (1_000, 1_000, 5));
    assert_eq!((found.began, found.until, found.from_first_call), (first.began, later.until, false));
}

#[test]
fn what_was_said_last_of_leaving_out_holds_over_files_from_before() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), vec![saved("web", start(1, &[1]))]);
    let store = open(directory.path());
    let (library, id) = (store.library(), start(1, &[]).id);
    let is_excluded = || starts(&store, "web")[0].excluded;
    let all = || vec![library.evidence(&workload("web").id()).unwrap().unwrap()];
    let with = all();
    library.exclude(&workload("web").id(), &id, true).unwrap();
    let without = all();
    library.merge(with, BTreeMap::new()).unwrap();
    assert!(is_excluded());
    library.exclude(&workload("web").id(), &id, false).unwrap();
    library.merge(without, BTreeMap::new()).unwrap();
    assert!(!is_excluded());
}

#[test]
fn what_the_user_left_out_stays_left_out_while_the_start_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), vec![saved("web", start(1, &[1]))]);
    let store = open(directory.path());
    let library = store.library();
    let found = library.find("0000").unwrap();
    assert_eq!(found, [(workload("web").id(), start(1, &[]).id)]);
    library.exclude(&found[0].0, &found[0].1, true).unwrap();
    store.save(batch(vec![saved("web", start(1, &[1, 2]))]));
    assert!(store.settle(PATIENCE));
    assert_eq!(starts(&store, "web"), [Start { excluded: true, exclusions: 1, ..start(1, &[1, 2]) }]);
    library.exclude(&found[0].0, &found[0].1, false).unwrap();
    assert!(!starts(&store, "web")[0].excluded);
}

#[test]
fn what_is_forgotten_is_gone_with_the_profiles_that_nobody_needs() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let under = |number, sha: &str| Start { profile: Some(sha.repeat(32)), ..start(number, &[1]) };
    let profiles = ["aa", "bb"].map(|sha| (sha.repeat(32), sha.to_owned()));
    let starts_saved = vec![saved("web", under(1, "aa")), saved("web", under(9, "bb")), saved("db", under(2, "bb"))];
    store.save(Batch { starts: starts_saved, profiles: profiles.into(), ..Batch::default() });
    assert!(store.settle(PATIENCE));
    let library = store.library();
    let all = [workload("web").id(), workload("db").id()];
    let forgotten = library.forget(&all, Some(start(5, &[]).began)).unwrap();
    assert_eq!((forgotten.workloads, forgotten.starts), (1, 2));
    assert_eq!(starts(&store, "web"), [under(9, "bb")]);
    assert_eq!(library.profile(&"aa".repeat(32)).unwrap(), None);
    assert!(library.profile(&"bb".repeat(32)).unwrap().is_some());
    assert_eq!(library.forget(&all, None).unwrap().workloads, 1);
    assert!(library.workloads().unwrap().is_empty());
}

#[test]
fn what_is_imported_counts_once_however_often_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let library = store.library();
    let part = |numbers: &[i64]| Evidence {
        workload: workload("web"),
        image_names: vec!["web".to_owned()],
        starts: numbers.iter().map(|number| start(*number, &[1])).collect(),
    };
    let counts = |numbers| {
        let taken = library.merge(vec![part(numbers)], BTreeMap::new()).unwrap();
        (taken.new, taken.more)
    };
    assert_eq!(counts(&[1, 2]), (2, 0));
    assert_eq!(counts(&[2, 3]), (1, 0));
    assert_eq!(counts(&[1, 2, 3]), (0, 0));
    let mut longer = part(&[3]);
    longer.starts[0].until += SignedDuration::from_secs(1);
    let taken = library.merge(vec![longer.clone()], BTreeMap::new()).unwrap();
    assert_eq!((taken.new, taken.more), (0, 1));
    assert_eq!(counts(&[3]), (0, 0));
    assert_eq!(starts(&store, "web").last(), longer.starts.first());
}

#[test]
fn a_thousand_starts_are_bounded_and_no_call_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..1_000 {
        store.save(batch(vec![saved("web", start(number, &[1, i32::try_from(number / 100).unwrap() + 2]))]));
        if number % 50 == 0 {
            assert!(store.settle(PATIENCE));
        }
    }
    assert!(store.settle(PATIENCE));
    let kept = starts(&store, "web");
    assert_eq!((kept.len(), kept.iter().filter(|start| !start.summary).count()), (1_000, 128));
    assert_eq!(kept.iter().map(|start| start.seconds).sum::<u64>(), 60_000);
    let calls: BTreeSet<i32> = kept.iter().flat_map(|start| start.calls.keys().map(|(_, nr)| nr.0)).collect();
    assert_eq!(calls, (1..12).collect());
}

#[test]
fn a_second_daemon_is_told_that_the_store_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(error.to_string().contains("--state-dir"), "{error}");
    assert!(store.close(PATIENCE));
    open(directory.path());
}

#[test]
fn a_directory_that_is_none_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("state")).unwrap_err().to_string();
    assert!(error.starts_with("creating the state directory "), "{error}");
}

#[test]
fn a_newer_schema_is_moved_aside_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), vec![saved("web", start(1, &[1]))]);
    let path = directory.path().join("evidence.redb");
    {
        let database = redb::Database::open(&path).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("schema", 9).unwrap();
        txn.commit().unwrap();
    }
    let newer = fs::read(&path).unwrap();
    let store = open(directory.path());
    assert!(starts(&store, "web").is_empty());
    let name = files(directory.path()).into_iter().find(|name| name.starts_with("evidence.redb.newer-")).unwrap();
    // Opening it has only written that it is open.
    assert_eq!(fs::read(directory.path().join(name)).unwrap().len(), newer.len());
    assert_eq!(aside(directory.path(), "corrupt"), 0);
}

/// A store of some workloads, as a file.
fn sample(directory: &Path) -> (PathBuf, Vec<u8>) {
    let names = ["web", "db", "cache"].into_iter().cycle();
    let starts = names.zip(0..60).map(|(name, number)| saved(name, start(number, &[1, 2, 3])));
    write(directory, starts.collect());
    let path = directory.join("evidence.redb");
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

/// Opens what is left of a file. Gives how many of its starts are there; each is one of those that were written.
fn survivors(directory: &Path) -> usize {
    let store = open(directory);
    let mut all = 0;
    for name in ["web", "db", "cache"] {
        for found in starts(&store, name) {
            let number = i64::from_str_radix(&found.id, 16).unwrap();
            assert_eq!(found, start(number, &[1, 2, 3]));
            all += 1;
        }
    }
    store.save(batch(vec![saved("web", start(99, &[1]))]));
    assert!(store.settle(PATIENCE), "what was opened cannot be written: {:?}", store.trouble());
    all
}

#[test]
fn a_file_cut_anywhere_is_whole_or_moved_aside() {
    let origin = tempfile::tempdir().unwrap();
    let (_, bytes) = sample(origin.path());
    let cuts = (0..24).map(|part| bytes.len() * part / 24).chain([1, 9, 63, 4_095, bytes.len() - 1]);
    for cut in cuts {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("evidence.redb"), &bytes[..cut]).unwrap();
        let all = survivors(directory.path());
        let moved = aside(directory.path(), "corrupt");
        assert!(all == 60 || cut == 0 || (all == 0 && moved == 1), "cut at {cut}: {all} starts, {moved} aside");
    }
}

#[test]
fn a_flipped_bit_is_harmless_or_found() {
    let origin = tempfile::tempdir().unwrap();
    let (_, bytes) = sample(origin.path());
    // The header densely, the rest at steps that share no factor with the size of a page.
    for at in (0..400).step_by(7).chain((400..bytes.len()).step_by((bytes.len() / 120) | 1)) {
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(directory.path().join("evidence.redb"), &damaged).unwrap();
        let all = survivors(directory.path());
        assert!(all == 60 || (all == 0 && aside(directory.path(), "corrupt") == 1), "byte {at}: {all} starts");
    }
}

#[test]
fn what_is_no_database_is_moved_aside() {
    for text in ["{}", &"x".repeat(100_000)] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("evidence.redb"), text).unwrap();
        assert_eq!(survivors(directory.path()), 0);
        assert_eq!(aside(directory.path(), "corrupt"), 1);
    }
}

/// Writes start after start until it is killed, and says of each that it is committed.
fn child(directory: &Path) -> ! {
    let store = open(directory);
    let first = i64::try_from(starts(&store, "web").len()).unwrap();
    for number in first.. {
        store.save(batch(vec![saved("web", start(number, &[1]))]));
        assert!(store.settle(PATIENCE));
        // Who reads has gone when this one is about to be killed.
        if writeln!(std::io::stdout(), "committed {number}").is_err() {
            break;
        }
    }
    std::process::exit(0)
}

#[test]
fn a_writer_that_is_killed_loses_no_committed_start() {
    if let Some(directory) = std::env::var_os(CHILD) {
        child(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut committed: i64 = -1;
    for round in 0..25_u64 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_writer_that_is_killed_loses_no_committed_start", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(writer.stdout.take().unwrap());
        for (line, _) in stdout.lines().map_while(Result::ok).filter(|line| line.contains("committed ")).zip(0..3) {
            let (_, number) = line.split_once("committed ").unwrap();
            committed = committed.max(number.parse().unwrap());
        }
        // Somewhere in the middle of the next one.
        std::thread::sleep(Duration::from_micros(round * 137 % 3_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let store = open(directory.path());
        let found = starts(&store, "web");
        let all = i64::try_from(found.len()).unwrap();
        assert!(all > committed, "round {round}: {all} starts are there, and {committed} was committed");
        assert!((0..all).zip(&found).all(|(number, found)| *found == start(number, &[1])), "round {round}");
        assert_eq!(aside(directory.path(), "corrupt"), 0);
        assert!(store.close(PATIENCE));
        if all > 100 {
            // Below the bound on starts: each stays.
            fs::remove_file(directory.path().join("evidence.redb")).unwrap();
            committed = -1;
        }
    }
}

/// Hands over more than the file may hold, and reads meanwhile.
fn child_without_room(directory: &Path) -> ! {
    let store = open(directory);
    let calls: Vec<i32> = (0..400).collect();
    store.save(batch((1_000..1_100).map(|number| saved("web", start(number, &calls))).collect()));
    assert!(!store.settle(Duration::from_secs(2)));
    // Over the next attempt and the one after.
    for _ in 0..60 {
        assert!(store.trouble().is_some());
        let found: usize = ["web", "db", "cache"].iter().map(|name| starts(&store, name).len()).sum();
        assert_eq!(found, 60);
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("read");
    std::process::exit(0)
}

#[test]
fn a_store_that_cannot_grow_is_read_all_the_same_and_goes_on_later() {
    if let Some(directory) = std::env::var_os(CHILD) {
        child_without_room(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let (path, bytes) = sample(directory.path());
    // Blocks of 512 bytes, as POSIX has them.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes.len() / 512);
    let ran = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_store_that_cannot_grow_is_read_all_the_same_and_goes_on_later", "--nocapture"])
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("read\n"), "{said}");
    assert!(fs::metadata(&path).unwrap().len() <= bytes.len() as u64);
    assert_eq!(survivors(directory.path()), 60);
}
