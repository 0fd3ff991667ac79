//! `build-ebpf`: the committed object, from its source.
//!
//! The object is committed so that `cargo build` needs a stable compiler alone. Two things keep it honest: a hash of
//! the source inside the object, compared wherever `--check` runs; and, where the toolchain is the one that built the
//! committed object, a rebuild that must give the same bytes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _};
use sha2::{Digest as _, Sha256};

use crate::{repo, setup};

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "auditor-ebpf";
/// The ELF section in which the programs carry the hash of their source, as 64 hex digits.
const HASH_SECTION: &str = "source_hash";

/// Builds the object and puts it, with the name of the toolchain, where `auditor` embeds it.
pub fn run() -> Result<()> {
    let toolchain = Toolchain::find()?;
    println!("build-ebpf: with {}", toolchain.describe()?.lines().collect::<Vec<_>>().join(", "));
    let built = toolchain.build()?;
    let bytes = read_file(&built)?;
    verify_hash(&built, &bytes)?;
    let (object, record) = committed();
    if let Some(dir) = object.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    fs::write(&object, &bytes).with_context(|| format!("writing {}", object.display()))?;
    fs::write(&record, toolchain.describe()?).with_context(|| format!("writing {}", record.display()))?;
    println!("build-ebpf: wrote {} ({} bytes)", object.display(), bytes.len());
    Ok(())
}

/// Proves that the committed object is what the source gives.
pub fn check() -> Result<()> {
    let (object, record) = committed();
    let bytes = read_file(&object)?;
    verify_hash(&object, &bytes)?;
    println!("build-ebpf: the committed object carries the hash of this source");

    let recorded = String::from_utf8(read_file(&record)?).context("reading the recorded toolchain")?;
    let here = Toolchain::find().and_then(|toolchain| Ok((toolchain.describe()?, toolchain)));
    match here {
        Ok((described, toolchain)) if described == recorded => {
            let built = toolchain.build()?;
            if read_file(&built)? != bytes {
                bail!(
                    "{} is not what the source gives; run `cargo xtask build-ebpf` (the rebuilt one is {})",
                    object.display(),
                    built.display()
                );
            }
            println!("build-ebpf: rebuilt with the recorded toolchain: the same {} bytes", bytes.len());
        }
        Ok((described, _)) => println!(
            "build-ebpf: not rebuilt: the toolchain here ({}) is not the recorded one ({})",
            one_line(&described),
            one_line(&recorded)
        ),
        Err(error) => println!("build-ebpf: not rebuilt: {error:#}"),
    }
    Ok(())
}

/// Takes away what earlier builds left, so that the next one is from source alone.
pub fn forget() -> Result<()> {
    let dir = target_dir();
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn target_dir() -> PathBuf {
    repo::target().join("ebpf")
}

/// The committed object, and the record of what built it.
fn committed() -> (PathBuf, PathBuf) {
    let kernel = repo::root().join("auditor/src/kernel");
    (kernel.join("auditor.bpf.o"), kernel.join("auditor.bpf.toolchain"))
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(", ")
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Compares the hash inside an object with that of the source.
fn verify_hash(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = object::File::parse(bytes).with_context(|| format!("parsing {}", path.display()))?;
    let section = file
        .section_by_name(HASH_SECTION)
        .with_context(|| format!("{} has no section {HASH_SECTION}", path.display()))?;
    let data = section.data().with_context(|| format!("reading {HASH_SECTION} of {}", path.display()))?;
    let inside = String::from_utf8_lossy(data).trim_end_matches('\0').to_owned();
    let source = source_hash()?;
    if inside != source {
        bail!(
            "{} comes from another source (its hash is {inside}, the source's {source}); run `cargo xtask build-ebpf`",
            path.display()
        );
    }
    Ok(())
}

/// SHA-256 over the kernel half's manifest and sources: sorted relative paths, each with its length and contents.
fn source_hash() -> Result<String> {
    let crate_dir = repo::root().join(PACKAGE);
    let mut files = vec![crate_dir.join("Cargo.toml")];
    collect(&crate_dir.join("src"), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let contents = read_file(&file)?;
        let relative = file.strip_prefix(&crate_dir).context("a source outside its crate")?;
        hash.update(relative.to_string_lossy().as_bytes());
        hash.update([0]);
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(&contents);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// A compiler that can build for the kernel, and the linker that goes with it.
pub struct Toolchain {
    kind: Kind,
    rustc: PathBuf,
    cargo: PathBuf,
    linker: PathBuf,
}

enum Kind {
    /// A compiler with a ready core library for BPF: Debian's `rustc-web` with `libstd-rust-web-dev-bpf`.
    ReadyCore,
    /// A rustup nightly with `rust-src`: core is built with the programs.
    BuildStd,
}

impl Toolchain {
    pub fn find() -> Result<Self> {
        let own = repo::tools().join("bin/bpf-linker");
        let linker = if own.is_file() { Some(own) } else { repo::which("bpf-linker") };
        let linker = linker.context("no bpf-linker: run `cargo xtask setup ebpf`, or cargo install bpf-linker")?;
        if let Some((rustc, cargo)) = debian() {
            return Ok(Self { kind: Kind::ReadyCore, rustc, cargo, linker });
        }
        if let Some((rustc, cargo)) = nightly() {
            return Ok(Self { kind: Kind::BuildStd, rustc, cargo, linker });
        }
        bail!(
            "no compiler for {TARGET}: on Debian run `cargo xtask setup ebpf` (rustc-web, cargo-web, \
             libstd-rust-web-dev-bpf); elsewhere `rustup toolchain install nightly --component rust-src`"
        )
    }

    /// What has to be equal for two builds to give the same bytes.
    fn describe(&self) -> Result<String> {
        let rustc = repo::read(repo::command(&self.rustc).arg("--version"))?;
        let linker = repo::read(repo::command(&self.linker).arg("--version"))?;
        let llvm = repo::read(repo::command(&self.rustc).args(["--version", "--verbose"]))?
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: ").map(str::to_owned))
            .context("rustc --version --verbose names no LLVM version")?;
        Ok(format!("{rustc}\nrustc's LLVM {llvm}\n{linker}\n"))
    }

    fn build(&self) -> Result<PathBuf> {
        let target_dir = target_dir();
        let mut command = repo::command(&self.cargo);
        command
            .args(["build", "--quiet", "--release", "--locked", "--target", TARGET])
            .args(["--package", PACKAGE, "--bin", PACKAGE, "--target-dir"])
            .arg(&target_dir)
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", self.flags()?)
            // The linker's place is not part of the flags: they go into the symbols' hashes, and places differ.
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_INCREMENTAL", "0")
            .env("AUDITOR_EBPF_SOURCE_HASH", source_hash()?)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET");
        if matches!(self.kind, Kind::BuildStd) {
            command.arg("-Zbuild-std=core");
        }
        repo::run(&mut command)?;
        let built = target_dir.join(TARGET).join("release").join(PACKAGE);
        let stripped = built.with_extension("o");
        fs::copy(&built, &stripped).with_context(|| format!("copying {}", built.display()))?;
        // The BTF that the kernel wants is made from the debug information, which is seven times as long.
        let strip = Path::new(setup::LLVM_PREFIX).join("bin/llvm-strip");
        if strip.is_file() {
            repo::run(repo::command(strip).arg("--strip-debug").arg(&stripped))?;
        }
        Ok(stripped)
    }

    /// Debug information gives the kernel its BTF, and would carry this machine's paths into the object.
    fn flags(&self) -> Result<String> {
        let mut flags = vec!["-Clink-arg=--btf".to_owned(), "-Cdebuginfo=2".to_owned()];
        let mut remap = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        remap(repo::root(), "auditor");
        let sources = cargo_home()?.join("registry/src");
        if let Ok(registries) = fs::read_dir(&sources) {
            for registry in registries {
                remap(&registry?.path(), "registry");
            }
        }
        let sysroot = repo::read(repo::command(&self.rustc).args(["--print", "sysroot"]))?;
        remap(&Path::new(&sysroot).join("lib/rustlib/src/rust"), "rust");
        Ok(flags.join(" "))
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    // As cargo itself does, which a service manager may have started without a HOME.
    let home = std::env::home_dir().context("neither CARGO_HOME nor HOME is set, and this user has no home")?;
    Ok(home.join(".cargo"))
}

fn debian() -> Option<(PathBuf, PathBuf)> {
    let (rustc, cargo) = (PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"));
    let sysroot = repo::read(Command::new(&rustc).args(["--print", "sysroot"])).ok()?;
    let core = Path::new(&sysroot).join("lib/rustlib").join(TARGET);
    (core.is_dir() && cargo.is_file()).then_some((rustc, cargo))
}

fn nightly() -> Option<(PathBuf, PathBuf)> {
    let toolchains = repo::read(Command::new("rustup").args(["toolchain", "list"])).ok()?;
    for line in toolchains.lines() {
        let name = line.split_whitespace().next()?;
        if !name.starts_with("nightly") {
            continue;
        }
        let rustc = repo::read(Command::new("rustup").args(["which", "rustc", "--toolchain", name])).ok()?;
        let rustc = PathBuf::from(rustc);
        let core = rustc.parent()?.parent()?.join("lib/rustlib/src/rust/library/core");
        if core.is_dir() {
            let cargo = rustc.with_file_name("cargo");
            return Some((rustc, cargo));
        }
    }
    None
}
