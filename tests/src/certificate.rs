//! Certificates of an authority of our own, made by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::engine::program;

/// An authority, and a directory with what it signed: `NAME.crt` and `NAME.key`.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// Makes one in a directory; its own certificate is `authority.crt`.
    pub fn new(directory: &Path) -> Result<Self> {
        let made = Self { directory: directory.to_owned() };
        let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
                    -subj /CN=authority -keyout authority.key -out authority.crt";
        made.openssl(line)?;
        Ok(made)
    }

    /// Signs a certificate for `localhost` and 127.0.0.1, good for servers and clients.
    pub fn sign(&self, name: &str) -> Result<()> {
        self.sign_with(name, "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1")
    }

    /// The same with a key of this kind.
    pub fn sign_with(&self, name: &str, key: &str) -> Result<()> {
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n";
        fs::write(self.path("extensions"), extensions).context("writing what a certificate is for")?;
        self.openssl(&format!("req {key} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"))?;
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 30 \
             -extfile extensions -out {name}.crt"
        ))
    }

    /// A file of the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn openssl(&self, line: &str) -> Result<()> {
        let mut command = Command::new(program("openssl")?);
        let output = command.args(line.split_whitespace()).current_dir(&self.directory).output();
        let output = output.context("running openssl")?;
        ensure!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}
