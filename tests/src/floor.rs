//! Starts of a container in every way that changes what the runtime does between its filter and the program: what the
//! measurement of the runtimes' floors is made of, and what a suggestion must pass.

pub mod document;

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::engine::Engine;
use crate::image;
use crate::process::wait_for;

/// A way to start a container, and to enter it.
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    /// Its name, in tables and in names of containers.
    pub name: &'static str,
    /// Options of `docker run`.
    pub options: &'static [&'static str],
    /// What happens then.
    pub then: Then,
}

/// What happens once a container runs.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// Its program does its work and ends.
    Ends,
    /// Its program stays; `docker exec` with these options does the work.
    Exec(&'static [&'static str]),
    /// Its program stays; its health check does the work.
    Healthy,
    /// Its program stays, until it is asked to end.
    Stops,
}

const fn run(name: &'static str, options: &'static [&'static str]) -> Configuration {
    Configuration { name, options, then: Then::Ends }
}

const fn exec(name: &'static str, options: &'static [&'static str], with: &'static [&'static str]) -> Configuration {
    Configuration { name, options, then: Then::Exec(with) }
}

const NO_NEW_PRIVILEGES: &str = "--security-opt=no-new-privileges";

/// All of them.
pub const CONFIGURATIONS: [Configuration; 25] = [
    run("plain", &[]),
    run("no-new-privileges", &[NO_NEW_PRIVILEGES]),
    run("user", &["--user=user"]),
    run("numeric-user", &["--user=4242:4242", "--group-add=7"]),
    run("no-capabilities", &["--cap-drop=ALL"]),
    run("more-capabilities", &["--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN"]),
    run("confined-user", &[NO_NEW_PRIVILEGES, "--user=user", "--cap-drop=ALL"]),
    run("tty", &["--tty"]),
    run("user-tty", &["--user=user", "--tty"]),
    run("confined-tty", &[NO_NEW_PRIVILEGES, "--tty"]),
    run("init", &["--init"]),
    run("confined-init", &["--init", "--tty", NO_NEW_PRIVILEGES, "--user=user"]),
    Configuration { name: "stopped-init", options: &["--init"], then: Then::Stops },
    run("directory", &["--workdir=/tmp"]),
    run("new-directory", &["--workdir=/made/for/this"]),
    run("read-only", &["--read-only", "--tmpfs=/tmp"]),
    exec("exec", &[], &[]),
    exec("exec-user", &[], &["--user=user", "--workdir=/tmp", "--env=A=B"]),
    exec("exec-tty", &[], &["--tty"]),
    exec("confined-exec", &[NO_NEW_PRIVILEGES, "--user=user", "--cap-drop=ALL"], &[]),
    exec("no-new-privileges-exec", &[NO_NEW_PRIVILEGES], &[]),
    exec("exec-into-user", &["--user=user"], &[]),
    Configuration { name: "health", options: &[], then: Then::Healthy },
    Configuration { name: "no-new-privileges-health", options: &[NO_NEW_PRIVILEGES], then: Then::Healthy },
    Configuration { name: "confined-health", options: &[NO_NEW_PRIVILEGES, "--user=user"], then: Then::Healthy },
];

/// What runs in the container.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The image. Its health check does the work.
    pub image: &'a str,
    /// Does the work and ends with [`Program::code`].
    pub work: &'a [&'a str],
    /// Stays until it is ended.
    pub stay: &'a [&'a str],
    /// The exit code of work that was done.
    pub code: i32,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Went {
    /// It started, and the work was done.
    Well,
    /// It did not; in the engine's words, or the program's.
    Wrong(String),
}

impl Configuration {
    /// Starts a container and does what is to be done in it. The container stays, ended or running, for the caller to look at
    /// and to remove.
    pub fn try_out(
        &self,
        engine: &Engine,
        name: &str,
        more: &[&str],
        program: &Program<'_>,
        limit: Duration,
    ) -> Result<Went> {
        let mut line = vec!["run", "--name", name];
        line.extend(more);
        line.extend(self.options);
        if !matches!(self.then, Then::Healthy) {
            line.push("--no-healthcheck");
        }
        if !matches!(self.then, Then::Ends) {
            line.push("--detach");
        }
        line.push(program.image);
        line.extend(if matches!(self.then, Then::Ends) { program.work } else { program.stay });
        let expected = if matches!(self.then, Then::Ends) { program.code } else { 0 };
        let started = went(engine, &line, expected, limit)?;
        if started != Went::Well {
            return Ok(started);
        }
        match self.then {
            Then::Ends => Ok(Went::Well),
            Then::Exec(options) => {
                let line = [&["exec"], options, &[name], program.work].concat();
                went(engine, &line, program.code, limit)
            }
            Then::Healthy => healthy(engine, name, limit),
            Then::Stops => {
                let stopped = went(engine, &["stop", "--time=5", name], 0, limit)?;
                let code = engine.client(["inspect", "--format", "{{.State.ExitCode}}", name])?;
                // Killed after its time was over it would be 137.
                Ok(if stopped == Went::Well && code != "143" {
                    Went::Wrong(format!("it ended with {code}"))
                } else {
                    stopped
                })
            }
        }
    }
}

fn healthy(engine: &Engine, name: &str, limit: Duration) -> Result<Went> {
    let mut last = String::new();
    let asked = wait_for("a health check", limit, || {
        last = engine.client(["inspect", "--format", "{{.State.Health.Status}} {{json .State.Health.Log}}", name])?;
        Ok(match last.split(' ').next() {
            Some("healthy") => Some(Went::Well),
            Some("unhealthy") => Some(Went::Wrong(last.clone())),
            _ => None,
        })
    });
    Ok(asked.unwrap_or(Went::Wrong(last)))
}

fn went(engine: &Engine, line: &[&str], expected: i32, limit: Duration) -> Result<Went> {
    let Some(output) = output_within(engine, line, limit)? else {
        return Ok(Went::Wrong(format!("it did not come back within {} s", limit.as_secs())));
    };
    if output.status.code() == Some(expected) {
        return Ok(Went::Well);
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Went::Wrong(format!("{}: {}", output.status, said.trim())))
}

/// What a client command gives; `None` for one that took longer, and was ended.
fn output_within(engine: &Engine, line: &[&str], limit: Duration) -> Result<Option<Output>> {
    let mut command = engine.docker(line.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {command:?}"))?;
    let started = Instant::now();
    while child.try_wait().context("waiting for a client")?.is_none() {
        if started.elapsed() > limit {
            child.kill().context("ending a client")?;
            child.wait().context("waiting for a client")?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().map(Some).context("reading what a client wrote")
}

/// Gives an image a health check that is a program and no shell's line, under another name.
pub fn with_health_check(engine: &Engine, image: &str, check: &[&str], tag: &str) -> Result<()> {
    let container = engine.client(["create", image, "none"])?;
    let words = serde_json::to_string(check).context("writing a health check")?;
    // Often, so that tests need not wait; many failures, so that a slow machine's are not the profile's.
    let change = format!("HEALTHCHECK --interval=200ms --timeout=20s --retries=3 CMD {words}");
    engine.client(["commit", "--change", &change, &container, tag])?;
    engine.client(["rm", &container])?;
    Ok(())
}

/// A program that makes two system calls in its life: being executed and ending, with [`TINY_CODE`]. With one argument it
/// waits instead, for ever; with two it ends well. What else is counted in its container is the runtime's.
#[must_use]
pub fn tiny_program() -> Vec<u8> {
    const CODE: [u8; 31] = [
        0x83, 0x3c, 0x24, 0x02, // cmp dword [rsp], 2: its name is the first argument
        0x74, 0x10, // je to the wait
        0xbf, TINY_BYTE, 0x00, 0x00, 0x00, // mov edi, the exit code
        0x72, 0x02, // jb to the end
        0x31, 0xff, // xor edi, edi
        0xb8, 0xe7, 0x00, 0x00, 0x00, 0x0f, 0x05, // exit_group
        0xb8, 0x22, 0x00, 0x00, 0x00, 0x0f, 0x05, // pause
        0xeb, 0xf7, // jmp back to the wait
    ];
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + CODE.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let words = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let longs = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    halves(&mut file, &[2, 62]); // executable, x86-64
    words(&mut file, &[1]);
    longs(&mut file, &[BASE + HEADERS, 64, 0]); // entry, program headers, no sections
    words(&mut file, &[0]);
    halves(&mut file, &[64, 56, 1, 64, 0, 0]);
    words(&mut file, &[1, 5]); // load, readable and executable
    longs(&mut file, &[0, BASE, BASE, length, length, 0x1000]);
    file.extend(CODE);
    file
}

/// An image with the tiny program as `/program`, which is its health check as well.
pub fn import_tiny(engine: &Engine, tag: &str) -> Result<()> {
    let tree = image::busybox_tree(engine)?;
    let file = tree.path().join("program");
    std::fs::write(&file, tiny_program()).context("writing the tiny program")?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let bare = format!("{tag}-bare");
    engine.import_image(tree.path(), &bare)?;
    with_health_check(engine, &bare, &["/program", "is", "well"], tag)
}

/// The tiny program in the image of this name.
#[must_use]
pub const fn tiny(image: &str) -> Program<'_> {
    Program { image, work: &["/program"], stay: &["/program", "stay"], code: TINY_CODE }
}

/// The exit code of the tiny program: none that a client has of its own.
pub const TINY_CODE: i32 = TINY_BYTE as i32;

const TINY_BYTE: u8 = 42;

/// Removes a container, whatever state it is in.
pub fn remove(engine: &Engine, name: &str) -> Result<()> {
    match output_within(engine, &["rm", "--force", "--volumes", name], Duration::from_secs(30))? {
        Some(output) if output.status.success() => Ok(()),
        Some(output) => bail!("removing {name}: {}", String::from_utf8_lossy(&output.stderr)),
        None => bail!("removing {name}: not within half a minute"),
    }
}
