//! Doors for tests that throw bytes at what an operator or a scraper hands over; see [`crate::hostile`].

use std::path::Path;

use axum::http::HeaderValue;

use super::settings::{Settings, SettingsError};
use super::{password, tls};

/// A web configuration; the files that it names are not read.
///
/// # Errors
/// What is wrong, and on which line.
pub fn configuration(text: &str) -> Result<(), SettingsError> {
    Settings::parse(Path::new("web.yml"), text).map(|_| ())
}

/// A server's certificates and its key, or an authority's certificates. Whether they can be used for the one and for the
/// other.
#[must_use]
pub fn certificates(chain: &[u8], key: &[u8]) -> (bool, bool) {
    let Ok(chain) = tls::chain(chain) else { return (false, false) };
    (tls::key(key).is_ok_and(|key| tls::belong_together(chain.clone(), key)), tls::trusted(chain).is_ok())
}

/// What `Authorization` says: a name and a password.
#[must_use]
pub fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    HeaderValue::from_bytes(header).ok().as_ref().and_then(password::credentials)
}
