//! From the tree to settings: which keys there are, and what they may say.

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::{HeaderName, HeaderValue};

use super::document::{Entry, Node, Value};
use super::{ClientAuth, Named, Settings, Tls, Versions, Wrong};
use crate::http::password;

const TOP: [&str; 3] = ["tls_server_config", "http_server_config", "basic_auth_users"];
const TLS: [&str; 9] = [
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "min_version",
    "max_version",
    "cipher_suites",
    "curve_preferences",
    "prefer_server_cipher_suites",
];
const HTTP: [&str; 2] = ["http2", "headers"];

/// What the format has and this server does not do, with what to do about it.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("cert", "put the certificate into a file and name it with cert_file"),
    ("key", "put the key into a file and name it with key_file"),
    ("client_ca", "put the authority's certificate into a file and name it with client_ca_file"),
    (
        "client_allowed_sans",
        "let an authority of its own sign the clients' certificates, and name it with client_ca_file",
    ),
    ("rate_limit", "leave it out; requests are limited without it"),
];

/// The headers that may be set, with the values that they may have; none: any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

type Read<T> = Result<T, Wrong>;

/// A web configuration; file names are relative to this directory.
pub(super) fn settings(root: Node, directory: &Path) -> Read<Settings> {
    let mut settings = Settings::default();
    for entry in mapping(root, "a web configuration")? {
        match known(&entry, &TOP, "")? {
            "tls_server_config" => settings.tls = tls(entry, directory)?,
            "http_server_config" => settings.headers = http(entry)?,
            _ => settings.users = users(entry)?,
        }
    }
    Ok(settings)
}

fn mapping(node: Node, what: &str) -> Read<Vec<Entry>> {
    match node.value {
        Value::Null => Ok(Vec::new()),
        Value::Mapping(entries) => Ok(entries),
        Value::Scalar { .. } | Value::Sequence(_) => Err(Wrong::new(node.line, format!("{what} is not a mapping"))),
    }
}

/// The key, as the list has it.
fn known<'list>(entry: &Entry, list: &[&'list str], section: &str) -> Read<&'list str> {
    let key = entry.key.as_str();
    if let Some(known) = list.iter().find(|known| **known == key) {
        return Ok(known);
    }
    let place = if section.is_empty() { String::new() } else { format!(" in {section}") };
    if let Some((_, advice)) = UNSUPPORTED.iter().find(|(known, _)| *known == key) {
        return Err(Wrong::new(entry.line, format!("`{key}`{place} is not supported here: {advice}")));
    }
    let nearest = list.iter().map(|known| (strsim::osa_distance(key, known), known)).min();
    Err(Wrong::new(
        entry.line,
        match nearest.filter(|(distance, _)| *distance <= 1 + key.len() / 4) {
            Some((_, near)) => format!("unknown key `{key}`{place}; did you mean `{near}`?"),
            None => format!("unknown key `{key}`{place}; there are {}", list.join(", ")),
        },
    ))
}

/// A text, or nothing. Go's YAML takes numbers and truth values for texts as well.
fn text(node: Node, key: &str) -> Read<Option<String>> {
    match node.value {
        Value::Null => Ok(None),
        Value::Scalar { text, .. } => Ok(Some(text).filter(|text| !text.is_empty())),
        Value::Sequence(_) | Value::Mapping(_) => Err(Wrong::new(node.line, format!("{key} is not a text"))),
    }
}

fn truth(node: Node, key: &str) -> Read<Option<bool>> {
    let line = node.line;
    let wrong = || Err(Wrong::new(line, format!("{key} is neither true nor false")));
    match node.value {
        Value::Null => Ok(None),
        Value::Scalar { text, plain: true } => match text.as_str() {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Ok(Some(true)),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Ok(Some(false)),
            _ => wrong(),
        },
        Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => wrong(),
    }
}

fn texts(node: Node, key: &str) -> Read<Vec<(usize, String)>> {
    let nodes = match node.value {
        Value::Null => return Ok(Vec::new()),
        Value::Sequence(nodes) => nodes,
        Value::Scalar { .. } | Value::Mapping(_) => return Err(Wrong::new(node.line, format!("{key} is not a list"))),
    };
    let one = |node: Node| {
        let line = node.line;
        text(node, key)?.map(|text| (line, text)).ok_or_else(|| Wrong::new(line, format!("{key} has an empty entry")))
    };
    nodes.into_iter().map(one).collect()
}

fn tls(section: Entry, directory: &Path) -> Read<Option<Tls>> {
    let (line, name) = (section.line, section.key.as_str());
    let (mut cert, mut key, mut client_ca, mut client_auth) = (None, None, None, None);
    let (mut oldest, mut newest, mut prefer) = (None, None, None);
    let (mut cipher_suites, mut curves) = (Vec::new(), Vec::new());
    let file = |entry: Entry| -> Read<Option<Named>> {
        let line = entry.line;
        let path = text(entry.value, &entry.key)?;
        Ok(path.map(|path| Named { path: directory.join(path), line }))
    };
    for entry in mapping(section.value, name)? {
        let at = entry.line;
        let located = |text: Option<String>| text.map(|text| (at, text));
        match known(&entry, &TLS, name)? {
            "cert_file" => cert = file(entry)?,
            "key_file" => key = file(entry)?,
            "client_ca_file" => client_ca = file(entry)?,
            "client_auth_type" => client_auth = located(text(entry.value, "client_auth_type")?),
            "min_version" => oldest = located(text(entry.value, "min_version")?),
            "max_version" => newest = located(text(entry.value, "max_version")?),
            "cipher_suites" => cipher_suites = checked(texts(entry.value, "cipher_suites")?, cipher_suite)?,
            "curve_preferences" => curves = checked(texts(entry.value, "curve_preferences")?, curve)?,
            _ => prefer = truth(entry.value, "prefer_server_cipher_suites")?,
        }
    }
    let versions = versions(oldest.as_ref(), newest.as_ref())?;
    let (cert, key) = match (cert, key) {
        (None, None) if client_auth.is_none() && client_ca.is_none() => return Ok(None),
        (None, _) => return Err(Wrong::new(line, "tls_server_config has no cert_file")),
        (_, None) => return Err(Wrong::new(line, "tls_server_config has no key_file")),
        (Some(cert), Some(key)) => (cert, key),
    };
    let client_auth = client_auth_type(client_auth.as_ref(), client_ca.as_ref())?;
    let prefer_server_cipher_suites = prefer.unwrap_or(true);
    Ok(Some(Tls { cert, key, client_auth, client_ca, versions, cipher_suites, curves, prefer_server_cipher_suites }))
}

fn checked(list: Vec<(usize, String)>, check: impl Fn(&str) -> Result<(), String>) -> Read<Vec<String>> {
    let one = |(line, name): (usize, String)| check(&name).map(|()| name).map_err(|reason| Wrong::new(line, reason));
    list.into_iter().map(one).collect()
}

fn client_auth_type(given: Option<&(usize, String)>, authority: Option<&Named>) -> Read<ClientAuth> {
    let kind = match given.map(|(line, name)| (*line, name.as_str())) {
        None | Some((_, "NoClientCert")) => ClientAuth::None,
        Some((_, "VerifyClientCertIfGiven")) => ClientAuth::IfGiven,
        Some((_, "RequireAndVerifyClientCert")) => ClientAuth::Required,
        Some((line, name @ ("RequestClientCert" | "RequireClientCert" | "RequireAnyClientCert"))) => {
            return Err(Wrong::new(
                line,
                format!(
                    "client_auth_type {name} is not supported here, for it lets in whoever made a certificate: use RequireAndVerifyClientCert or VerifyClientCertIfGiven"
                ),
            ));
        }
        Some((line, name)) => {
            return Err(Wrong::new(
                line,
                format!(
                    "unknown client_auth_type {name:?}; there are NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert"
                ),
            ));
        }
    };
    match (kind, given, authority) {
        (ClientAuth::None, _, Some(ca)) => {
            Err(Wrong::new(ca.line, "client_ca_file without a client_auth_type that looks at certificates"))
        }
        (ClientAuth::IfGiven | ClientAuth::Required, Some((line, name)), None) => {
            Err(Wrong::new(*line, format!("client_auth_type {name} needs a client_ca_file")))
        }
        _ => Ok(kind),
    }
}

fn versions(oldest: Option<&(usize, String)>, newest: Option<&(usize, String)>) -> Read<Versions> {
    let number = |key: &str, given: Option<&(usize, String)>, default: u8| match given {
        None => Ok(default),
        Some((line, name)) => match name.as_str() {
            "TLS12" => Ok(12),
            "TLS13" => Ok(13),
            "TLS10" | "TLS11" => {
                Err(Wrong::new(*line, format!("{key} {name} is not supported here: use TLS12 or TLS13")))
            }
            _ => Err(Wrong::new(*line, format!("unknown {key} {name:?}; there are TLS12 and TLS13"))),
        },
    };
    let (low, high) = (number("min_version", oldest, 12)?, number("max_version", newest, 13)?);
    match oldest.filter(|_| low > high) {
        Some((line, _)) => Err(Wrong::new(*line, "min_version is newer than max_version")),
        None => Ok(Versions { tls12: low <= 12, tls13: high >= 13 }),
    }
}

/// Go's names of what rustls has, with those of what it leaves out on purpose.
fn cipher_suite(name: &str) -> Result<(), String> {
    if crate::http::tls::cipher_suite(name).is_some() {
        return Ok(());
    }
    let (kind, advice) = match name.starts_with("TLS_") {
        true => ("not supported here", "without forward secrecy or authenticated encryption there is none"),
        false => ("unknown", "names are as in TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    };
    Err(format!("cipher_suites: {name:?} is {kind}; {advice}"))
}

fn curve(name: &str) -> Result<(), String> {
    if crate::http::tls::curve(name).is_some() {
        return Ok(());
    }
    let kind = if name == "CurveP521" { "not supported here" } else { "unknown" };
    Err(format!("curve_preferences: {name:?} is {kind}; there are X25519, CurveP256, CurveP384"))
}

fn http(section: Entry) -> Read<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    for entry in mapping(section.value, "http_server_config")? {
        let line = entry.line;
        if known(&entry, &HTTP, "http_server_config")? == "headers" {
            for header in mapping(entry.value, "headers")? {
                headers.push(self::header(header)?);
            }
        } else if truth(entry.value, "http2")? == Some(true) {
            return Err(Wrong::new(line, "http2 is not supported here, this server speaks HTTP/1.1: leave it out"));
        }
    }
    Ok(headers)
}

fn header(entry: Entry) -> Read<(HeaderName, HeaderValue)> {
    let (line, name) = (entry.line, entry.key.as_str());
    let value = text(entry.value, name)?.unwrap_or_default();
    let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let all: Vec<&str> = HEADERS.iter().map(|(known, _)| *known).collect();
        return Err(Wrong::new(line, format!("header {name:?} cannot be set; there are {}", all.join(", "))));
    };
    if !values.is_empty() && !values.contains(&value.as_str()) {
        return Err(Wrong::new(line, format!("header {name} cannot be {value:?}; it may be {}", values.join(", "))));
    }
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(Wrong::new(line, format!("header {name} cannot be {value:?}: that is not a header's value"))),
    }
}

fn users(section: Entry) -> Read<BTreeMap<String, String>> {
    let mut users = BTreeMap::new();
    for entry in mapping(section.value, "basic_auth_users")? {
        let hash = text(entry.value, &entry.key)?.unwrap_or_default();
        // The hash is a secret: what is wrong is said without it.
        password::check_hash(&hash)
            .map_err(|reason| Wrong::new(entry.line, format!("the password of {:?} {reason}", entry.key)))?;
        users.insert(entry.key, hash);
    }
    Ok(users)
}
