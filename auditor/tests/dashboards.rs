//! The dashboard and the alert rules: well formed, and made of metrics that there are.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use auditor::metrics::ALL;
use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(directory().join(path)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("auditor.json")).unwrap()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

/// The words of a query that look like metrics of ours.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("auditor_")).collect()
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard = dashboard();
    assert_eq!(dashboard["id"], Value::Null);
    assert_eq!(dashboard["uid"], "auditor-seccomp");
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "job", "instance", "container"]);
    let ids: BTreeSet<i64> =
        dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), dashboard["panels"].as_array().unwrap().len(), "panel ids are unique");
}

#[test]
fn every_panel_says_what_it_shows() {
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty(), "{panel}");
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{title}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
    }
}

#[test]
fn every_query_follows_the_variables_and_the_scrape_interval() {
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{query}");
            assert!(query.contains("job=~\"$job\", instance=~\"$instance\""), "{query}");
            let selectors = query.matches('{').count();
            assert_eq!(selectors, query.matches("job=~\"$job\"").count(), "every selector follows the job: {query}");
            for rate in ["rate(", "increase("] {
                assert!(!query.contains(rate) || query.contains("[$__rate_interval]"), "{query}");
            }
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{}", panel["title"]);
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{} lies on another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn queries_and_rules_use_metrics_that_there_are_and_leave_none_out() {
    let known: BTreeSet<&str> = ALL.iter().map(|definition| definition.name).collect();
    let (dashboard, rules) = (read("auditor.json"), read("rules/auditor.yml"));
    let used: BTreeSet<&str> = metric_names(&dashboard).union(&metric_names(&rules)).copied().collect();
    assert_eq!(used, known);
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    for arguments in [["check", "rules", "auditor.yml"], ["test", "rules", "auditor_test.yml"]] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(directory().join("rules"))
            .output()
            .expect("this test needs promtool (Debian: apt-get install prometheus)");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}

#[test]
fn every_rule_has_its_severity_its_words_its_runbook_and_its_test() {
    let (rules, tests, readme) = (read("rules/auditor.yml"), read("rules/auditor_test.yml"), read("README.md"));
    let blocks: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(blocks.len() >= 6);
    for block in blocks {
        let name = block.lines().next().unwrap();
        for key in ["severity: ", "summary: ", "description: "] {
            assert!(block.contains(key), "{name} lacks {key}");
        }
        let anchor = format!("runbook: dashboards/README.md#{}\n", name.to_lowercase());
        assert!(block.contains(&anchor), "{name} lacks its runbook");
        assert!(readme.contains(&format!("\n### {name}\n")), "{name} is not in the README");
        assert!(tests.contains(&format!("alertname: {name}\n        exp_alerts:\n")), "{name} is not tested");
    }
}
