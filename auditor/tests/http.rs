//! The web server against scrapers of all kinds, over real connections.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auditor::control::Source;
use auditor::http::{self, Gate};
use auditor::metrics;
use auditor::report::snapshot::Snapshot;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixture::Background;

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves on two loopback addresses until the runtime is dropped.
fn serve(runtime: &Background, source: impl FnOnce() -> Source) -> Vec<SocketAddr> {
    serve_behind(runtime, source, None)
}

/// The same with a web configuration.
fn serve_behind(runtime: &Background, source: impl FnOnce() -> Source, file: Option<&Path>) -> Vec<SocketAddr> {
    let _inside = runtime.enter();
    let options = http::Options { metrics: metrics::Options::default(), gate: Arc::new(Gate::open(file).unwrap()) };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = http::bind(&[loopback, loopback]).unwrap();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    runtime.spawn(http::serve(listeners, source(), options));
    addresses
}

fn serve_snapshot(runtime: &Background, snapshot: Snapshot) -> Vec<SocketAddr> {
    serve(runtime, || fixture::source(snapshot))
}

/// Sends `head` and gives the status line, the headers in lower case, and the body.
fn exchange(address: SocketAddr, head: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{head}Host: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    (status.to_owned(), headers.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn every_page_answers_on_every_address() {
    let runtime = Background::start();
    for address in serve_snapshot(&runtime, fixture::snapshot()) {
        for (path, kind, words) in [
            ("/", "text/html; charset=utf-8", "href=\"/metrics\""),
            ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "auditor_docker_up 1\n"),
            ("/healthz", "text/plain; charset=utf-8", "ok\n"),
            ("/readyz", "text/plain; charset=utf-8", "ok\n"),
        ] {
            let (status, headers, body) = exchange(address, &format!("GET {path} HTTP/1.1\r\n"));
            assert_eq!(status, "HTTP/1.1 200 OK", "{path}");
            assert!(headers.lines().any(|line| line == format!("content-type: {kind}")), "{path}: {headers}");
            assert!(body.contains(words), "{path}: {body}");
            let (status, _, body) = exchange(address, &format!("HEAD {path} HTTP/1.1\r\n"));
            assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""), "{path}");
        }
    }
}

#[test]
fn only_get_and_head_are_answered() {
    let runtime = Background::start();
    let address = serve_snapshot(&runtime, fixture::snapshot())[0];
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/metrics", "/", "/nowhere"] {
            let (status, headers, _) = exchange(address, &format!("{method} {path} HTTP/1.1\r\n"));
            assert_eq!(status, "HTTP/1.1 405 Method Not Allowed", "{method} {path}");
            assert!(headers.contains("allow: get, head"), "{headers}");
        }
    }
    assert_eq!(exchange(address, "GET /nowhere HTTP/1.1\r\n").0, "HTTP/1.1 404 Not Found");
}

#[test]
fn readyz_gives_its_reasons_one_a_line() {
    let runtime = Background::start();
    let mut snapshot = fixture::snapshot();
    snapshot.health.not_ready = vec!["docker does not answer".to_owned(), "all slots\nare taken".to_owned()];
    let address = serve_snapshot(&runtime, snapshot)[0];
    let (status, _, body) = exchange(address, "GET /readyz HTTP/1.1\r\n");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(body, "docker does not answer\nall slots\\nare taken\n");
    assert_eq!(exchange(address, "GET /healthz HTTP/1.1\r\n").0, "HTTP/1.1 200 OK");
}

#[test]
fn a_main_loop_that_does_not_answer_is_503() {
    let runtime = Background::start();
    let (source, _unanswered) = Source::new(1, Duration::from_millis(50));
    let address = serve(&runtime, || source)[0];
    for path in ["/metrics", "/readyz", "/healthz"] {
        assert_eq!(
            exchange(address, &format!("GET {path} HTTP/1.1\r\n")).0,
            "HTTP/1.1 503 Service Unavailable",
            "{path}"
        );
    }
}

#[test]
fn a_huge_body_is_not_taken() {
    let runtime = Background::start();
    let address = serve_snapshot(&runtime, fixture::snapshot())[0];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n").unwrap();
    let block = vec![0_u8; 64 << 10];
    let sent = (0..1600).take_while(|_| stream.write_all(&block).is_ok()).count();
    assert!(sent < 1600, "the server swallowed all 100 MB");
    assert_eq!(exchange(address, "GET /healthz HTTP/1.1\r\n").0, "HTTP/1.1 200 OK");
}

#[test]
fn a_head_without_end_is_refused() {
    let runtime = Background::start();
    let address = serve_snapshot(&runtime, fixture::snapshot())[0];
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nX: ").unwrap();
    let block = vec![b'a'; 16 << 10];
    let sent = (0..1024).take_while(|_| stream.write_all(&block).is_ok()).count();
    assert!(sent < 1024, "the server swallowed 16 MB of header");
}

#[test]
fn slow_clients_are_dropped_and_hold_nobody_up() {
    let runtime = Background::start();
    let address = serve_snapshot(&runtime, fixture::snapshot())[0];
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /met").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    assert_eq!(exchange(address, "GET /metrics HTTP/1.1\r\n").0, "HTTP/1.1 200 OK");
    assert!(began.elapsed() < Duration::from_secs(2));
    // The head timeout ends them; a read then gives an answer or the end, not silence.
    let mut one = slow.into_iter().next().unwrap();
    one.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    let _ = one.read_to_end(&mut rest);
    assert!(began.elapsed() < PATIENCE, "a slow client was never dropped");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let runtime = Background::start();
    let address = serve_snapshot(&runtime, fixture::snapshot())[0];
    let _inside = runtime.enter();
    let error = http::bind(&[address]).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("listening on {address}: ")) && error.contains("--web.listen-address"),
        "{error}"
    );
}

/// A directory with `web.yml`, by which `ann` may come in with this password.
fn web_configuration(directory: &Path, password: &str) -> PathBuf {
    let file = directory.join("web.yml");
    let hash = bcrypt::hash(password, 4).unwrap();
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    // Put in place whole, as it should be.
    fs::write(directory.join("new"), format!("{headers}basic_auth_users:\n  ann: {hash}\n")).unwrap();
    fs::rename(directory.join("new"), &file).unwrap();
    file
}

fn ask_as(address: SocketAddr, path: &str, who: &str) -> (String, String) {
    let who = STANDARD.encode(who);
    let (status, headers, _) = exchange(address, &format!("GET {path} HTTP/1.1\r\nAuthorization: Basic {who}\r\n"));
    (status, headers)
}

#[test]
fn it_is_known_whether_anybody_is_asked_who_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let is_open = |text: &str| {
        let file = directory.path().join("web.yml");
        fs::write(&file, text).unwrap();
        Gate::open(Some(&file)).unwrap().is_open()
    };
    assert!(Gate::open(None).unwrap().is_open());
    assert!(is_open("http_server_config:\n  headers:\n    X-Frame-Options: deny\n"));
    assert!(!Gate::open(Some(&web_configuration(directory.path(), "secret"))).unwrap().is_open());
}

#[test]
fn with_users_every_page_is_behind_the_password() {
    let runtime = Background::start();
    let directory = tempfile::tempdir().unwrap();
    let file = web_configuration(directory.path(), "secret");
    let address = serve_behind(&runtime, || fixture::source(fixture::snapshot()), Some(&file))[0];
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nowhere"] {
        for method in ["GET", "HEAD", "POST"] {
            let (status, headers, body) = exchange(address, &format!("{method} {path} HTTP/1.1\r\n"));
            assert_eq!(status, "HTTP/1.1 401 Unauthorized", "{method} {path}");
            assert!(
                headers.contains("www-authenticate: basic") && headers.contains("x-frame-options: deny"),
                "{headers}"
            );
            assert!(!body.contains("auditor"), "{body}");
        }
        assert_eq!(ask_as(address, path, "ann:wrong").0, "HTTP/1.1 401 Unauthorized", "{path}");
        let (status, headers) = ask_as(address, path, "ann:secret");
        assert_eq!(status == "HTTP/1.1 404 Not Found", path == "/nowhere", "{path}: {status}");
        assert!(!status.contains("401") && headers.contains("x-frame-options: deny"), "{path}: {status} {headers}");
    }
}

#[test]
fn a_changed_web_configuration_is_in_force_at_once_and_a_broken_one_never() {
    let runtime = Background::start();
    let directory = tempfile::tempdir().unwrap();
    let file = web_configuration(directory.path(), "old");
    let address = serve_behind(&runtime, || fixture::source(fixture::snapshot()), Some(&file))[0];
    let may = |password: &str| ask_as(address, "/healthz", &format!("ann:{password}")).0 == "HTTP/1.1 200 OK";
    assert!(may("old") && !may("new"));
    web_configuration(directory.path(), "new");
    // Files are looked at once a second.
    std::thread::sleep(Duration::from_millis(1100));
    assert!(may("new") && !may("old"));
    for broken in [
        "basic_auth_users: {ann: secret}",
        "no_such_key: 1",
        "{{{",
        "tls_server_config: {cert_file: /no, key_file: /no}",
    ] {
        fs::write(&file, broken).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        assert!(may("new") && !may("old"), "{broken}");
    }
    fs::remove_file(&file).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(may("new") && !may(""));
    web_configuration(directory.path(), "newer");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(may("newer") && !may("new"));
}

#[test]
fn more_connections_than_there_is_room_for_push_out_the_idle_and_not_each_other() {
    let runtime = Background::start();
    let address = serve_snapshot(&runtime, fixture::snapshot())[0];
    let idle: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(address).unwrap()).collect();
    let began = Instant::now();
    assert_eq!(exchange(address, "GET /metrics HTTP/1.1\r\n").0, "HTTP/1.1 200 OK");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Those that came first were closed, long before their time was over.
    let mut first = &idle[0];
    first.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let end = first.read(&mut [0; 1]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_client_that_takes_nothing_is_dropped() {
    let runtime = Background::start();
    let mut snapshot = fixture::snapshot();
    // More than the kernel keeps for a client that reads nothing.
    let one = snapshot.containers[0].clone();
    snapshot.containers = (0..400)
        .map(|number| {
            let (id, name) = (format!("{number:064x}"), Some(format!("{number}{}", "x".repeat(200))));
            auditor::report::view::ContainerView { id, name, ..one.clone() }
        })
        .collect();
    let address = serve_snapshot(&runtime, snapshot)[0];
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    // What the server has closed takes no more requests.
    while stream.write_all(b"\r\n").is_ok() {
        assert!(began.elapsed() < PATIENCE, "a client that takes nothing was kept");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(began.elapsed() > Duration::from_secs(9), "dropped after {:?}", began.elapsed());
}
