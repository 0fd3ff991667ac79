//! A real Prometheus scrapes a real daemon: its numbers are those of `show`, and every query of ours finds data.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditord::rows;
use tests::engine::{CgroupMode, program};
use tests::groundtruth;
use tests::image::BUSYBOX;
use tests::process::wait_for;
use tests::profile;
use tests::prometheus::Prometheus;
use tests::stage::Stage;

/// Lets the kernel measure eBPF programs as long as it lives.
struct Measured(std::process::Child);

impl Measured {
    fn start() -> Result<Self> {
        let mut command = Command::new(groundtruth::program()?);
        Ok(Self(command.arg("stats").stdin(Stdio::piped()).spawn().context("starting groundtruth")?))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        _ = self.0.wait();
    }
}

/// A container that goes on doing things, most of them allowed.
fn start_busy(stage: &Stage, name: &str, option: &str) -> Result<()> {
    let script = "i=0; while true; do i=$((i + 1)); mkdir /tmp/$i; ls /tmp /missing; sleep 0.2; done";
    stage.engine.client(["run", "--detach", "--name", name, option, BUSYBOX, "/bin/sh", "-c", script])?;
    Ok(())
}

#[test]
fn promtool_finds_nothing_to_complain_of() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    stage.groundtruth("lint", &[], &["work", "124*3", "i386:147", "x32:124"])?;
    let answer = stage.auditor.get("/metrics")?;
    let head = answer.head.to_lowercase();
    ensure!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let mut command = Command::new(program("promtool")?);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().context("running promtool")?;
    promtool.stdin.take().context("promtool takes no input")?.write_all(answer.body.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn prometheus_has_the_numbers_of_show() -> Result<()> {
    let stage = Stage::shared(CgroupMode::Unified)?;
    let work = ["work", "--threads=2", "124*1000", "146@99*50", "i386:147*300", "--filter=100=errno:13", "100*17"];
    stage.groundtruth("scraped", &[], &work)?;
    let prometheus = Prometheus::start(stage.auditor.address())?;
    let shown = stage.auditor.show("scraped")?;
    let of = |metric: &str| format!("{metric}{{name=\"scraped\"}}");
    let mut compared = 0;
    for ((abi, nr), row) in rows(&shown)? {
        let list = shown["syscalls"].as_array().into_iter().flatten();
        let same = |line: &&Value| line["abi"] == abi.as_str() && line["nr"] == nr;
        let name =
            list.into_iter().find(same).and_then(|line| line["name"].as_str()).context("a row without a name")?;
        let counters = [
            ("auditor_syscalls_total", row.calls),
            ("auditor_syscall_errors_total", row.errors),
            ("auditor_seccomp_denials_total", row.denied),
        ];
        for (metric, count) in counters.into_iter().filter(|(_, count)| *count > 0) {
            let query = format!("sum({metric}{{name=\"scraped\", abi=\"{abi}\", syscall=\"{name}\"}})");
            let value = prometheus.value(&query)?;
            ensure!((value - count as f64).abs() < 0.5, "{query} is {value}, and show has {count}");
            compared += 1;
        }
    }
    ensure!(compared > 10, "only {compared} numbers were compared");
    let unfiltered: u64 = rows(&shown)?.values().map(|row| row.unfiltered).sum();
    ensure!((prometheus.value(&of("auditor_unfiltered_syscalls_total"))? - unfiltered as f64).abs() < 0.5);
    for (metric, key) in [("allowed", "allowed"), ("used", "used"), ("unused", "unused")] {
        let value = prometheus.value(&of(&format!("auditor_seccomp_{metric}_syscalls")))?;
        let number = shown[key].as_u64().with_context(|| format!("no {key}"))?;
        ensure!((value - number as f64).abs() < 0.5, "{metric} is {value}, and show has {number}");
    }
    Ok(())
}

/// The lists to choose from above the dashboard, each with what was chosen in those before it.
fn variables_offer_what_there_is(dashboard: &Value, prometheus: &Prometheus) -> Result<()> {
    let mut offered = Vec::new();
    let mut chosen: Vec<(String, String)> = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().context("no variables")? {
        if variable["type"] != "query" {
            continue;
        }
        let name = variable["name"].as_str().context("a variable without a name")?;
        let query = variable["query"]["query"].as_str().or_else(|| variable["query"].as_str());
        let query = query.with_context(|| format!("${name} has no query"))?;
        ensure!(variable["definition"] == query, "${name}: what is shown is not what is asked");
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).with_context(|| query.to_owned())?;
        let mut selector = selector.to_owned();
        for (name, value) in &chosen {
            selector = selector.replace(name, value);
        }
        ensure!(!selector.contains('$'), "${name}: unknown variable in {selector}");
        let values = prometheus.label_values(&selector, label)?;
        ensure!(!values.is_empty(), "${name}: {selector} offers nothing");
        chosen.push((format!("${name}"), values[0].clone()));
        offered.push((name.to_owned(), values));
    }
    let of = |name: &str| offered.iter().find(|(variable, _)| variable == name).map(|(_, values)| values.clone());
    ensure!(of("job").is_some_and(|jobs| jobs == ["auditor"]), "{offered:?}");
    ensure!(of("instance").is_some_and(|instances| instances.len() == 1), "{offered:?}");
    let containers = of("container").context("no containers to choose from")?;
    ensure!(["busy", "free"].iter().all(|name| containers.iter().any(|value| value == name)), "{offered:?}");
    Ok(())
}

#[test]
fn every_query_of_the_dashboard_and_of_the_rules_finds_data() -> Result<()> {
    let stage = Stage::new(CgroupMode::Unified)?;
    let _measured = Measured::start()?;
    let dir = tempfile::tempdir()?;
    let mut forbidding = profile::default_profile(&stage.engine)?;
    profile::forbid(&mut forbidding, &["mkdir"]);
    start_busy(&stage, "busy", &profile::option(&forbidding.to_string(), dir.path(), "nomkdir")?)?;
    start_busy(&stage, "free", "--security-opt=seccomp=unconfined")?;
    let prometheus = Prometheus::start(stage.auditor.address())?;

    let text = std::fs::read(tests::root().join("dashboards/auditor.json"))?;
    let dashboard: Value = serde_json::from_slice(&text).context("parsing the dashboard")?;
    let mut queries: Vec<(String, String)> = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().context("a target without a query")?;
            let query = query.replace("$job", "auditor").replace("$instance", ".*").replace("$container", ".*");
            let title = panel["title"].as_str().unwrap_or_default().to_owned();
            queries.push((title, query.replace("$__rate_interval", "10s").replace("$__range", "1m")));
        }
    }
    ensure!(queries.len() > 20, "only {} queries in the dashboard", queries.len());
    for (alert, query) in prometheus.rules()? {
        prometheus.query(&query).with_context(|| format!("alert {alert}"))?;
        // On a healthy host most conditions do not hold; what they are about has to be there.
        let subject = query.split(" == ").next().unwrap_or_default();
        let subject = subject.rsplit_once(" > ").map_or(subject, |(subject, _)| subject);
        queries.push((alert, subject.to_owned()));
    }
    for (place, query) in &queries {
        ensure!(!query.contains('$'), "{place}: unknown variable in {query}");
        let series = wait_for("data", Duration::from_secs(15), || {
            let series = prometheus.query(query)?;
            Ok((!series.is_empty()).then_some(series.len()))
        });
        series.with_context(|| format!("{place}: {query}"))?;
    }

    variables_offer_what_there_is(&dashboard, &prometheus)?;

    for (alert, state) in [("SeccompDenials", "firing"), ("ContainerWithoutSeccomp", "pending")] {
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"{state}\"}}");
        wait_for("an alert", Duration::from_secs(15), || Ok((!prometheus.query(&query)?.is_empty()).then_some(())))
            .with_context(|| format!("{alert} is not {state}"))?;
    }
    let auditor = stage.auditor;
    drop(auditor);
    wait_for("AuditorDown", Duration::from_secs(15), || {
        Ok((!prometheus.query("ALERTS{alertname=\"AuditorDown\"}")?.is_empty()).then_some(()))
    })
}
