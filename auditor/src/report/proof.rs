//! What became of a container that was started under a profile to see whether it does.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::escape::printable;
use super::table::{Align, Paint, Style, Table};
use crate::syscall::{Abi, SyscallNr};

/// One start under a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// The profile's file as it was typed, or `stdin`.
    pub profile: String,
    /// The image.
    pub image: String,
    /// The command; empty where it is the image's own.
    pub command: Vec<String>,
    /// The runtime that the engine gave the container.
    pub runtime: Option<String>,
    /// The program was executed.
    pub started: bool,
    /// It ended within the time limit.
    pub ended: bool,
    /// With this.
    pub exit_code: Option<i64>,
    /// What kept it from starting or succeeding, in one line; `None` where nothing did.
    pub reason: Option<String>,
    /// Refused calls; `None` where nobody could count.
    pub denied: Option<Vec<DeniedView>>,
    /// Calls and events known to be lost.
    pub lost: Option<u64>,
    /// The last lines that the container wrote.
    pub output: Vec<String>,
}

/// A call that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeniedView {
    /// Calling convention.
    pub abi: Abi,
    /// Number.
    pub nr: SyscallNr,
    /// The kernel's name, or `unknown_NNN`.
    pub name: String,
    /// For example `SCMP_ACT_ERRNO`.
    pub action: Option<String>,
    /// What the caller got.
    pub errno: Option<u16>,
    /// How often.
    pub count: u64,
    /// It was told that there is no such call (ENOSYS), as an older kernel would: programs do without, and it is no
    /// finding.
    pub pretended: bool,
}

impl DeniedView {
    /// `mkdir (ERRNO 1)`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let action = self.action.as_deref().unwrap_or("denied").trim_start_matches("SCMP_ACT_");
        match self.errno {
            Some(errno) => format!("{} ({action} {errno})", self.name),
            None => format!("{} ({action})", self.name),
        }
    }
}

impl ProofView {
    /// It started, did what it was to do, and was refused nothing that anybody knows of. Where calls were lost, nobody knows.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let refused = self.denied.iter().flatten().any(|denied| !denied.pretended);
        let lossy = self.lost.is_some_and(|lost| lost > 0);
        self.started && self.reason.is_none() && !refused && !lossy
    }
}

/// A few lines, and the refused calls.
#[must_use]
pub fn text(proof: &ProofView, style: &Style) -> String {
    let mut text = String::new();
    let line = |text: &mut String, word: &str, paint: Paint, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{word:<9}{}", style.paint(paint, &printable(value)));
    };
    let (paint, started) = match (proof.started, &proof.runtime) {
        (true, Some(runtime)) => (Paint::Plain, format!("yes, by {runtime}")),
        (true, None) => (Paint::Plain, "yes".to_owned()),
        (false, _) => (Paint::Red, "no".to_owned()),
    };
    line(&mut text, "started", paint, &started);
    if proof.started {
        let (paint, ended) = match (proof.ended, proof.exit_code) {
            (false, _) => (Paint::Plain, "still ran at the time limit, and was ended".to_owned()),
            (true, Some(0)) => (Paint::Plain, "with exit code 0".to_owned()),
            (true, Some(code)) => (Paint::Red, format!("with exit code {code}")),
            (true, None) => (Paint::Plain, "with an unknown exit code".to_owned()),
        };
        line(&mut text, "ended", paint, &ended);
    }
    if let Some(reason) = &proof.reason {
        line(&mut text, "because", Paint::Red, reason);
    }
    match &proof.denied {
        None => line(&mut text, "denied", Paint::Dim, "unknown: nobody counted"),
        Some(denied) if denied.is_empty() => line(&mut text, "denied", Paint::Plain, "nothing"),
        Some(denied) => {
            let mut table = Table::new(&[
                ("DENIED", Align::Right),
                ("ABI", Align::Left),
                ("SYSCALL", Align::Left),
                ("ANSWER", Align::Left),
            ]);
            for call in denied {
                let answer = match call.errno {
                    _ if call.pretended => "no such call (ENOSYS): no finding".to_owned(),
                    Some(errno) => format!("{} {errno}", call.action.as_deref().unwrap_or_default()),
                    None => call.action.clone().unwrap_or_default(),
                };
                let paint = if call.pretended { Paint::Dim } else { Paint::Plain };
                table.row(paint, vec![call.count.to_string(), call.abi.as_str().to_owned(), call.name.clone(), answer]);
            }
            text.push_str(&table.render(style));
        }
    }
    if let Some(lost @ 1..) = proof.lost {
        line(
            &mut text,
            "lost",
            Paint::Yellow,
            &format!("{lost} calls or events: the counts are too small, and more may have been denied"),
        );
    }
    if !proof.is_clean() && !proof.output.is_empty() {
        text.push_str("its last words:\n");
        for words in &proof.output {
            let _ = writeln!(text, "  {}", printable(words));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::assert_recorded;
    use crate::report::json;
    use crate::syscall;

    fn denied(name: &str, errno: u16, count: u64) -> DeniedView {
        DeniedView {
            abi: Abi::X86_64,
            nr: syscall::number(Abi::X86_64, name).unwrap(),
            name: name.to_owned(),
            action: Some("SCMP_ACT_ERRNO".to_owned()),
            errno: Some(errno),
            count,
            pretended: errno == 38,
        }
    }

    fn proofs() -> Vec<ProofView> {
        let well = ProofView {
            profile: "small.json".to_owned(),
            image: "web:1".to_owned(),
            command: vec!["/usr/bin/web".to_owned()],
            runtime: Some("runc".to_owned()),
            started: true,
            ended: true,
            exit_code: Some(0),
            reason: None,
            denied: Some(vec![denied("clone3", 38, 1)]),
            lost: Some(0),
            output: vec!["ready".to_owned()],
        };
        let served = ProofView { ended: false, exit_code: None, denied: None, lost: None, ..well.clone() };
        let failed = ProofView {
            exit_code: Some(1),
            reason: Some("the command ended with exit code 1; the profile denied mkdir (ERRNO 1)".to_owned()),
            denied: Some(vec![denied("mkdir", 1, 3), denied("clone3", 38, 1)]),
            lost: Some(2),
            output: vec!["mkdir: can't create\u{1b}[2J".to_owned()],
            ..well.clone()
        };
        let never = ProofView {
            started: false,
            ended: false,
            exit_code: None,
            reason: Some("runc could not start it: the profile denies capset (ERRNO 1)".to_owned()),
            denied: Some(vec![denied("capset", 1, 1)]),
            output: Vec::new(),
            ..well.clone()
        };
        vec![well, served, failed, never]
    }

    #[test]
    fn texts_and_objects_are_as_recorded() {
        let proofs = proofs();
        let texts: Vec<_> = proofs.iter().map(|proof| text(proof, &Style::default())).collect();
        assert_recorded("profile-prove.txt", &texts.join("\n"));
        assert_recorded("profile-prove.json", &json::array(&proofs).unwrap());
        assert_eq!(proofs.iter().map(ProofView::is_clean).collect::<Vec<_>>(), [true, true, false, false]);
        assert!(!ProofView { lost: Some(1), ..proofs[0].clone() }.is_clean());
    }
}
