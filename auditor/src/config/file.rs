//! The TOML file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{ConfigError, Settings};

/// Bytes read of a configuration file at most.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Reads a configuration file. Values are not checked yet: flags may replace them ([`super::Config::check`]).
///
/// # Errors
/// Not readable, not TOML, a key nobody knows, a value of the wrong type; with the line.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let mut text = String::new();
    let done = File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text));
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {FILE_LIMIT} bytes"));
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let length = done.map_err(read)?;
    if u64::try_from(length).is_ok_and(|length| length > FILE_LIMIT) {
        return Err(read(too_large()));
    }
    parse(path, &text)
}

/// Reads the text of a configuration file; the path is for what is said of it.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        reason: reason(error.message()),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The parser's words in one line, with the known name that an unknown one is most like.
fn reason(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(", ");
    // serde: unknown field `a`, expected one of `b`, `c`
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(unknown)) = (message.starts_with("unknown field"), quoted.next()) else { return message };
    let nearest = quoted.map(|known| (strsim::osa_distance(unknown, known), known)).min();
    // A quarter of the letters may be wrong.
    match nearest.filter(|(distance, _)| *distance <= 1 + unknown.len() / 4).map(|(_, known)| known) {
        Some(known) => format!("unknown key `{unknown}`; did you mean `{known}`?"),
        None => message.replacen("field", "key", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let name = file.path().to_str().unwrap().to_owned();
        load(file.path()).map_err(|error| error.to_string().replace(&name, "FILE"))
    }

    #[test]
    fn every_key_has_its_place() {
        let settings = loaded(
            r#"
            docker_host = "unix:///run/docker.sock"
            cgroup_root = "/sys/fs/cgroup"
            state_dir = "/var/lib/auditor"
            bpffs = "/sys/fs/bpf/auditor"
            detach_on_exit = true
            max_containers = 100
            poll_interval = "2s"
            socket = "/run/auditor/auditor.sock"
            socket_group = "root"
            [web]
            listen_address = ["127.0.0.1:9779"]
            config_file = "/etc/auditor/web.yml"
            [metrics]
            per_syscall = false
            max_series = 1000
            "#,
        );
        let config = super::super::Config::check(settings.unwrap()).unwrap();
        assert_eq!((config.max_containers, config.per_syscall, config.max_series), (100, false, 1_000));
        assert_eq!(loaded(""), Ok(Settings::default()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let rows = [
            (
                "cgroup_root = '/x'\nmax_container = 3\n",
                "FILE:2: unknown key `max_container`; did you mean `max_containers`?",
            ),
            ("[web]\n\nlisten_adress = []\n", "FILE:3: unknown key `listen_adress`; did you mean `listen_address`?"),
            ("[wbe]\n", "FILE:1: unknown key `wbe`; did you mean `web`?"),
            ("max_containers = -1\n", "FILE:1: "),
            ("max_containers = 'many'\n", "FILE:1: "),
            ("\n\ncgroup_root =\n", "FILE:3: "),
            ("cgroup_root = '/a'\ncgroup_root = '/b'\n", "FILE:2: "),
            ("zzzzqqq = 1\n", "FILE:1: unknown key `zzzzqqq`, expected one of "),
        ];
        for (text, wanted) in rows {
            let message = loaded(text).unwrap_err();
            assert!(message.starts_with(wanted) && !message.contains('\n'), "{text:?}: {message}");
        }
    }

    #[test]
    fn file_that_is_not_there_is_named() {
        let message = load(Path::new("/no/such/auditor.toml")).unwrap_err().to_string();
        assert!(message.starts_with("read configuration /no/such/auditor.toml: "), "{message}");
    }
}
