//! The web server and the control socket of a real daemon: with real clients, and with hostile ones.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::Group;
use tests::auditord::{self, Auditor};
use tests::certificate::Authority;
use tests::engine::{CgroupMode, program};
use tests::groundtruth::{self, compare};
use tests::process::wait_for;
use tests::prometheus::Prometheus;
use tests::stage::Stage;

const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

/// A daemon behind TLS, a password and clients' certificates, and where its files are.
struct Guarded {
    auditor: Auditor,
    authority: Authority,
    _directory: tempfile::TempDir,
}

/// Lets in `ann` with this password.
fn write_web_config(authority: &Authority, client_auth: &str, password: &str) -> Result<()> {
    let hash = bcrypt::hash(password, 5)?;
    let text = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_auth_type: {client_auth}\n  \
         client_ca_file: authority.crt\nbasic_auth_users:\n  ann: {hash}\n"
    );
    fs::write(authority.path("web.new"), text)?;
    fs::rename(authority.path("web.new"), authority.path("web.yml")).context("putting the web configuration in place")
}

impl Guarded {
    fn start(host: &str, client_auth: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let authority = Authority::new(directory.path())?;
        authority.sign("server")?;
        authority.sign("client")?;
        write_web_config(&authority, client_auth, "secret")?;
        let flag = format!("--web.config.file={}", authority.path("web.yml").display());
        let auditor = answering(Auditor::launch(host, &[&flag])?)?;
        Ok(Self { auditor, authority, _directory: directory })
    }

    /// What curl gets: its exit code, the status, and the body.
    fn curl(&self, args: &[&str]) -> Result<(Option<i32>, String, String)> {
        let url = format!("https://localhost:{}/metrics", self.auditor.address().port());
        let mut curl = Command::new(program("curl")?);
        curl.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "--cacert"]);
        curl.arg(self.authority.path("authority.crt")).args(args).arg(url);
        let output = curl.output().context("running curl")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').with_context(|| format!("curl wrote {text}"))?;
        Ok((output.status.code(), status.to_owned(), body.to_owned()))
    }

    fn client(&self) -> [String; 4] {
        let path = |name: &str| self.authority.path(name).display().to_string();
        ["--cert".to_owned(), path("client.crt"), "--key".to_owned(), path("client.key")]
    }

    /// With the client's certificate.
    fn curl_known(&self, args: &[&str]) -> Result<(Option<i32>, String, String)> {
        let client = self.client();
        let all: Vec<&str> = client.iter().map(String::as_str).chain(args.iter().copied()).collect();
        self.curl(&all)
    }
}

/// Waits until its commands are answered.
fn answering(auditor: Auditor) -> Result<Auditor> {
    let answers = wait_for("the daemon's answer", Duration::from_secs(60), || {
        if !auditor.process().is_running() {
            bail!("the daemon ended");
        }
        Ok(auditor.ps().ok().map(drop))
    });
    answers.with_context(|| format!("the daemon's log:\n{}", auditor.log()))?;
    Ok(auditor)
}

#[test]
fn curl_and_prometheus_come_in_with_certificate_and_password_and_not_without() -> Result<()> {
    let guarded = Guarded::start(NO_ENGINE, "RequireAndVerifyClientCert")?;
    let ann = ["--user", "ann:secret"];
    for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
        let (code, status, body) = guarded.curl_known(&[&version[..], &ann].concat())?;
        ensure!(code == Some(0) && status == "200" && body.contains("auditor_build_info"), "{code:?} {status} {body}");
    }
    let (_, status, body) = guarded.curl_known(&[])?;
    ensure!(status == "401" && !body.contains("auditor_"), "{status} {body}");
    let (_, status, _) = guarded.curl_known(&["--user", "ann:Secret"])?;
    ensure!(status == "401", "{status}");
    // Without a certificate, or with one that somebody else signed, the handshake fails.
    let (code, status, _) = guarded.curl(&ann)?;
    ensure!(code != Some(0) && status == "000", "{code:?} {status}");
    let elsewhere = tempfile::tempdir()?;
    let stranger = Authority::new(elsewhere.path())?;
    stranger.sign("client")?;
    let [cert, key] = ["client.crt", "client.key"].map(|name| stranger.path(name).display().to_string());
    let (code, status, _) = guarded.curl(&["--cert", &cert, "--key", &key, "--user", "ann:secret"])?;
    ensure!(code != Some(0) && status == "000", "{code:?} {status}");
    let (code, ..) = guarded.curl_known(&["--tls-max", "1.1", "--user", "ann:secret"])?;
    ensure!(code != Some(0), "TLS 1.1 was spoken");
    // Plain HTTP gets nothing out of a port with TLS.
    ensure!(guarded.auditor.get("/metrics").is_err());

    let file = |name: &str| guarded.authority.path(name).display().to_string();
    let more = format!(
        ", scheme: https, basic_auth: {{username: ann, password: secret}}, tls_config: {{ca_file: '{}', cert_file: '{}', key_file: '{}', server_name: localhost}}",
        file("authority.crt"),
        file("client.crt"),
        file("client.key"),
    );
    let prometheus = Prometheus::start_with(guarded.auditor.address(), &more)?;
    ensure!((prometheus.value("max_over_time(up{job=\"auditor\"}[1m])")? - 1.0).abs() < 0.1);
    ensure!((prometheus.value("count(auditor_build_info)")? - 1.0).abs() < 0.1);
    Ok(())
}

#[test]
fn it_is_said_where_anybody_may_ask() -> Result<()> {
    // In a network of its own: every address that there is there, and nobody else.
    let started = |flags: &[&str]| -> Result<String> {
        let flags: Vec<&str> = flags.iter().copied().chain(["--web.listen-address=0.0.0.0:9779"]).collect();
        Ok(answering(Auditor::launch_as(0, &["unshare", "--net"], NO_ENGINE, &flags)?)?.log())
    };
    let said = |log: &str| log.lines().filter(|line| line.contains("whoever reaches this address")).count();
    let open = started(&[])?;
    ensure!(said(&open) == 1 && open.contains("0.0.0.0:9779"), "{open}");
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    authority.sign("server")?;
    write_web_config(&authority, "VerifyClientCertIfGiven", "secret")?;
    let flag = format!("--web.config.file={}", authority.path("web.yml").display());
    let asks = started(&[&flag])?;
    ensure!(said(&asks) == 0, "{asks}");
    Ok(())
}

#[test]
fn new_certificates_and_passwords_are_taken_without_a_restart() -> Result<()> {
    let guarded = Guarded::start(NO_ENGINE, "VerifyClientCertIfGiven")?;
    let subject = || -> Result<String> {
        let mut openssl = Command::new(program("openssl")?);
        openssl.args(["s_client", "-connect", &guarded.auditor.address().to_string()]);
        let output = openssl.stdin(std::process::Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(said.lines().find(|line| line.starts_with("subject=")).unwrap_or_default().to_owned())
    };
    ensure!(guarded.curl(&["--user", "ann:secret"])?.1 == "200");
    ensure!(subject()?.ends_with("server"), "{}", subject()?);
    guarded.authority.sign("renewed")?;
    // In between the certificate is not the key's: what was read before stays in force.
    fs::rename(guarded.authority.path("renewed.crt"), guarded.authority.path("server.crt"))?;
    std::thread::sleep(Duration::from_millis(1100));
    ensure!(subject()?.ends_with("server"), "{}", subject()?);
    fs::rename(guarded.authority.path("renewed.key"), guarded.authority.path("server.key"))?;
    std::thread::sleep(Duration::from_millis(1100));
    ensure!(subject()?.ends_with("renewed"), "{}", subject()?);
    write_web_config(&guarded.authority, "VerifyClientCertIfGiven", "changed")?;
    std::thread::sleep(Duration::from_millis(1100));
    ensure!(guarded.curl(&["--user", "ann:secret"])?.1 == "401");
    ensure!(guarded.curl(&["--user", "ann:changed"])?.1 == "200");
    // TLS does not go away while anybody thinks that it is there.
    fs::write(guarded.authority.path("web.yml"), "")?;
    std::thread::sleep(Duration::from_millis(1100));
    ensure!(guarded.curl(&["--user", "ann:changed"])?.1 == "200");
    let log = guarded.auditor.log();
    ensure!(log.matches("is not the key of").count() == 1 && log.matches("restart the daemon").count() == 1, "{log}");
    Ok(())
}

#[test]
fn a_daemon_does_not_start_with_a_web_configuration_that_it_cannot_use() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("web.yml");
    fs::write(&file, "tls_server_config:\n  cert_file: missing.crt\n  key_file: missing.key\n")?;
    let output = Command::new("timeout")
        .arg("20")
        .arg(auditord::binary()?)
        .args(["daemon", "--web.listen-address=127.0.0.1:0", "--docker-host", NO_ENGINE, "--web.config.file"])
        .arg(&file)
        .arg("--socket")
        .arg(directory.path().join("socket"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && said.lines().count() == 1, "{}: {said}", output.status);
    ensure!(said.contains("web.yml:2: cert_file") && said.contains("there is no such file"), "{said}");
    Ok(())
}

#[test]
fn the_control_socket_is_for_its_group_and_for_nobody_else() -> Result<()> {
    let group = Group::from_name("daemon")?.context("no group `daemon`")?;
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let config = directory.path().join("auditor.toml");
    fs::write(&config, "socket_group = \"daemon\"\n")?;
    let auditor = answering(Auditor::launch(NO_ENGINE, &[&format!("--config={}", config.display())])?)?;
    // The rig's directory is closed to others; a service's is not.
    fs::set_permissions(auditor.directory(), fs::Permissions::from_mode(0o755))?;
    let found = fs::metadata(auditor.socket())?;
    ensure!(found.mode() & 0o7777 == 0o660, "mode {:o}", found.mode());
    ensure!((found.uid(), found.gid()) == (0, group.gid.as_raw()), "{}:{}", found.uid(), found.gid());
    let binary = directory.path().join("auditor");
    fs::copy(auditord::binary()?, &binary)?;
    let ask = |group: u32| {
        let mut command = Command::new(program("setpriv")?);
        command.args(["--reuid=65534", &format!("--regid={group}"), "--clear-groups", "--bounding-set=-all"]);
        command.arg(&binary).arg("--socket").arg(auditor.socket()).arg("ps");
        command.output().context("running setpriv")
    };
    let member = ask(group.gid.as_raw())?;
    ensure!(member.status.code() == Some(0), "{}", String::from_utf8_lossy(&member.stderr));
    let stranger = ask(65534)?;
    let said = String::from_utf8_lossy(&stranger.stderr);
    ensure!(stranger.status.code() == Some(2) && said.to_lowercase().contains("permission denied"), "{said}");
    Ok(())
}

/// What a process takes of the machine: file descriptors, and memory in KiB.
fn taken(auditor: &Auditor) -> Result<(usize, usize)> {
    let process = Path::new("/proc").join(auditor.process().pid().to_string());
    let status = fs::read_to_string(process.join("status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    Ok((fs::read_dir(process.join("fd"))?.count(), memory.context("no VmRSS")?))
}

/// Hostile clients, each on a thread that goes on until they are told to stop.
struct Hostile<'scope> {
    target: SocketAddr,
    stop: &'scope AtomicBool,
}

/// Longest a hostile client waits for anything.
const QUICK: Duration = Duration::from_secs(2);

impl Hostile<'_> {
    fn connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.target, QUICK).ok()?;
        stream.set_read_timeout(Some(QUICK)).ok()?;
        stream.set_write_timeout(Some(QUICK)).ok()?;
        Some(stream)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Holds so many connections and says a little on each now and then.
    fn dribble(&self, count: usize, first: &[u8], later: &[u8]) {
        let mut held: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
        while self.goes_on() {
            for place in &mut held {
                let alive = place.as_mut().is_some_and(|stream| stream.write_all(later).is_ok());
                if !alive {
                    *place = self.connect().filter(|stream| (&mut &*stream).write_all(first).is_ok());
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Sends so much of this after that, and takes nothing but what tells that it was refused.
    fn pour(&self, head: &[u8], block: &[u8], times: usize) {
        while self.goes_on() {
            let Some(mut stream) = self.connect() else { continue };
            let _ = stream.write_all(head);
            for _ in 0..times {
                if !self.goes_on() || stream.write_all(block).is_err() {
                    break;
                }
            }
        }
    }

    /// Asks again and again on one connection, without waiting, and reads or does not.
    fn pipeline(&self, requests: &[u8], reads: bool) {
        let mut buffer = vec![0; 256 * 1024];
        while self.goes_on() {
            let Some(mut stream) = self.connect() else { continue };
            while self.goes_on() && stream.write_all(requests).is_ok() {
                if reads && stream.read(&mut buffer).is_err() {
                    break;
                }
            }
        }
    }

    /// Asks for a page and reads the answer, counting what it is told.
    fn storm(&self, request: &[u8], told: &AtomicUsize, expected: &str) {
        while self.goes_on() {
            let Some(mut stream) = self.connect() else { continue };
            let mut answer = Vec::new();
            let asked = stream.write_all(request).is_ok();
            if asked && stream.read_to_end(&mut answer).is_ok() && answer.starts_with(expected.as_bytes()) {
                told.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The first message of a client that speaks TLS, as openssl's writes it.
fn client_hello() -> Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut openssl = Command::new(program("openssl")?);
    openssl.args(["s_client", "-connect", &listener.local_addr()?.to_string()]);
    let mut client = openssl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    client = client.stderr(std::process::Stdio::null());
    let mut client = client.spawn().context("running openssl")?;
    let (mut stream, _) = listener.accept()?;
    let mut message = vec![0; 4096];
    let length = stream.read(&mut message)?;
    drop(stream);
    client.wait()?;
    message.truncate(length);
    ensure!(message.first() == Some(&0x16), "no handshake: {message:?}");
    Ok(message)
}

/// While others are at it, and compared with what it took before, the daemon counts, answers on both sides, and takes no more than it may.
fn holds_out(
    stage: &Stage,
    auditor: &Auditor,
    name: &str,
    scrape: impl Fn() -> Result<()>,
    end: impl FnOnce(),
    before: (usize, usize),
) -> Result<()> {
    let began = Instant::now();
    let outcome = (|| -> Result<(usize, usize)> {
        let issued =
            groundtruth::parse(&stage.groundtruth(name, &[], &["work", "--threads=2", "124*20000", "146@99*500"])?)?;
        let mut most = before;
        let mut answers = Vec::new();
        while began.elapsed() < Duration::from_secs(12) {
            let asked = Instant::now();
            auditor.ps()?;
            answers.push(asked.elapsed());
            scrape()?;
            let now = taken(auditor)?;
            most = (most.0.max(now.0), most.1.max(now.1));
            std::thread::sleep(Duration::from_millis(200));
        }
        answers.sort();
        let slowest = answers.last().copied().unwrap_or_default();
        let middle = answers[answers.len() / 2];
        println!(
            "{name}: {} commands, half of them within {middle:?}, all within {slowest:?}; {most:?} fds and KiB after {before:?}",
            answers.len()
        );
        ensure!(
            middle < Duration::from_secs(3) && slowest < Duration::from_secs(10),
            "commands took {middle:?}, up to {slowest:?}"
        );
        compare(&auditor.rows(name)?, &issued, true)?;
        Ok(most)
    })();
    end();
    let most = outcome.with_context(|| format!("{name}, after {:?}", began.elapsed()))?;
    ensure!(most.0 < before.0 + 300, "{} descriptors, {} before", most.0, before.0);
    ensure!(most.1 < before.1 + 128 * 1024, "{} KiB, {} before", most.1, before.1);
    // And it gives back what they took.
    wait_for("the descriptors to come back", Duration::from_secs(30), || {
        Ok((taken(auditor)?.0 <= before.0 + 2).then_some(()))
    })?;
    ensure!(auditor.log().lines().count() < 200, "the log was flooded");
    Ok(())
}

#[test]
fn scrape_storms_slow_clients_odd_methods_and_huge_bodies_are_bounded() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let stop = AtomicBool::new(false);
    let [scrapes, refusals, served] = [0; 3].map(AtomicUsize::new);
    let body = vec![b'x'; 256 * 1024];
    let requests = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    let before = taken(&stage.auditor)?;
    let hostile = Hostile { target: stage.auditor.address(), stop: &stop };
    std::thread::scope(|scope| {
        let (hostile, requests, body) = (&hostile, &requests, &body);
        let (scrapes, refusals) = (&scrapes, &refusals);
        scope.spawn(move || hostile.dribble(200, b"GET /met", b"r"));
        scope.spawn(move || hostile.dribble(100, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b""));
        scope.spawn(move || {
            hostile.pour(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n", body, 400);
        });
        scope.spawn(move || hostile.pour(b"GET / HTTP/1.1\r\nX: ", body, 100));
        scope.spawn(move || hostile.pipeline(requests, true));
        scope.spawn(move || hostile.pipeline(requests, false));
        for _ in 0..4 {
            scope.spawn(move || hostile.storm(b"GET /metrics HTTP/1.0\r\n\r\n", scrapes, "HTTP/1.0 200"));
        }
        scope.spawn(move || hostile.storm(b"BREW /metrics HTTP/1.0\r\n\r\n", refusals, "HTTP/1.0 405"));
        let scrape = || {
            // Where so many ask, one who asks waits for a turn, 5 s at most, and is told if there was none.
            let answer = wait_for("an answer", Duration::from_secs(20), || Ok(stage.auditor.get("/metrics").ok()))?;
            ensure!([200, 503].contains(&answer.status), "{}: {}", answer.status, answer.body);
            served.fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
            Ok(())
        };
        holds_out(stage, &stage.auditor, "stormed", scrape, || stop.store(true, Ordering::Relaxed), before)
    })?;
    let counts = [&scrapes, &refusals, &served].map(|count| count.load(Ordering::Relaxed));
    println!("scrapes and refusals of the storm, and scrapes beside it: {counts:?}");
    ensure!(counts.iter().all(|count| *count > 0), "nobody of the storm was answered: {counts:?}");
    Ok(())
}

#[test]
fn half_open_handshakes_and_guessed_passwords_are_bounded() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let guarded = Guarded::start(&stage.engine.host(), "VerifyClientCertIfGiven")?;
    let hello = client_hello()?;
    let stop = AtomicBool::new(false);
    // Who was let in once is known, however many guess.
    ensure!(guarded.curl(&["--user", "ann:secret"])?.1 == "200");
    let before = taken(&guarded.auditor)?;
    let hostile = Hostile { target: guarded.auditor.address(), stop: &stop };
    let told = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let told = &told;
        let (hostile, hello, guarded) = (&hostile, &hello, &guarded);
        scope.spawn(move || hostile.dribble(200, hello, b""));
        scope.spawn(move || hostile.dribble(200, &hello[..20], &hello[20..21]));
        scope.spawn(move || hostile.dribble(100, b"", b""));
        scope.spawn(move || hostile.storm(hello, told, ""));
        for number in 0..2 {
            scope.spawn(move || {
                for guess in 0.. {
                    if !hostile.goes_on() {
                        return;
                    }
                    let _ = guarded.curl(&["--user", &format!("ann:{number}-{guess}")]);
                }
            });
        }
        let scrape = || {
            let answer = wait_for("an answer", Duration::from_secs(10), || {
                let (_, status, body) = guarded.curl(&["--user", "ann:secret"])?;
                Ok((status == "200").then_some(body))
            })?;
            ensure!(answer.contains("auditor_build_info"));
            Ok(())
        };
        holds_out(stage, &guarded.auditor, "half-open", scrape, || stop.store(true, Ordering::Relaxed), before)
    })
}

#[test]
fn hostile_clients_of_the_control_socket_are_bounded() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let socket = stage.auditor.socket();
    let before = taken(&stage.auditor)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (socket, stop) = (&socket, &stop);
        let connect = move || {
            let stream = UnixStream::connect(socket).ok()?;
            stream.set_write_timeout(Some(QUICK)).ok()?;
            stream.set_read_timeout(Some(QUICK)).ok()?;
            Some(stream)
        };
        let goes_on = move || !stop.load(Ordering::Relaxed);
        // A line of 100 MB.
        scope.spawn(move || {
            let block = vec![b'x'; 1 << 20];
            while goes_on() {
                let Some(mut stream) = connect() else { continue };
                for _ in 0..100 {
                    if !goes_on() || stream.write_all(&block).is_err() {
                        break;
                    }
                }
            }
        });
        // Questions whose answers nobody takes.
        scope.spawn(move || {
            while goes_on() {
                let Some(mut stream) = connect() else { continue };
                while goes_on() && stream.write_all(&b"{\"ask\":\"ps\"}\n".repeat(100)).is_ok() {}
            }
        });
        // Many that say nothing, and come back: most of the room there is.
        scope.spawn(move || {
            while goes_on() {
                let held: Vec<_> = (0..100).filter_map(|_| connect()).collect();
                std::thread::sleep(Duration::from_secs(1));
                drop(held);
            }
        });
        let scrape = || {
            ensure!(stage.auditor.get("/healthz")?.status == 200);
            Ok(())
        };
        holds_out(stage, &stage.auditor, "pestered", scrape, || stop.store(true, Ordering::Relaxed), before)
    })
}
