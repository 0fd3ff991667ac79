//! TLS: from files to what handshakes are made with. The only user of rustls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::settings::{ClientAuth, Named, Tls, Wrong, read_bounded};

/// Bytes of a file with certificates or a key at most.
const FILE_LIMIT: u64 = 1 << 20;

/// Answers every client with the one certificate.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// The cipher suite that Go calls so.
pub(super) fn cipher_suite(name: &str) -> Option<SupportedCipherSuite> {
    use ring::cipher_suite as suite;
    Some(match name {
        "TLS_AES_128_GCM_SHA256" => suite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_256_GCM_SHA384" => suite::TLS13_AES_256_GCM_SHA384,
        "TLS_CHACHA20_POLY1305_SHA256" => suite::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        _ => return None,
    })
}

/// The curve that Go calls so.
pub(super) fn curve(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    Some(match name {
        "X25519" => ring::kx_group::X25519,
        "CurveP256" => ring::kx_group::SECP256R1,
        "CurveP384" => ring::kx_group::SECP384R1,
        _ => return None,
    })
}

/// Bytes that nobody can guess; `None`: the system has none.
pub(super) fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    ring::default_provider().secure_random.fill(&mut bytes).ok().map(|()| bytes)
}

/// Reads the files and puts together what handshakes are made with.
pub(super) fn server_config(tls: &Tls) -> Result<ServerConfig, Wrong> {
    let mut provider = ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        // As in Go: those of TLS 1.3 are not configurable.
        let chosen: Vec<_> = tls.cipher_suites.iter().filter_map(|name| cipher_suite(name)).collect();
        let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        let of_13: Vec<_> = provider.cipher_suites.iter().copied().filter(is_13).collect();
        provider.cipher_suites = of_13.into_iter().chain(chosen.into_iter().filter(|suite| !is_13(suite))).collect();
    }
    if !tls.curves.is_empty() {
        provider.kx_groups = tls.curves.iter().filter_map(|name| curve(name)).collect();
    }
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    if tls.versions.tls13 {
        versions.push(&rustls::version::TLS13);
    }
    // Without a suite of its own TLS 1.2 cannot be spoken.
    let has_12 = provider.cipher_suites.iter().any(|suite| suite.tls13().is_none());
    if tls.versions.tls12 && (has_12 || !tls.versions.tls13) {
        versions.push(&rustls::version::TLS12);
    }
    let provider = Arc::new(provider);
    let certificate = certificate(tls, &provider)?;
    let at = |error: rustls::Error| Wrong::new(tls.cert.line, format!("tls_server_config: {error}"));
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions);
    let config = match &tls.client_ca {
        Some(ca) if tls.client_auth != ClientAuth::None => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider);
            let verifier = match tls.client_auth {
                ClientAuth::IfGiven => verifier.allow_unauthenticated(),
                ClientAuth::None | ClientAuth::Required => verifier,
            };
            let verifier = verifier.build().map_err(|error| said(ca, "client_ca_file", &error.to_string()))?;
            config.map_err(at)?.with_client_cert_verifier(verifier)
        }
        _ => config.map_err(at)?.with_no_client_auth(),
    };
    let mut config = config.with_cert_resolver(Arc::new(OneCertificate(Arc::new(certificate))));
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn said(named: &Named, key: &str, reason: &str) -> Wrong {
    Wrong::new(named.line, format!("{key} {}: {reason}", named.path.display()))
}

fn read(named: &Named, key: &str) -> Result<Vec<u8>, Wrong> {
    let words = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "the auditor may not read it".to_owned(),
        _ => error.to_string(),
    };
    read_bounded(Path::new(&named.path), FILE_LIMIT).map_err(|error| said(named, key, &words(error)))
}

fn certificates(named: &Named, key: &str) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    chain(&read(named, key)?).map_err(|reason| said(named, key, &reason))
}

/// Certificates in PEM: one at least.
///
/// # Errors
/// Why there are none, in words.
pub(super) fn chain(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it; give one in PEM".to_owned()),
        found => found.map_err(|error| error.to_string()),
    }
}

/// A key in PEM.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => "there is no key in it; give one in PEM, without a passphrase".to_owned(),
        other => other.to_string(),
    })
}

fn certificate(tls: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, Wrong> {
    let chain = certificates(&tls.cert, "cert_file")?;
    let key = key(&read(&tls.key, "key_file")?).map_err(|reason| said(&tls.key, "key_file", &reason))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            said(&tls.key, "key_file", &format!("it is not the key of {}", tls.cert.path.display()))
        }
        other => said(&tls.key, "key_file", &other.to_string()),
    })
}

fn authorities(ca: &Named) -> Result<RootCertStore, Wrong> {
    trusted(certificates(ca, "client_ca_file")?).map_err(|error| said(ca, "client_ca_file", &error.to_string()))
}

/// Whether a server can show these certificates with this key.
pub(super) fn belong_together(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> bool {
    CertifiedKey::from_der(chain, key, &ring::default_provider()).is_ok()
}

/// Those that may sign clients' certificates.
///
/// # Errors
/// One of them is none.
pub(super) fn trusted(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, rustls::Error> {
    let mut store = RootCertStore::empty();
    certificates.into_iter().try_for_each(|certificate| store.add(certificate))?;
    Ok(store)
}
