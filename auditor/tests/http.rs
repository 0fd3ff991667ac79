//! The web server against scrapers of all kinds, over real connections.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use auditor::control::Source;
use auditor::http;
use auditor::report::snapshot::Snapshot;
use fixture::Background;

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves on two loopback addresses until the runtime is dropped.
fn serve(runtime: &Background, source: impl FnOnce() -> Source) -> Vec<SocketAddr> {
    let _inside = runtime.enter();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = http::bind(&[loopback, loopback]).unwrap();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    runtime.spawn(http::serve(listeners, source(), http::Options::default()));
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
