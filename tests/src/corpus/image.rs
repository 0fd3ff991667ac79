//! The large image of the corpus: the small Debian one, and the packages of all other programs.

use anyhow::Result;

use crate::engine::Engine;
use crate::image::{debian_tree_with, import_tree};

/// Its tag.
pub const CORPUS: &str = "corpus:rig";

/// What it has besides [`crate::image::PACKAGES`].
pub const PACKAGES: [&str; 19] = [
    "apache2",
    "haproxy",
    "memcached",
    "mariadb-server",
    "sqlite3",
    "rabbitmq-server",
    "python3",
    "nodejs",
    "default-jdk-headless",
    "php-cli",
    "ruby",
    "openssh-server",
    "openssh-client",
    "dovecot-imapd",
    "postfix",
    "gcc",
    "libc6-dev",
    "make",
    "git",
];

/// Gives an engine the image, unless it has it. The first time on a machine takes minutes; the tree is kept in `target/`.
pub fn import(engine: &Engine) -> Result<()> {
    if engine.has_image(CORPUS)? {
        return Ok(());
    }
    import_tree(engine, &debian_tree_with(&PACKAGES)?, CORPUS)
}
