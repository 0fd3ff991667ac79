//! The control socket against good, bad and slow clients.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auditor::control::{self, ClientError, FailureKind, FollowItem, Query, Request, Response, Source};
use auditor::evidence::{Command, Start, Workload};
use auditor::store::{Batch, Saved, Store};

const PATIENCE: Duration = Duration::from_secs(5);

/// A served socket in a directory of its own; the server ends with the runtime.
struct Daemon {
    path: PathBuf,
    _directory: tempfile::TempDir,
    _runtime: fixture::Background,
}

fn daemon() -> Daemon {
    let runtime = fixture::Background::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auditor.sock");
    let inside = runtime.enter();
    let listener = control::bind(&path, None).unwrap();
    let source = fixture::source(fixture::snapshot());
    runtime.spawn(control::serve(listener, source));
    drop(inside);
    Daemon { path, _directory: directory, _runtime: runtime }
}

/// A daemon's main loop that knows no container.
fn no_containers() -> Source {
    let (source, mut queries) = Source::new(64, PATIENCE);
    tokio::spawn(async move {
        while let Some(query) = queries.recv().await {
            match query {
                Query::Snapshot { reply } => drop(reply.send(Arc::default())),
                Query::Evidence { reply } => drop(reply.send(Vec::new())),
                Query::Forget { reply, .. } => drop(reply.send(())),
                other => panic!("not asked for: {other:?}"),
            }
        }
    });
    source
}

/// A daemon whose store has these workloads of one image, a start of each, and no containers.
fn daemon_that_remembers(commands: &[Command]) -> (Daemon, Store) {
    let runtime = fixture::Background::start();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("state")).unwrap();
    let starts = commands.iter().zip(["ab", "cd", "ef"]).map(|(command, id)| {
        let mut evidence = fixture::material(&[id.repeat(32)]).evidence;
        Saved {
            workload: Workload { command: command.clone(), ..evidence.workload },
            image_names: vec!["shop:1".to_owned()],
            start: Start { profile: None, confined: Some(false), ..evidence.starts.remove(0) },
        }
    });
    store.save(Batch { starts: starts.collect(), ..Batch::default() });
    assert!(store.settle(PATIENCE));
    let path = directory.path().join("auditor.sock");
    let inside = runtime.enter();
    let listener = control::bind(&path, None).unwrap();
    let source = no_containers().with_library(Some(store.library()));
    runtime.spawn(control::serve(listener, source));
    drop(inside);
    (Daemon { path, _directory: directory, _runtime: runtime }, store)
}

#[test]
fn a_service_and_an_image_are_known_when_no_container_is() {
    let service = |name: &str| Command::Service(name.to_owned());
    let (daemon, store) = daemon_that_remembers(&[service("shop/web"), service("shop/job"), service("blog/web")]);
    let material = |word: &str| {
        let request = Request::Suggest { container: word.to_owned(), profile: None };
        match control::call(&daemon.path, &request, PATIENCE).unwrap() {
            Response::Material(material) => (material.evidence.starts.len(), material.others.len()),
            other => panic!("not material: {other:?}"),
        }
    };
    assert_eq!(material("shop/web"), (1, 0));
    assert_eq!(material("job"), (1, 0));
    // What else is meant is said.
    assert_eq!(material("web"), (2, 1));
    assert_eq!(material("shop:1"), (3, 2));
    let forget = Request::Forget { workloads: None, before: None };
    let Response::Forgotten { workloads, starts } = control::call(&daemon.path, &forget, PATIENCE).unwrap() else {
        panic!("not forgotten")
    };
    assert_eq!((workloads, starts), (3, 3));
    assert!(store.close(PATIENCE));
}

fn refused(daemon: &Daemon, request: &Request) -> (FailureKind, String) {
    match control::call(&daemon.path, request, PATIENCE) {
        Err(ClientError::Failed(failure)) => (failure.kind, failure.message),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn every_request_has_its_answer() {
    let daemon = daemon();
    let call = |request| control::call(&daemon.path, &request, PATIENCE).unwrap();
    let Response::Containers { containers } = call(Request::Ps) else { panic!("not containers") };
    assert_eq!(containers.len(), 3);
    assert!(containers.iter().all(|container| container.syscalls.is_none()));
    let Response::Container { container } = call(Request::Show { container: "shell".to_owned() }) else {
        panic!("not a container")
    };
    assert_eq!(*container, fixture::snapshot().containers[0]);
    let image = Request::Suggest { container: "busybox:1.35".to_owned(), profile: None };
    let Response::Material(material) = call(image) else { panic!("not material") };
    assert_eq!(*material, fixture::material(&["ab".repeat(32), "cd".repeat(32)]));
    let Response::Health(health) = call(Request::Health) else { panic!("not health") };
    assert_eq!(*health, fixture::snapshot().health);
}

#[test]
fn followers_are_told_and_bounded() {
    let daemon = daemon();
    let follow = |after: Option<&str>| {
        let request = Request::Denials { container: None, follow: true, after: after.map(str::to_owned) };
        control::follow(&daemon.path, &request, PATIENCE)
    };
    let (answer, mut following) = follow(None).unwrap();
    assert_eq!(answer.denials, fixture::denials(None));
    assert_eq!(following.next_item().unwrap(), FollowItem::Denial(Box::new(answer.denials[0].clone())));
    assert_eq!(following.next_item().unwrap(), FollowItem::Lost { count: 7 });
    // Who knows this daemon's past is not told it again.
    let (again, _) = follow(Some(&answer.daemon)).unwrap();
    assert_eq!((again.daemon, again.denials), (answer.daemon, Vec::new()));
    let mut many = Vec::new();
    let refused = loop {
        match follow(None) {
            Ok(following) => many.push(following),
            Err(error) => break error,
        }
        assert!(many.len() < 100, "followers without bounds");
    };
    assert!(matches!(refused, ClientError::Failed(failure) if failure.kind == FailureKind::Busy));
    assert!(control::call(&daemon.path, &Request::Ps, PATIENCE).is_ok());
    drop(many);
    // Room comes back when followers go.
    let began = Instant::now();
    while follow(None).is_err() {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn refusals_have_their_kind() {
    let daemon = daemon();
    let show = |container: &str| Request::Show { container: container.to_owned() };
    assert_eq!(refused(&daemon, &show("shel")).0, FailureKind::NoSuchContainer);
    assert_eq!(refused(&daemon, &show("ab")).0, FailureKind::Ambiguous);
    let suggest = Request::Suggest { container: "no-image".to_owned(), profile: None };
    assert_eq!(refused(&daemon, &suggest).0, FailureKind::NoSuchContainer);
}

#[test]
fn nonsense_is_a_bad_request_and_the_connection_goes_on() {
    let daemon = daemon();
    let mut stream = UnixStream::connect(&daemon.path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for request in ["", "null", "{\"ask\":\"reboot\"}", "{\"ask\":\"show\",\"container\":1}", "\u{fffd}"] {
        writeln!(stream, "{request}").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.contains("\"kind\":\"bad_request\""), "{request:?}: {answer}");
    }
    writeln!(stream, "{{\"ask\":\"health\"}}").unwrap();
    let mut answer = String::new();
    answers.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("{\"answer\":\"health\""), "{answer}");
}

#[test]
fn a_request_without_end_is_cut_off() {
    let daemon = daemon();
    let mut stream = UnixStream::connect(&daemon.path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The daemon stops reading: the rest of the flood fails or is dropped.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || String::from_utf8_lossy(&answer).contains("bad_request"));
    assert!(control::call(&daemon.path, &Request::Ps, PATIENCE).is_ok());
}

#[test]
fn silent_clients_hold_nobody_up() {
    let daemon = daemon();
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&daemon.path).unwrap()).collect();
    let began = Instant::now();
    assert!(control::call(&daemon.path, &Request::Ps, PATIENCE).is_ok());
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(silent);
}

#[test]
fn one_client_too_many_is_told_so() {
    let daemon = daemon();
    let mut clients: Vec<UnixStream> = (0..140).map(|_| UnixStream::connect(&daemon.path).unwrap()).collect();
    let last = clients.last_mut().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"kind\":\"busy\""), "{answer}");
}

#[test]
fn a_main_loop_that_does_not_answer_is_busy() {
    let runtime = fixture::Background::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auditor.sock");
    let (source, _unanswered) = Source::new(1, Duration::from_millis(50));
    {
        let _inside = runtime.enter();
        runtime.spawn(control::serve(control::bind(&path, None).unwrap(), source));
    }
    for words in ["did not answer in time", "too many requests"] {
        let error = control::call(&path, &Request::Ps, PATIENCE).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_goes_with_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auditor.sock");
    let listener = control::bind(&path, None).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_dead_one_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auditor.sock");
    let first = control::bind(&path, None).unwrap();
    let error = control::bind(&path, None).unwrap_err();
    assert!(error.to_string().ends_with("is taken: another auditor daemon runs; stop it or give --socket"), "{error}");
    assert!(path.exists(), "the loser must leave the winner's socket alone");
    drop(first);

    // As after kill -9: the socket is there and nobody listens.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(control::bind(&path, None).unwrap());

    // Somebody else's socket, without our lock.
    let foreign = UnixListener::bind(&path).unwrap();
    assert!(control::bind(&path, None).unwrap_err().to_string().contains("is taken"));
    drop(foreign);
}

#[tokio::test]
async fn a_file_in_the_way_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auditor.sock");
    std::fs::write(&path, "precious").unwrap();
    assert!(control::bind(&path, None).unwrap_err().to_string().contains("is not a socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn an_answer_that_is_none_is_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    for (answer, words) in [
        ("", "the connection closed before the answer"),
        ("HTTP/1.1 400 Bad Request\n", "are both of one version?"),
        ("{\"answer\":\"later\"}\n", "are both of one version?"),
    ] {
        let path = directory.path().join("other.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = control::call(&path, &Request::Ps, PATIENCE).unwrap_err().to_string();
        server.join().unwrap();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}
