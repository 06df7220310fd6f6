//! One connection of a client: its records in, what they hold out; answers in, records out.
//!
//! ```text
//!   new ──► handshake ──► established ──► the peer has ended ──► ended
//!               │              │
//!               └── failure ◄──┘   an alert may be left to send
//! ```
//!
//! An established connection at rest holds no buffer. Of a record that comes in pieces the begin is
//! kept, at most [`TLS_INPUT_BYTES_MAX`]. For each record that is read rustls allocates its
//! plaintext, and for each that is written its ciphertext.

use std::fmt;

use nudged_base::limits::{RECEIVE_BUFFER_BYTES, TLS_INPUT_BYTES_MAX};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, HandshakeKind, PeerIncompatible, ProtocolVersion};

use crate::identity::TlsIdentity;

/// What a record adds to its plaintext, in bytes, with room to spare.
const RECORD_EXTRA_BYTES: usize = 64;
/// Plaintext of the largest record, in bytes.
const RECORD_BYTES_MAX: usize = 16 * 1_024;

/// Why a connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// What came is no TLS.
    Malformed,
    /// A record, or the begin of a handshake, is longer than is kept.
    TooLong,
    /// The client takes no version that is spoken here.
    Version,
    /// There is nothing else that both know: cipher suites, groups, signatures.
    Incompatible,
    /// The client wants another protocol than HTTP/1.1.
    Alpn,
    /// The client has said that it does not go on: it does not trust the certificate, for one.
    Alert,
    /// Anything else.
    Other,
}

impl TlsFailure {
    /// Its name in metrics.
    pub fn code(self) -> &'static str {
        match self {
            TlsFailure::Malformed => "malformed",
            TlsFailure::TooLong => "too_long",
            TlsFailure::Version => "version",
            TlsFailure::Incompatible => "incompatible",
            TlsFailure::Alpn => "alpn",
            TlsFailure::Alert => "alert",
            TlsFailure::Other => "other",
        }
    }
}

impl From<&Error> for TlsFailure {
    fn from(error: &Error) -> TlsFailure {
        match error {
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => TlsFailure::Malformed,
            Error::InappropriateHandshakeMessage { .. } => TlsFailure::Malformed,
            Error::DecryptError | Error::PeerMisbehaved(_) => TlsFailure::Malformed,
            Error::PeerSentOversizedRecord => TlsFailure::TooLong,
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                // Which TLS 1.2 brought.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => TlsFailure::Version,
            Error::PeerIncompatible(_) => TlsFailure::Incompatible,
            Error::NoApplicationProtocol => TlsFailure::Alpn,
            Error::AlertReceived(_) => TlsFailure::Alert,
            _ => TlsFailure::Other,
        }
    }
}

/// One connection.
pub struct TlsConnection {
    rustls: UnbufferedServerConnection,
    /// Ciphertext that can't be worked on yet.
    kept: Vec<u8>,
    is_established: bool,
    has_peer_ended: bool,
    is_failed: bool,
}

impl fmt::Debug for TlsConnection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TlsConnection").field("is_established", &self.is_established).finish()
    }
}

impl TlsConnection {
    /// A connection by this certificate. Allocates its state, some kilobytes.
    ///
    /// # Errors
    /// rustls can't have the memory or the randomness that it needs.
    pub fn new(identity: &TlsIdentity) -> Result<TlsConnection, TlsFailure> {
        let rustls = UnbufferedServerConnection::new(identity.config());
        let rustls = rustls.map_err(|error| TlsFailure::from(&error))?;
        Ok(TlsConnection {
            rustls,
            kept: Vec::new(),
            is_established: false,
            has_peer_ended: false,
            is_failed: false,
        })
    }

    /// Whether the handshake is done.
    pub fn is_established(&self) -> bool {
        self.is_established
    }

    /// Whether the peer has said that it will send no more.
    pub fn has_peer_ended(&self) -> bool {
        self.has_peer_ended
    }

    /// How an established connection came about, for metrics: version, and whether an earlier
    /// session went on.
    pub fn kind(&self) -> &'static str {
        let is_resumed = self.rustls.handshake_kind() == Some(HandshakeKind::Resumed);
        match (self.rustls.protocol_version(), is_resumed) {
            (Some(ProtocolVersion::TLSv1_3), false) => "tls13",
            (Some(ProtocolVersion::TLSv1_3), true) => "tls13_resumed",
            (Some(ProtocolVersion::TLSv1_2), false) => "tls12",
            (Some(ProtocolVersion::TLSv1_2), true) => "tls12_resumed",
            _ => "other",
        }
    }

    /// Keeps ciphertext for the next [`TlsConnection::receive`].
    ///
    /// # Errors
    /// `TooLong`.
    pub fn hold(&mut self, bytes: &[u8]) -> Result<(), TlsFailure> {
        if self.kept.len() + bytes.len() > TLS_INPUT_BYTES_MAX + RECEIVE_BUFFER_BYTES {
            return Err(TlsFailure::TooLong);
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes ciphertext. What its records hold goes to `plain`, what is to be sent on behalf of the
    /// protocol is appended to `out`. `scratch` is anybody's between two calls.
    ///
    /// # Errors
    /// The connection can't go on; `out` has the alert that says why to the peer.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsFailure> {
        if self.is_failed {
            return Err(TlsFailure::Other);
        }
        scratch.clear();
        scratch.extend_from_slice(&self.kept);
        scratch.extend_from_slice(bytes);
        let used = self.work_off(scratch, out, plain).inspect_err(|_| self.fail(out))?;
        let rest = &scratch[used..];
        if rest.len() > TLS_INPUT_BYTES_MAX {
            self.is_failed = true;
            return Err(TlsFailure::TooLong);
        }
        if rest.is_empty() {
            self.kept = Vec::new();
        } else {
            self.kept.clear();
            self.kept.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Goes over the records that are whole; gives how many bytes are done with.
    fn work_off(
        &mut self,
        records: &mut [u8],
        out: &mut Vec<u8>,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, TlsFailure> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.rustls.process_tls_records(&mut records[used..]);
            let is_done = match state.map_err(|error| TlsFailure::from(&error))? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| TlsFailure::from(&error))?;
                        discard += record.discard;
                        if !record.payload.is_empty() {
                            plain(record.payload);
                        }
                    }
                    false
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(out, &mut data)?;
                    false
                }
                // What is in `out` is sent before anything else.
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    false
                }
                ConnectionState::BlockedHandshake => true,
                ConnectionState::WriteTraffic(_) => {
                    self.is_established = true;
                    true
                }
                ConnectionState::PeerClosed => {
                    self.has_peer_ended = true;
                    false
                }
                ConnectionState::Closed => true,
                // Early data is not accepted, and rustls may learn of other states.
                _ => return Err(TlsFailure::Other),
            };
            used += discard;
            if is_done {
                return Ok(used);
            }
        }
    }

    /// Appends what rustls still has to say after a failure: an alert, behind what was not sent
    /// yet.
    fn fail(&mut self, out: &mut Vec<u8>) {
        self.is_failed = true;
        // Asked for nothing else, it looks at no records: of these some may be half done with.
        while self.rustls.wants_write() {
            let UnbufferedStatus { state, .. } = self.rustls.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            // Without it the peer sees the connection end, which says as much.
            if encode(out, &mut data).is_err() {
                return;
            }
        }
    }

    /// Appends the records of what is said to the peer. For an established connection.
    ///
    /// # Errors
    /// The connection can't go on.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsFailure> {
        let records = plain.len().div_ceil(RECORD_BYTES_MAX);
        let needed = plain.len() + (records + 1) * RECORD_EXTRA_BYTES;
        self.write(out, |traffic, out| {
            append(out, needed, |space| match traffic.encrypt(plain, space) {
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                other => other.map_err(|_| None),
            })
        })
    }

    /// Appends what says that nothing more will be said.
    ///
    /// # Errors
    /// The connection can't go on.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), TlsFailure> {
        self.write(out, |traffic, out| {
            append(out, RECORD_EXTRA_BYTES, |space| match traffic.queue_close_notify(space) {
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                other => other.map_err(|_| None),
            })
        })
    }

    /// Writes once what the protocol itself has to say is said.
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        mut write: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut Vec<u8>,
        ) -> Result<(), TlsFailure>,
    ) -> Result<(), TlsFailure> {
        if self.is_failed {
            return Err(TlsFailure::Other);
        }
        loop {
            // What waits for its rest is still looked at: rustls knows how far it has come in it.
            let UnbufferedStatus { discard, state } =
                self.rustls.process_tls_records(&mut self.kept);
            let written = match state.map_err(|error| TlsFailure::from(&error))? {
                ConnectionState::WriteTraffic(mut traffic) => Some(write(&mut traffic, out)),
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(out, &mut data)?;
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::PeerClosed => {
                    self.has_peer_ended = true;
                    None
                }
                _ => return Err(TlsFailure::Other),
            };
            self.kept.drain(..discard);
            if let Some(written) = written {
                return written;
            }
        }
    }
}

/// Appends what the protocol has to say.
fn encode(
    out: &mut Vec<u8>,
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
) -> Result<(), TlsFailure> {
    append(out, 0, |space| match data.encode(space) {
        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
        other => other.map_err(|_| None),
    })
}

/// Has `write` fill `needed` bytes at the end of `out`, or as many as it says that it needs.
fn append(
    out: &mut Vec<u8>,
    needed: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), TlsFailure> {
    let (before, mut needed) = (out.len(), needed);
    for _ in 0..2 {
        out.resize(before + needed, 0);
        match write(&mut out[before..]) {
            Ok(written) => {
                out.truncate(before + written);
                return Ok(());
            }
            Err(Some(size)) => needed = size.required_size,
            Err(None) => break,
        }
    }
    out.truncate(before);
    Err(TlsFailure::Other)
}
