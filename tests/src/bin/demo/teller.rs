//! How the story is told: what comes next, the command as it is typed, what it wrote, and what that shows.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Runs command lines as somebody would type them, in a shell that has the story's engine and daemon.
#[derive(Debug)]
pub struct Teller {
    exports: String,
}

impl Teller {
    /// Shows the lines that give the shell its variables, and begins.
    pub fn new(exports: &[String]) -> Self {
        exports.iter().for_each(|line| println!("$ {line}"));
        Self { exports: exports.join("\n") }
    }

    /// Shows a command line, runs it, shows at most `lines` lines of what it wrote, and gives all of it. Whether it
    /// succeeded is for the story to judge: some commands are there to fail.
    pub fn run(&self, line: &str, lines: usize) -> Result<(bool, String)> {
        println!("\n$ {line}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{}\n{{ {line}\n}} 2>&1", self.exports)]);
        shell.env_remove("DOCKER_CONTEXT").current_dir(tests::root()).stdin(Stdio::null());
        let output = shell.output().with_context(|| format!("running {line}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in text.lines().take(lines) {
            println!("  {line}");
        }
        let left = text.lines().count().saturating_sub(lines);
        if left > 0 {
            println!("  [{left} more lines]");
        }
        Ok((output.status.success(), text))
    }

    /// The same for a command that must succeed.
    pub fn succeed(&self, line: &str, lines: usize) -> Result<String> {
        let (success, text) = self.run(line, lines)?;
        ensure!(success, "this failed: {line}");
        Ok(text)
    }
}

/// Begins a chapter.
pub fn chapter(title: &str, text: &str) {
    println!("\n== {title}\n{text}");
}

/// Says what was seen, if it was.
pub fn claim(holds: bool, what: &str) -> Result<()> {
    ensure!(holds, "this did not come true: {what}");
    println!("=> {what}");
    Ok(())
}

/// A file's place as the story writes it: from the root of the workspace, where its commands run.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(tests::root()).unwrap_or(path).display().to_string()
}
