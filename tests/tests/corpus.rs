//! A suggestion is a profile that a program really starts and works under: the corpus, with most programs of the small
//! image.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use auditor::syscall::{self, Abi};
use tests::corpus::calls::{Call, Recorded};
use tests::corpus::confined::{Confined, Tried};
use tests::corpus::outcome::{Outcome, Round};
use tests::corpus::trial::{Extent, try_program};
use tests::corpus::{PRELUDE, PROGRAMS, Program, document, reading, strace};
use tests::engine::CgroupMode;
use tests::image;
use tests::stage::Stage;

/// What happens by chance is measured by `cargo xtask corpus`. Here few starts are recorded, and more where a start
/// under the suggestion needs a call that none of these made; one that they did make is never refused.
const EXTENT: Extent = Extent { recorded: 2, confined: 2, large: false };

fn works_under_its_suggestion(name: &str) -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    image::import_debian(&stage.engine)?;
    let program = Program::named(name).with_context(|| format!("no {name} in the corpus"))?;
    let outcome = try_program(stage, program, EXTENT)?;
    println!("{}", document::summary(&outcome));
    let broken = outcome.broken();
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn busybox_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("busybox")
}

#[test]
fn debian_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("shell")
}

#[test]
fn nginx_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("nginx")
}

#[test]
fn redis_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("redis")
}

#[test]
fn python_works_under_its_suggestion() -> Result<()> {
    works_under_its_suggestion("python3")
}

#[test]
fn the_document_has_the_form_that_the_command_writes_and_all_programs() -> Result<()> {
    let file = document::path();
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    reading::check(&text, PROGRAMS).with_context(|| format!("{}; run `cargo xtask corpus`", file.display()))
}

#[test]
fn the_readme_has_the_figures_of_the_document() -> Result<()> {
    let read = |file: &Path| std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()));
    let (text, readme) = (read(&document::path())?, read(&tests::root().join("README.md"))?);
    let paragraph = readme.split("\n\n").find(|paragraph| paragraph.contains("(docs/corpus.md)"));
    let said = reading::numbers(paragraph.context("README.md does not speak of docs/corpus.md")?);
    let figures = reading::figures(&text)?;
    ensure!(said == figures, "README.md says {said:?}, and docs/corpus.md {figures:?}");
    Ok(())
}

#[test]
fn a_document_that_lacks_a_program_or_tells_of_a_broken_promise_is_refused() -> Result<()> {
    let text = std::fs::read_to_string(document::path()).context("reading the document")?;
    let refused = |text: &str| reading::check(text, PROGRAMS).is_err();
    let row = text.lines().find(|line| line.starts_with("| redis | ")).context("no row of redis")?;
    ensure!(refused(&text.replace(&format!("{row}\n"), "")), "a row is missing, and nobody said so");
    ensure!(refused(&text.replace(row, &row.replacen("| none |", "| 1 faults |", 1))), "a refused call passed");
    ensure!(refused(&text.replace(row, &row.replacen("3 of 3 worked", "2 of 3 worked", 1))), "a failed start passed");
    ensure!(refused(&text[1..]), "another beginning passed");
    ensure!(refused(&text.replacen(" instead of ", " and ", 1).replacen("- Calls allowed: ", "", 1)), "a headline");
    Ok(())
}

#[test]
fn what_was_recorded_is_never_refused_and_what_was_not_is_counted() -> Result<()> {
    let call = |name: &str| anyhow::Ok((Abi::NATIVE, syscall::number(Abi::NATIVE, name).context("a number")?));
    let (read, getsockopt, clone3, fstat) = (call("read")?, call("getsockopt")?, call("clone3")?, call("fstat")?);
    let recorded = Recorded {
        passed: [read, fstat].into(),
        // The runtime's alone.
        made: [read].into(),
        denied: [clone3].into(),
    };
    let tried = |worked, made: &[Call], refused: &[(Call, u64)]| Tried {
        name: "one".to_owned(),
        started: true,
        worked,
        end: "exit code".to_owned(),
        made: made.iter().copied().collect(),
        refused: refused.iter().copied().collect(),
    };
    let of = |starts: &[Tried]| Confined::of(starts, &recorded, &recorded.denied);

    let clean = of(&[tried(true, &[read], &[]), tried(true, &[read, fstat], &[(clone3, 3)])]);
    ensure!(clean.is_clean() && (clean.starts, clean.worked) == (2, 2), "{clean:?}");
    ensure!(clean.let_through == [fstat].into() && clean.calls.is_empty(), "{clean:?}");

    let new = of(&[tried(false, &[read], &[(getsockopt, 2)]), tried(true, &[read], &[(getsockopt, 5)])]);
    ensure!(!new.is_clean() && new.broken.is_empty(), "by chance, and no fault: {new:?}");
    ensure!((new.refused, new.denials(), new.calls.len()) == (2, 7, 1), "{new:?}");

    // Also beside something new, and where the start did its work all the same.
    for refused in [vec![(read, 1)], vec![(fstat, 1), (getsockopt, 1)]] {
        let fault = of(&[tried(true, &[], &refused)]);
        ensure!(fault.broken.len() == 1 && !fault.is_clean(), "what was recorded was refused: {fault:?}");
    }
    let unexplained = of(&[tried(false, &[read], &[(clone3, 1)])]);
    ensure!(unexplained.broken.len() == 1, "a start failed for no reason: {unexplained:?}");
    let runtime = of(&[Tried { started: false, ..tried(false, &[], &[(getsockopt, 1)]) }]);
    ensure!(runtime.broken.len() == 1, "a program was not even started: {runtime:?}");
    Ok(())
}

#[test]
fn an_outcome_whose_last_suggestion_lacks_something_is_a_broken_promise() -> Result<()> {
    let program = Program::named("redis").context("no redis")?;
    let clean =
        Round { first: Confined { starts: 2, started: 2, worked: 2, ..Confined::default() }, ..Round::default() };
    let lacking = Round { first: Confined { refused: 1, ..clean.first.clone() }, ..clean.clone() };
    let outcome = |earlier: Vec<Round>, last: Round| Outcome {
        program,
        version: String::new(),
        last,
        earlier,
        before: 291,
        after: 90,
        second: Confined::default(),
        beyond: String::new(),
        strace: strace::Compared::default(),
        runtime: String::new(),
        untraced: String::new(),
    };
    let broken = |outcome: Outcome| outcome.broken().len();
    ensure!(broken(outcome(vec![lacking.clone()], clean.clone())) == 0, "the second suggestion had all");
    ensure!(broken(outcome(vec![clean.clone()], lacking)) == 1, "the last suggestion lacks something");
    // However well a later one does.
    let fault = Confined { broken: vec!["refused".to_owned()], ..clean.first.clone() };
    ensure!(broken(outcome(vec![Round { first: fault.clone(), ..clean.clone() }], clean.clone())) == 1, "a fault");
    ensure!(broken(Outcome { second: fault, ..outcome(Vec::new(), clean.clone()) }) == 1, "a fault in the other half");
    let short = Round { left_out: vec!["read".to_owned()], ..clean.clone() };
    ensure!(broken(outcome(vec![short], clean.clone())) == 1, "a suggestion without what was recorded");
    ensure!(broken(Outcome { after: 200, ..outcome(Vec::new(), clean) }) == 1, "a suggestion that takes little away");
    Ok(())
}

#[test]
fn the_scripts_fail_where_a_command_does() -> Result<()> {
    for (body, works) in [
        ("fails false", true),
        ("fails true", false),
        ("says b echo abc", true),
        ("says x echo abc", false),
        ("says abc sh -c 'echo abc; exit 3'", false),
    ] {
        let script = format!("{PRELUDE}first() {{\n{body}\n}}\nfirst\nend\n");
        let output = Command::new("/bin/sh").args(["-e", "-c", &script]).output().context("running sh")?;
        ensure!(output.status.success() == works, "{body}: {output:?}");
    }
    // What the shell ignores under -e.
    for program in PROGRAMS {
        let ignored = program.script().lines().find(|line| line.trim_start().starts_with("! "));
        ensure!(ignored.is_none(), "{}: {ignored:?} cannot fail", program.name);
    }
    Ok(())
}

#[test]
fn what_strace_saw_more_often_than_was_counted_is_told() -> Result<()> {
    let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 61.00    0.000100          10        10         2 openat
 39.00    0.000050           5         9           read
------ ----------- ----------- --------- --------- ------------------
100.00    0.000150           7        19         2 total
";
    let traced = strace::parse_summary(table)?;
    ensure!(traced.len() == 2 && traced["openat"] == 10 && traced["read"] == 9, "{traced:?}");
    let counted = |read| BTreeMap::from([("openat".to_owned(), 11), ("read".to_owned(), read)]);
    ensure!(strace::compare(&traced, &counted(9)).missed.is_empty(), "what was counted is said to be missing");
    ensure!(strace::compare(&traced, &counted(8)).missed == ["read (8 of 9)"], "a missing call is not told");
    Ok(())
}
