//! Debian's Prometheus, scraping the daemon under test.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::engine::program;
use crate::http::{self, encode};
use crate::process::{Guarded, Ward, wait_for};

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    _server: Guarded,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that scrapes this address every second, as job `auditor`, with our alert rules.
    pub fn start(target: SocketAddr) -> Result<Self> {
        Self::start_with(target, "")
    }

    /// The same with more settings of the job, as YAML that begins with a comma.
    pub fn start_with(target: SocketAddr, more: &str) -> Result<Self> {
        let dir = tempfile::tempdir().context("making a directory for Prometheus")?.keep();
        let address = http::free_port()?;
        let config = dir.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs: [{{job_name: auditor, static_configs: [{{targets: ['{target}']}}]{more}}}]\n\
             rule_files: ['{rules}']\n",
            rules = crate::root().join("dashboards/rules/auditor.yml").display()
        );
        fs::write(&config, text).context("writing Prometheus's configuration")?;
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", dir.join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let ward = Ward { directory: Some(dir.clone()), ..Ward::default() };
        let server = Guarded::start(&program("prometheus")?, &args, &ward, &dir.join("log"))?;
        let ready = wait_for("Prometheus's readiness", Duration::from_secs(60), || {
            if !server.is_running() {
                bail!("Prometheus ended");
            }
            Ok(http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200).then_some(()))
        });
        ready.with_context(|| format!("Prometheus's log:\n{}", server.log()))?;
        let prometheus = Self { _server: server, address };
        // Rates need two samples.
        wait_for("three scrapes", Duration::from_secs(30), || {
            let scrapes = prometheus.query("count_over_time(up{job=\"auditor\"}[1m]) >= 3")?;
            Ok((!scrapes.is_empty()).then_some(()))
        })?;
        Ok(prometheus)
    }

    /// Runs a query now; gives the series of the answer, each with its labels and value.
    pub fn query(&self, query: &str) -> Result<Vec<Value>> {
        let answer = http::get(self.address, &format!("/api/v1/query?query={}", encode(query)))?;
        let mut body: Value = serde_json::from_str(&answer.body).with_context(|| format!("parsing {}", answer.body))?;
        if body["status"] != "success" {
            bail!("the query {query} failed: {}", body["error"]);
        }
        match body["data"]["result"].take() {
            Value::Array(series) => Ok(series),
            other => bail!("the query {query} gave {other}"),
        }
    }

    /// What a dashboard's `label_values(selector, label)` offers, by the request that Grafana makes for it.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", encode(selector));
        let answer = http::get(self.address, &path)?;
        let body: Value = serde_json::from_str(&answer.body).with_context(|| format!("parsing {}", answer.body))?;
        let values = body["data"].as_array().with_context(|| format!("label_values({selector}, {label}): {body}"))?;
        Ok(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    }

    /// The queries of the alert rules that it loaded, by the rules' names.
    pub fn rules(&self) -> Result<Vec<(String, String)>> {
        let answer = http::get(self.address, "/api/v1/rules")?;
        let body: Value = serde_json::from_str(&answer.body).with_context(|| format!("parsing {}", answer.body))?;
        let mut rules = Vec::new();
        for group in body["data"]["groups"].as_array().context("no rule groups")? {
            for rule in group["rules"].as_array().context("no rules in a group")? {
                let text =
                    |name: &str| rule[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {rule}"));
                rules.push((text("name")?, text("query")?));
            }
        }
        Ok(rules)
    }

    /// Runs a query that must give one number.
    pub fn value(&self, query: &str) -> Result<f64> {
        let series = self.query(query)?;
        let [one] = series.as_slice() else { bail!("the query {query} gave {} series", series.len()) };
        let value = one["value"][1].as_str().and_then(|text| text.parse().ok());
        value.with_context(|| format!("the query {query} gave {one}"))
    }
}
