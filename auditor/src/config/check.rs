//! One check for each kind of value.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, Place};
use crate::docker::Host;

/// What fits into `sockaddr_un.sun_path` (unix(7)), with the zero byte at its end.
const SOCKET_PATH_LIMIT: usize = 107;

/// Counters are read at least this rarely: reading them takes milliseconds with many containers.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// And at least this often, so that a container's last counts are not waited for.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);

fn refuse(key: &'static str, value: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, value: value.into(), reason: reason.into() }
}

pub(super) fn docker_host(given: Option<String>) -> Result<Host, ConfigError> {
    // An empty DOCKER_HOST is none, as for the docker command.
    let Some(text) = given.filter(|text| !text.is_empty()) else { return Ok(Host::default()) };
    text.parse()
        .map_err(|_| refuse("docker_host", text, "only unix sockets are spoken to; give unix:///path/to/docker.sock"))
}

pub(super) fn absolute(key: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() {
        return Ok(path);
    }
    Err(refuse(key, path.to_string_lossy(), "give an absolute path"))
}

/// A directory that may be `none`. Of several, as systemd gives them in `STATE_DIRECTORY`, the first.
pub(super) fn place(key: &'static str, given: Option<PathBuf>) -> Result<Place, ConfigError> {
    let Some(path) = given.filter(|path| !path.as_os_str().is_empty()) else { return Ok(Place::Default) };
    if path.as_os_str() == "none" {
        return Ok(Place::None);
    }
    let text = path.to_string_lossy();
    let first = text.split(':').next().map_or_else(PathBuf::new, PathBuf::from);
    if first.is_absolute() {
        return Ok(Place::Given(first));
    }
    Err(refuse(key, text, "give an absolute path, or none to keep nothing"))
}

pub(super) fn socket(path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.as_os_str().len() <= SOCKET_PATH_LIMIT {
        return Ok(path);
    }
    Err(refuse("socket", path.to_string_lossy(), format!("give a path of at most {SOCKET_PATH_LIMIT} bytes")))
}

pub(super) fn group(name: String) -> Result<String, ConfigError> {
    match nix::unistd::Group::from_name(&name) {
        Ok(Some(_)) => Ok(name),
        Ok(None) => Err(refuse("socket_group", name, "there is no such group; create it or leave the key out")),
        Err(errno) => Err(refuse("socket_group", name, format!("look up the group: {}", errno.desc().to_lowercase()))),
    }
}

pub(super) fn within(
    key: &'static str,
    given: Option<u32>,
    default: u32,
    range: RangeInclusive<u32>,
) -> Result<u32, ConfigError> {
    let value = given.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(refuse(key, value.to_string(), format!("give a number from {} to {}", range.start(), range.end())))
}

pub(super) fn interval(key: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let milliseconds = scale.and_then(|scale: u64| number.parse::<u64>().ok()?.checked_mul(scale));
    match milliseconds.map(Duration::from_millis) {
        Some(value) if (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&value) => Ok(value),
        Some(_) => Err(refuse(key, text, "give a time from 10ms to 60m")),
        None => Err(refuse(key, text, "give a whole number and its unit, for example 500ms, 2s or 1m")),
    }
}

pub(super) fn listen_addresses(given: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    const KEY: &str = "web.listen_address";
    if given.is_empty() {
        return Err(refuse(KEY, "[]", "give at least one address, for example 127.0.0.1:9779"));
    }
    let mut addresses = Vec::with_capacity(given.len());
    for text in given {
        let Some(address) = listen_address(text) else {
            return Err(refuse(KEY, text, "give ADDRESS:PORT, for example 127.0.0.1:9779 or [::1]:9779"));
        };
        if addresses.contains(&address) {
            return Err(refuse(KEY, text, "given twice"));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// As other exporters take it: `:9779` is every address, and `localhost` needs no resolver.
fn listen_address(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix(':') {
        return Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port.parse().ok()?)));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_unit_and_limits() {
        let rows = [("10ms", 10), ("500ms", 500), ("2s", 2_000), ("1m", 60_000), ("60m", 3_600_000)];
        for (text, wanted) in rows {
            assert_eq!(interval("poll_interval", text).unwrap(), Duration::from_millis(wanted), "{text}");
        }
        for text in ["", "5", "s", "0s", "9ms", "61m", "-1s", "1.5s", "1h", "1 s", "99999999999999999999s"] {
            let message = interval("poll_interval", text).unwrap_err().to_string();
            assert!(message.starts_with("poll_interval = "), "{message}");
        }
    }

    #[test]
    fn listen_addresses_are_taken_as_exporters_take_them() {
        let rows = [
            ("127.0.0.1:9779", "127.0.0.1:9779"),
            ("[::1]:1", "[::1]:1"),
            (":9779", "[::]:9779"),
            ("localhost:80", "127.0.0.1:80"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ];
        for (text, wanted) in rows {
            assert_eq!(listen_addresses(&[text.to_owned()]).unwrap(), [wanted.parse().unwrap()], "{text}");
        }
        for text in ["", "9779", "127.0.0.1", ":99999", "::1:80", "example.org:80", "127.0.0.1:http"] {
            assert!(listen_addresses(&[text.to_owned()]).is_err(), "{text}");
        }
        assert!(listen_addresses(&[]).is_err());
        assert!(listen_addresses(&[":1".to_owned(), ":1".to_owned()]).is_err());
    }

    #[test]
    fn paths_numbers_and_groups_out_of_range_are_refused() {
        assert!(absolute("cgroup_root", "relative".into()).is_err());
        assert!(socket(format!("/{}", "x".repeat(SOCKET_PATH_LIMIT)).into()).is_err());
        assert!(within("max_containers", Some(0), 1, 1..=5).is_err());
        assert!(within("max_containers", Some(6), 1, 1..=5).is_err());
        assert!(place("state_dir", Some("relative".into())).is_err());
        assert_eq!(place("state_dir", Some("/a:/b".into())).unwrap(), Place::Given("/a".into()));
        assert_eq!(place("state_dir", Some("none".into())).unwrap(), Place::None);
        assert_eq!(place("state_dir", Some(PathBuf::new())).unwrap(), Place::Default);
        assert!(group("no-such-group-here".to_owned()).is_err());
        assert_eq!(group("root".to_owned()).unwrap(), "root");
        assert!(docker_host(Some("tcp://127.0.0.1:2375".to_owned())).is_err());
        assert_eq!(docker_host(Some("unix:///run/d.sock".to_owned())).unwrap().to_string(), "unix:///run/d.sock");
    }
}
