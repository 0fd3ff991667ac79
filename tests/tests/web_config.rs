//! Web configurations, with Prometheus's own checker as the judge of what is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::auditord;
use tests::certificate::Authority;
use tests::engine::program;

const ERROR: i32 = 2;

/// Who takes a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Both.
    Good,
    /// Neither.
    Bad,
    /// Prometheus alone: the auditor refuses what it would not do as asked.
    Stricter,
}
use Verdict::{Bad, Good, Stricter};

/// A hash of cost 10.
const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
const CERT: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// What is said of a file by a command that only checks: whether it is taken, and the words.
fn ask(mut command: Command) -> Result<(Option<i32>, String)> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    Ok((output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
}

fn judge(directory: &Path, text: &str, verdict: Verdict, words: &str) -> Result<()> {
    let file = directory.join("web.yml");
    fs::write(&file, text)?;
    let mut promtool = Command::new(program("promtool")?);
    promtool.args(["check", "web-config"]).arg(&file);
    let (code, said) = ask(promtool)?;
    ensure!((code == Some(0)) == (verdict != Bad), "promtool: {said}");
    let mut auditor = Command::new(auditord::binary()?);
    auditor.args(["check-config", "--web.config.file"]).arg(&file);
    let (code, said) = ask(auditor)?;
    let expected = if verdict == Good { 0 } else { ERROR };
    ensure!(code == Some(expected), "auditor ended with {code:?} where {expected} was expected: {said}");
    ensure!(said.contains(words), "no {words:?} in: {said}");
    ensure!(said.trim_end().lines().count() == 1, "not one line: {said}");
    ensure!(verdict == Good || said.contains("web.yml:"), "no line is named: {said}");
    ensure!(!said.contains(HASH), "a hash is told: {said}");
    // A secret that is wrongly written is one all the same.
    ensure!(!said.contains("hunter2"), "a password is told: {said}");
    Ok(())
}

#[test]
fn what_prometheus_takes_is_taken_and_what_it_refuses_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new(directory.path())?;
    authority.sign("server")?;
    authority.sign("other")?;
    authority.sign_with("rsa", "-newkey rsa:2048")?;
    fs::write(authority.path("empty.pem"), "")?;
    let chain = [fs::read(authority.path("server.crt"))?, fs::read(authority.path("authority.crt"))?].concat();
    fs::write(authority.path("chain.pem"), chain)?;
    let tls = |more: &str| format!("{CERT}{more}");
    let clients = |kind: &str| tls(&format!("  client_auth_type: {kind}\n  client_ca_file: authority.crt\n"));
    let users = |list: &str| format!("basic_auth_users:\n{list}");
    let header = |line: &str| format!("http_server_config:\n  headers:\n    {line}\n");
    let cut = &HASH[..HASH.len() - 1];
    let rows = [
        // Nothing is a configuration as well.
        (String::new(), Good, "no errors"),
        ("# nothing\n".to_owned(), Good, ""),
        ("---\n".to_owned(), Good, ""),
        ("null\n".to_owned(), Good, ""),
        ("tls_server_config:\nhttp_server_config: ~\nbasic_auth_users: {}\n".to_owned(), Good, ""),
        ("[]\n".to_owned(), Bad, "not a mapping"),
        ("word\n".to_owned(), Bad, "not a mapping"),
        ("a: b: c\n".to_owned(), Bad, "web.yml:1: not YAML"),
        ("\"\n".to_owned(), Bad, "not YAML"),
        ("tls_server_config: {\n".to_owned(), Bad, "not YAML"),
        ("tls_server_config: 7\n".to_owned(), Bad, "not a mapping"),
        // Keys.
        (
            "tls_server_conf: {}\n".to_owned(),
            Bad,
            "web.yml:1: unknown key `tls_server_conf`; did you mean `tls_server_config`?",
        ),
        ("\n\nwhatever: 1\n".to_owned(), Bad, "web.yml:3: unknown key `whatever`; there are tls_server_config, "),
        (
            tls("  certfile: x\n"),
            Bad,
            "web.yml:4: unknown key `certfile` in tls_server_config; did you mean `cert_file`?",
        ),
        (tls("  key_file: other.key\n"), Bad, "twice"),
        ("http_server_config: {http3: true}\n".to_owned(), Bad, "did you mean `http2`?"),
        (
            format!("http_server_config: {{}}\nhttp_server_config: {{}}\n{}", ""),
            Bad,
            "web.yml:2: key `http_server_config` is there twice",
        ),
        // Keys of later versions: known, and not supported.
        (tls("  cert: |\n    text\n"), Bad, "web.yml:4: `cert` in tls_server_config is not supported here"),
        (tls("  client_allowed_sans: [a]\n"), Bad, "not supported here"),
        ("rate_limit: {interval: 1s}\n".to_owned(), Bad, "not supported here"),
        // Certificates and keys.
        (tls(""), Good, ""),
        ("tls_server_config: {cert_file: \"chain.pem\", key_file: 'server.key'}\n".to_owned(), Good, ""),
        ("tls_server_config: {cert_file: rsa.crt, key_file: rsa.key}\n".to_owned(), Good, ""),
        (
            format!(
                "tls_server_config: {{cert_file: {0}.crt, key_file: {0}.key}}\n",
                authority.path("server").display()
            ),
            Good,
            "",
        ),
        ("tls_server_config: {cert_file: server.crt}\n".to_owned(), Bad, "no key_file"),
        ("tls_server_config: {key_file: server.key}\n".to_owned(), Bad, "no cert_file"),
        (
            "tls_server_config: {cert_file: missing.crt, key_file: server.key}\n".to_owned(),
            Bad,
            "missing.crt: there is no such file",
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: missing.key\n".to_owned(),
            Bad,
            "web.yml:3: key_file",
        ),
        ("tls_server_config: {cert_file: server.crt, key_file: other.key}\n".to_owned(), Bad, "it is not the key of"),
        ("tls_server_config: {cert_file: server.key, key_file: server.key}\n".to_owned(), Bad, "no certificate in it"),
        ("tls_server_config: {cert_file: server.crt, key_file: server.crt}\n".to_owned(), Bad, "no key in it"),
        ("tls_server_config: {cert_file: empty.pem, key_file: server.key}\n".to_owned(), Bad, "no certificate in it"),
        ("tls_server_config: {cert_file: ., key_file: server.key}\n".to_owned(), Bad, "not a file"),
        ("tls_server_config: {cert_file: [server.crt], key_file: server.key}\n".to_owned(), Bad, "not a text"),
        // Clients' certificates.
        (tls("  client_auth_type: NoClientCert\n"), Good, ""),
        (tls("  client_auth_type: \"\"\n"), Good, ""),
        (clients("RequireAndVerifyClientCert"), Good, ""),
        (clients("VerifyClientCertIfGiven"), Good, ""),
        (clients("NoClientCert"), Bad, "client_ca_file without"),
        (tls("  client_ca_file: authority.crt\n"), Bad, "client_ca_file without"),
        (clients("Whoever"), Bad, "unknown client_auth_type \"Whoever\""),
        (
            tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: missing.crt\n"),
            Bad,
            "missing.crt: there is no such file",
        ),
        ("tls_server_config: {client_auth_type: NoClientCert}\n".to_owned(), Bad, "no cert_file"),
        (clients("RequestClientCert"), Stricter, "not supported here"),
        (clients("RequireAnyClientCert"), Stricter, "not supported here"),
        (tls("  client_auth_type: RequireAndVerifyClientCert\n"), Stricter, "needs a client_ca_file"),
        (
            tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: empty.pem\n"),
            Stricter,
            "no certificate in it",
        ),
        // Versions, ciphers, curves.
        (tls("  min_version: TLS12\n  max_version: TLS13\n"), Good, ""),
        (tls("  min_version: TLS13\n"), Good, ""),
        (tls("  max_version: TLS12\n"), Good, ""),
        (tls("  min_version: TLS14\n"), Bad, "unknown min_version"),
        (tls("  min_version: 1.2\n"), Bad, "unknown min_version"),
        (tls("  min_version: TLS10\n"), Stricter, "min_version TLS10 is not supported here: use TLS12 or TLS13"),
        (tls("  min_version: TLS13\n  max_version: TLS12\n"), Stricter, "newer than"),
        (tls("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n"), Good, ""),
        (tls("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"), Good, ""),
        (tls("  cipher_suites: []\n"), Good, ""),
        (tls("  cipher_suites: [ROT13]\n"), Bad, "\"ROT13\" is unknown"),
        (tls("  cipher_suites: TLS_AES_128_GCM_SHA256\n"), Bad, "not a list"),
        (tls("  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n"), Stricter, "not supported here"),
        (tls("  curve_preferences: [X25519, CurveP256, CurveP384]\n"), Good, ""),
        (tls("  curve_preferences: [P256]\n"), Bad, "unknown"),
        (tls("  curve_preferences: [CurveP521]\n"), Stricter, "not supported here"),
        (tls("  prefer_server_cipher_suites: no\n"), Good, ""),
        (tls("  prefer_server_cipher_suites: maybe\n"), Bad, "neither true nor false"),
        (tls("  prefer_server_cipher_suites: \"true\"\n"), Bad, "neither true nor false"),
        // HTTP.
        ("http_server_config: {http2: false}\n".to_owned(), Good, ""),
        ("http_server_config: {http2: true}\n".to_owned(), Stricter, "speaks HTTP/1.1"),
        ("http_server_config: {http2: \"no\"}\n".to_owned(), Bad, "neither true nor false"),
        (header("Strict-Transport-Security: max-age=31536000"), Good, ""),
        (header("X-Frame-Options: sameorigin"), Good, ""),
        (header("X-Content-Type-Options: nosniff"), Good, ""),
        (header("Content-Security-Policy: \"default-src 'none'\""), Good, ""),
        (header("X-XSS-Protection: 0"), Good, ""),
        (header("X-Frame-Options: maybe"), Bad, "it may be deny, sameorigin"),
        (header("Server: auditor"), Bad, "cannot be set"),
        (header("x-frame-options: deny"), Bad, "cannot be set"),
        (header("Content-Security-Policy: \"a\\nb\""), Stricter, "not a header's value"),
        // Users.
        (users(&format!("  ann: {HASH}\n  \"bob jones\": '{HASH}'\n  123: {HASH}\n")), Good, ""),
        (users(&format!("  ann: {}\n", HASH.replacen("2y", "2b", 1))), Good, ""),
        (users(&format!("  ann: {}\n", HASH.replacen("2y", "2a", 1))), Good, ""),
        (users("  ann: hunter2\n"), Bad, "web.yml:2: the password of \"ann\" is no bcrypt hash"),
        (users("  ann:\n"), Bad, "no bcrypt hash"),
        (users(&format!("  ann: {cut}\n")), Stricter, "cut off"),
        (users(&format!("  ann: {}\n", &HASH[..50])), Bad, "cut off"),
        (users(&format!("  ann: {}\n", HASH.replacen("$10$", "$03$", 1))), Bad, "cost"),
        (users(&format!("  ann: {}\n", HASH.replacen("$10$", "$32$", 1))), Bad, "cost"),
        (users("  - ann\n"), Bad, "not a mapping"),
        (users(&format!("  ann: {}\n", HASH.replacen("$10$", "$15$", 1))), Stricter, "takes too long"),
        (users(&format!("  ann: {}\n", HASH.replacen("2y", "2x", 1))), Stricter, "2a, 2b and 2y"),
        (users(&format!("  ann: &hash {HASH}\n  bob: *hash\n")), Stricter, "aliases are not supported"),
    ];
    let judged = rows.iter().map(|(text, verdict, words)| {
        judge(directory.path(), text, *verdict, words).map_err(|error| format!("{text}\n{error:#}\n"))
    });
    let wrong: Vec<String> = judged.filter_map(Result::err).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_daemon_s_own_configuration_is_checked_with_the_web_configuration_that_it_names() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (web, toml) = (directory.path().join("web.yml"), directory.path().join("auditor.toml"));
    fs::write(&toml, format!("[web]\nconfig_file = {web:?}\n"))?;
    let check = || {
        let mut command = Command::new(auditord::binary()?);
        command.arg("check-config").arg(&toml);
        ask(command)
    };
    let (code, said) = check()?;
    ensure!(code == Some(ERROR) && said.contains("read web configuration") && said.contains("web.yml"), "{said}");
    for (size, expected) in [(64 * 1024, 0), (64 * 1024 + 1, ERROR)] {
        fs::write(&web, "#".repeat(size))?;
        let (code, said) = check()?;
        ensure!(code == Some(expected), "{size}: {said}");
    }
    // As deep as the file is long.
    for text in ["[".repeat(60_000), "- ".repeat(30_000), "{a: ".repeat(15_000)] {
        fs::write(&web, text)?;
        let (code, said) = check()?;
        ensure!(code == Some(ERROR) && said.contains("web.yml:1: "), "{code:?} {said}");
    }
    Ok(())
}
