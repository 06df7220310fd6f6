//! The other end: whoever asks a node, and how it knows that it is the node. For commands, one
//! connection at a time; reads and writes may block.
//!
//! Trusted is, in this order: the node's own certificate, if whoever asks has it, whatever name and
//! time it has, since the key is proved; a certificate that is listed itself, and one that a listed
//! one has signed, for the name that was asked for and within its time.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use crate::validity::validity_of;

/// Why there is no connection of TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsConnectError {
    /// What answers speaks something else.
    #[error("it does not speak TLS")]
    NotTls,
    /// Nobody vouches for who answers.
    #[error("nobody that is trusted has signed it")]
    Unsigned,
    /// Who answers can't be told from somebody else.
    #[error("{0}")]
    Untrusted(String),
    /// Both have no version, cipher or the like in common.
    #[error("no TLS with it: {0}")]
    Refused(String),
    /// The system gives up.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Who is taken for a node.
#[derive(Clone, Debug)]
pub struct TlsTrust {
    config: Arc<ClientConfig>,
}

impl TlsTrust {
    /// Trusts whoever has the key of the first certificate of `own`, and those of `listed`, both as
    /// PEM. What is no certificate is passed over: a bundle may have more.
    ///
    /// # Errors
    /// rustls knows none of our versions, or none of `listed` can be used though there are some.
    pub fn new(own: Option<&[u8]>, listed: &[u8]) -> Result<TlsTrust, TlsConnectError> {
        let provider = Arc::new(ring::default_provider());
        let refused = |error: &dyn std::fmt::Display| TlsConnectError::Refused(error.to_string());
        let own = own.and_then(|pem| CertificateDer::pem_slice_iter(pem).flatten().next());
        let listed: Vec<_> = CertificateDer::pem_slice_iter(listed).flatten().collect();
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(listed.iter().cloned());
        let signers = match taken {
            0 => None,
            _ => {
                let (roots, provider) = (Arc::new(roots), Arc::clone(&provider));
                let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                Some(built.map_err(|error| refused(&error))?)
            }
        };
        let verifier = NodeVerifier { own, listed, signers, provider: Arc::clone(&provider) };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| refused(&error))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![crate::identity::PROTOCOL.to_vec()];
        Ok(TlsTrust { config: Arc::new(config) })
    }

    /// How many certificates a text has.
    pub fn count(pem: &[u8]) -> usize {
        CertificateDer::pem_slice_iter(pem).flatten().count()
    }
}

/// Tells a node from somebody else.
#[derive(Debug)]
struct NodeVerifier {
    own: Option<CertificateDer<'static>>,
    listed: Vec<CertificateDer<'static>>,
    signers: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.as_ref() == Some(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        // Most that is signed by itself may also sign others, and then no path leads to it.
        if self.listed.iter().any(|listed| listed == shown) {
            rustls::client::verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let (from, until) = validity_of(shown).ok_or(CertificateError::BadEncoding)?;
            return match () {
                () if now < from => Err(CertificateError::NotValidYet.into()),
                () if now > until => Err(CertificateError::Expired.into()),
                () => Ok(ServerCertVerified::assertion()),
            };
        }
        let signers = self.signers.as_ref().ok_or(CertificateError::UnknownIssuer)?;
        signers.verify_server_cert(shown, chain, name, ocsp, now).map_err(unsigned)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client's connection, of which the handshake is done.
#[derive(Debug)]
pub struct TlsClientStream<S: Read + Write> {
    stream: StreamOwned<ClientConnection, S>,
}

impl<S: Read + Write> TlsClientStream<S> {
    /// Greets over a socket; `name` is that of the host, or its address.
    ///
    /// # Errors
    /// [`TlsConnectError`].
    pub fn connect(
        mut socket: S,
        trust: &TlsTrust,
        name: &str,
    ) -> Result<TlsClientStream<S>, TlsConnectError> {
        let name = ServerName::try_from(name.to_owned());
        let name = name.map_err(|error| TlsConnectError::Untrusted(error.to_string()))?;
        let client = ClientConnection::new(Arc::clone(&trust.config), name);
        let mut client = client.map_err(|error| failed(&error))?;
        while client.is_handshaking() {
            client.complete_io(&mut socket).map_err(|error| match tls_error(&error) {
                Some(of_tls) => failed(of_tls),
                None => TlsConnectError::System(error),
            })?;
        }
        Ok(TlsClientStream { stream: StreamOwned::new(client, socket) })
    }
}

/// Where no listed certificate has signed it, one word for that: also where one has the name of who
/// has and another key, or where it is one that may sign others itself.
fn unsigned(error: Error) -> Error {
    let is_unsigned = match &error {
        Error::InvalidCertificate(CertificateError::BadSignature) => true,
        Error::InvalidCertificate(CertificateError::Other(why)) => {
            // Of webpki, which is not at hand here.
            format!("{why:?}").contains("CaUsedAsEndEntity")
        }
        _ => false,
    };
    if is_unsigned { CertificateError::UnknownIssuer.into() } else { error }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn failed(error: &Error) -> TlsConnectError {
    match error {
        Error::InvalidMessage(_) => TlsConnectError::NotTls,
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => TlsConnectError::Unsigned,
        // Whoever signed it: found here, or with the times by a signer's check.
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => TlsConnectError::Untrusted("it has expired".to_owned()),
        Error::InvalidCertificate(why) => TlsConnectError::Untrusted(why.to_string()),
        other => TlsConnectError::Refused(other.to_string()),
    }
}

impl<S: Read + Write> Read for TlsClientStream<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

impl<S: Read + Write> Write for TlsClientStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
