//! The corpus: real programs, each with work of its own in two halves, and what a suggestion does for them.
//!
//! The first half is what a user would call a fair trial; a suggestion is made from it. The second half uses other
//! features of the same program: what it needs beyond the first shows what a trial does not.

use std::fmt::Write as _;

pub mod calls;
pub mod confined;
pub mod document;
pub mod image;
pub mod outcome;
pub mod reading;
pub mod run;
pub mod strace;
pub mod tour;
pub mod trial;

/// A program, and its work.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name here.
    pub name: &'static str,
    /// The Debian package that has its program, whose version is told: where the name has one in it, a pattern.
    pub package: &'static str,
    /// Which image has it.
    pub room: Room,
    /// Shell functions: `first` and `second`, and around either of them `begin` and `end`.
    script: &'static str,
}

/// Which image has a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// [`crate::image::BUSYBOX`].
    Busybox,
    /// [`crate::image::DEBIAN`], and the large one too.
    Small,
    /// [`image::CORPUS`] alone.
    Large,
}

/// A half of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// What the suggestion is made from.
    First,
    /// Other features.
    Second,
}

impl Half {
    /// The name of its function in the scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

macro_rules! programs {
    ($($room:ident { $($name:literal $package:literal),* $(,)? })*) => {
        /// All programs.
        pub const PROGRAMS: &[Program] = &[$($(Program {
            name: $name,
            package: $package,
            room: Room::$room,
            script: include_str!(concat!("../../corpus/", $name, ".sh")),
        }),*),*];
    };
}

programs! {
    Busybox {
        "busybox" "busybox-static",
    }
    Small {
        "shell" "coreutils",
        "nginx" "nginx",
        "redis" "redis-server",
        "postgresql" "postgresql-[0-9]*",
        "python3" "python3.[0-9]*-minimal",
    }
    Large {
        "rabbitmq" "rabbitmq-server",
        "apache2" "apache2",
        "haproxy" "haproxy",
        "memcached" "memcached",
        "mariadb" "mariadb-server",
        "sqlite3" "sqlite3",
        "nodejs" "nodejs",
        "openjdk" "openjdk-[0-9]*-jdk-headless",
        "php" "php[0-9]*-cli",
        "ruby" "ruby[0-9]*",
        "openssh" "openssh-server",
        "dovecot" "dovecot-core",
        "postfix" "postfix",
        "gcc" "gcc-[0-9][0-9]",
        "git" "git",
    }
}

/// What all scripts have. Under `-e` the shell ignores what `! COMMAND` gives, and what is before a `|`: so there is
/// `fails COMMAND` for what must fail, and `says WORDS COMMAND` for what must succeed and say so.
pub const PRELUDE: &str = r#"
begin() { :; }
end() { :; }
fails() {
    if "$@"; then echo "it did not fail: $*"; return 1; fi
}
says() {
    words=$1
    shift
    "$@" >/tmp/said
    cat /tmp/said
    grep -q -e "$words" /tmp/said
}
"#;

impl Program {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROGRAMS.iter().find(|program| program.name == name)
    }

    /// What its script says.
    #[must_use]
    pub const fn script(&self) -> &'static str {
        self.script
    }

    /// The command line of a half, for a container.
    #[must_use]
    pub fn line(&self, half: Half) -> Vec<String> {
        self.line_after("", half)
    }

    /// The same, with something done before it.
    #[must_use]
    pub fn line_after(&self, before: &str, half: Half) -> Vec<String> {
        let mut script = format!("{before}{PRELUDE}{}", self.script);
        _ = write!(script, "begin\n{}\nend\n", half.as_str());
        ["/bin/sh", "-e", "-c", &script, self.name].map(str::to_owned).to_vec()
    }
}
