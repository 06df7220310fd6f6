//! Who a node is for clients of TLS: a certificate with its chain, its key, and what is offered.
//! Read whole or not at all, shared by all shards and replaced as a whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig, SupportedProtocolVersion};

use crate::validity::validity_of;

/// All that is spoken within.
pub(crate) const PROTOCOL: &[u8] = b"http/1.1";
/// Tickets that a client of TLS 1.3 gets: browsers open connections side by side, and use each
/// ticket once.
const TICKETS: usize = 2;

/// What is spoken, the newest first.
static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldestVersion {
    /// 1.2, and 1.3.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

impl OldestVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            OldestVersion::Tls12 => &BOTH,
            OldestVersion::Tls13 => &BOTH[..1],
        }
    }
}

/// Why a certificate and its key can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefusal {
    /// The first file has no certificate.
    #[error("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The first file has something that looks like one and is none.
    #[error("its certificate can't be read: {0}")]
    MalformedCertificate(String),
    /// The second file has no key.
    #[error("it holds no private key in PEM without a passphrase (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The second file has a key of a kind that is not known.
    #[error("its key can't be used: {0}")]
    UnusableKey(String),
    /// The key is that of another certificate.
    #[error("it is not the key of the certificate")]
    OtherKey,
}

impl IdentityRefusal {
    /// Whether it is the key that is wrong.
    pub fn is_of_key(&self) -> bool {
        match self {
            IdentityRefusal::NoCertificate | IdentityRefusal::MalformedCertificate(_) => false,
            IdentityRefusal::NoKey
            | IdentityRefusal::UnusableKey(_)
            | IdentityRefusal::OtherKey => true,
        }
    }
}

/// A certificate with its key, ready for use.
#[derive(Debug)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    oldest: OldestVersion,
    /// From when on the certificate holds, in seconds since 1970.
    pub not_before_s: i64,
    /// Until when it holds, in seconds since 1970.
    pub not_after_s: i64,
}

impl TlsIdentity {
    /// Reads a certificate, with its chain behind it, and its key, both as PEM. Resumption tickets
    /// have keys of their own, drawn here and changed every six hours.
    ///
    /// # Errors
    /// [`IdentityRefusal`].
    pub fn read(
        certificate: &[u8],
        key: &[u8],
        oldest: OldestVersion,
    ) -> Result<TlsIdentity, IdentityRefusal> {
        let malformed = |error: String| IdentityRefusal::MalformedCertificate(error);
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| malformed(error.to_string()))?;
        let first = chain.first().ok_or(IdentityRefusal::NoCertificate)?;
        let (not_before_s, not_after_s) =
            validity_of(first).ok_or_else(|| malformed("it is no X.509".to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityRefusal::NoKey)?;
        let unusable = |error: Error| IdentityRefusal::UnusableKey(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(oldest.versions())
            .map_err(unusable)?;
        let config = builder.with_no_client_auth().with_single_cert(chain.clone(), key);
        let mut config = config.map_err(|error| match error {
            Error::InconsistentKeys(_) => IdentityRefusal::OtherKey,
            Error::InvalidCertificate(why) => malformed(format!("{why:?}")),
            other => IdentityRefusal::UnusableKey(other.to_string()),
        })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        config.send_tls13_tickets = TICKETS;
        // Tickets hold all that is needed: no table is shared, and none can be filled.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let config = Arc::new(config);
        Ok(TlsIdentity { config, chain, oldest, not_before_s, not_after_s })
    }

    /// Whether clients would see no difference.
    pub fn is_same(&self, other: &TlsIdentity) -> bool {
        self.chain == other.chain && self.oldest == other.oldest
    }

    /// The certificate, and its chain behind it, as DER.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(|certificate| certificate.as_ref())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// The node's identity, where it has one: read by shards at each handshake, replaced by reloads.
#[derive(Debug, Default)]
pub struct SharedIdentity {
    version: AtomicU64,
    current: RwLock<Option<Arc<TlsIdentity>>>,
}

impl SharedIdentity {
    /// The present one.
    pub fn current(&self) -> Option<Arc<TlsIdentity>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes with each replacement: who has the identity of this version needs no other.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Puts another in its place; connections that stand go on with theirs.
    pub fn replace(&self, identity: Option<Arc<TlsIdentity>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = identity;
        self.version.fetch_add(1, Ordering::Release);
    }
}
