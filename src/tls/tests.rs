//! Property: what a client says comes out whatever the pieces it comes in, and what is answered
//! reaches it; whoever can't be spoken to is told why, once, and nothing of it is kept.

use std::io::{Cursor, Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("../../tests/corpus/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../tests/corpus/tls/server.key");
const OTHER: &[u8] = include_bytes!("../../tests/corpus/tls/other.key");
const RSA: (&[u8], &[u8]) = (
    include_bytes!("../../tests/corpus/tls/rsa.pem"),
    include_bytes!("../../tests/corpus/tls/rsa.key"),
);
const EXPIRED: &[u8] = include_bytes!("../../tests/corpus/tls/expired.pem");

fn identity(oldest: OldestVersion) -> TlsIdentity {
    TlsIdentity::read(CERTIFICATE, KEY, oldest).unwrap()
}

/// A client that trusts the certificate and asks for these protocols.
fn client_config(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// Both ends, with nothing between them but pieces of this many bytes.
struct Pair {
    client: ClientConnection,
    server: TlsConnection,
    piece: usize,
    scratch: Vec<u8>,
    heard: Vec<u8>,
}

impl Pair {
    fn new(client: ClientConnection, identity: &TlsIdentity, piece: usize) -> Pair {
        let server = TlsConnection::new(identity).unwrap();
        Pair { client, server, piece, scratch: Vec::new(), heard: Vec::new() }
    }

    /// Carries to and fro until both are silent.
    fn settle(&mut self) -> Result<(), TlsFailure> {
        loop {
            let mut sent = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut sent).unwrap();
            }
            if sent.is_empty() {
                return Ok(());
            }
            let mut out = Vec::new();
            let Pair { server, scratch, heard, .. } = self;
            let mut result = Ok(());
            for piece in sent.chunks(self.piece) {
                result = server.receive(piece, scratch, &mut out, &mut |bytes| {
                    heard.extend_from_slice(bytes);
                });
                if result.is_err() {
                    break;
                }
            }
            self.deliver(&out);
            result?;
        }
    }

    /// Gives the client records; what it makes of a last alert is its own.
    fn deliver(&mut self, records: &[u8]) {
        let mut records = Cursor::new(records);
        while self.client.read_tls(&mut records).unwrap_or(0) > 0 {
            if self.client.process_new_packets().is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.server.send(bytes, &mut out).unwrap();
        self.deliver(&out);
        let mut heard = Vec::new();
        // Until what has come is read.
        let _ = self.client.reader().read_to_end(&mut heard);
        heard
    }
}

#[test]
fn what_is_said_comes_out_whatever_the_pieces() {
    let identity = identity(OldestVersion::Tls12);
    let rsa = TlsIdentity::read(RSA.0, RSA.1, OldestVersion::Tls12).unwrap();
    assert!(!identity.is_same(&rsa));
    for (version, kind) in [(&TLS13, "tls13"), (&TLS12, "tls12")] {
        for piece in [1, 7, 100, usize::MAX] {
            let config = client_config(&[version], &["h2", "http/1.1"]);
            let mut pair = Pair::new(client(&config), &identity, piece);
            pair.client.writer().write_all(b"first").unwrap();
            pair.settle().unwrap();
            assert!(pair.server.is_established());
            assert_eq!((pair.server.kind(), &pair.heard[..]), (kind, &b"first"[..]));
            assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
            // Several records at once, one of the greatest length among them.
            let long = vec![7; 40_000];
            pair.client.writer().write_all(&long).unwrap();
            pair.client.writer().write_all(b"last").unwrap();
            pair.heard.clear();
            pair.settle().unwrap();
            assert_eq!(pair.heard, [&long[..], b"last"].concat());
            assert_eq!(pair.answer(b"short"), b"short");
            assert_eq!(pair.answer(&long[..16_384]), &long[..16_384]);
            pair.client.send_close_notify();
            pair.settle().unwrap();
            assert!(pair.server.has_peer_ended());
            assert_eq!(pair.answer(b"still"), b"still");
            let mut out = Vec::new();
            pair.server.end(&mut out).unwrap();
            assert!(!out.is_empty());
        }
    }
}

#[test]
fn a_client_that_comes_again_goes_on_with_its_session() {
    let identity = identity(OldestVersion::Tls12);
    for (version, kind) in [(&TLS13, "tls13_resumed"), (&TLS12, "tls12_resumed")] {
        let config = client_config(&[version], &[]);
        let mut first = Pair::new(client(&config), &identity, usize::MAX);
        first.settle().unwrap();
        first.answer(b"with its tickets");
        let mut second = Pair::new(client(&config), &identity, usize::MAX);
        second.settle().unwrap();
        assert_eq!(second.server.kind(), kind);
        // Other tickets are no reason to refuse anybody.
        let again = TlsIdentity::read(CERTIFICATE, KEY, OldestVersion::Tls12).unwrap();
        assert!(again.is_same(&identity));
        let mut elsewhere = Pair::new(client(&config), &again, usize::MAX);
        elsewhere.settle().unwrap();
        assert_eq!(elsewhere.server.kind(), kind.trim_end_matches("_resumed"));
    }
}

#[test]
fn who_can_not_be_spoken_to_is_told_why() {
    let any = identity(OldestVersion::Tls12);
    let strict = identity(OldestVersion::Tls13);
    let both: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    let table: [(&TlsIdentity, &[&'static SupportedProtocolVersion], &[&str], TlsFailure); 2] =
        [(&any, both, &["h2"], TlsFailure::Alpn), (&strict, &[&TLS12], &[], TlsFailure::Version)];
    for (identity, versions, protocols, wanted) in table {
        let mut hello = Vec::new();
        client(&client_config(versions, protocols)).write_tls(&mut hello).unwrap();
        let mut server = TlsConnection::new(identity).unwrap();
        let mut out = Vec::new();
        let result = server.receive(&hello, &mut Vec::new(), &mut out, &mut |_| panic!("said"));
        assert_eq!(result, Err(wanted));
        // An alert comes last: in clear a fatal one, else as its record.
        let is_clear = out.len() == 7 && (out[0], out[5]) == (21, 2);
        assert!(is_clear || out.len() > 100, "{out:?}");
    }
    // A client that does not trust the certificate says so.
    let rsa = TlsIdentity::read(RSA.0, RSA.1, OldestVersion::Tls12).unwrap();
    let mut pair = Pair::new(client(&client_config(both, &[])), &rsa, usize::MAX);
    assert_eq!(pair.settle(), Err(TlsFailure::Alert));
}

#[test]
fn what_is_no_tls_is_refused_and_what_never_ends_is_not_kept() {
    let identity = identity(OldestVersion::Tls12);
    let receive = |server: &mut TlsConnection, bytes: &[u8]| {
        server.receive(bytes, &mut Vec::new(), &mut Vec::new(), &mut |_| panic!("said"))
    };
    let garbage: [&[u8]; 4] = [
        &[0x16, 3, 1, 0, 5, 9, 9, 9, 9, 9],
        &[0x16, 9, 9, 0, 5, 1, 0, 0, 1, 0],
        &[0x16, 3, 1, 0xff, 0xff, 1, 0, 0, 0, 0],
        &[0x15, 3, 3, 0, 0],
    ];
    for bytes in garbage {
        let mut server = TlsConnection::new(&identity).unwrap();
        assert!(receive(&mut server, bytes).is_err(), "{bytes:?}");
    }
    // A hello of 60,000 bytes, in records that are whole.
    let mut server = TlsConnection::new(&identity).unwrap();
    let mut result = Ok(());
    for number in 0..10 {
        let mut record = vec![0x16, 3, 1, 0x20, 0];
        record.extend(vec![0; 0x2000]);
        if number == 0 {
            record[5..9].copy_from_slice(&[1, 0, 0xea, 0x60]);
        }
        result = result.and_then(|()| receive(&mut server, &record));
    }
    assert_eq!(result, Err(TlsFailure::TooLong));
    let mut server = TlsConnection::new(&identity).unwrap();
    let held: Vec<_> = (0..20).map(|_| server.hold(&[0x16; 2_048])).collect();
    assert_eq!(held.last(), Some(&Err(TlsFailure::TooLong)));
}

/// rustls remembers how far it has come in a record whose rest is still to come: whatever is
/// written in between must not make it look elsewhere.
#[test]
fn answers_may_be_written_while_records_come_in_pieces() {
    let identity = identity(OldestVersion::Tls12);
    for version in [&TLS13, &TLS12] {
        let config = client_config(&[version], &[]);
        let mut pair = Pair::new(client(&config), &identity, usize::MAX);
        pair.settle().unwrap();
        for round in 0..20 {
            if round % 5 == 4 && version == &TLS13 {
                pair.client.refresh_traffic_keys().unwrap();
            }
            pair.client.writer().write_all(&[7; 300]).unwrap();
            let mut sent = Vec::new();
            while pair.client.wants_write() {
                pair.client.write_tls(&mut sent).unwrap();
            }
            pair.heard.clear();
            for piece in sent.chunks(11) {
                let mut out = Vec::new();
                let Pair { server, scratch, heard, .. } = &mut pair;
                server
                    .receive(piece, scratch, &mut out, &mut |bytes| heard.extend_from_slice(bytes))
                    .unwrap();
                pair.deliver(&out);
                assert_eq!(pair.answer(b"between"), b"between");
            }
            assert_eq!(pair.heard, [7; 300]);
        }
    }
}

/// One bit of a client's records is other than it was, wherever: an end, never a panic, and nothing
/// that was not said.
#[test]
fn records_that_were_changed_on_the_way_end_the_connection() {
    let identity = identity(OldestVersion::Tls12);
    for version in [&TLS13, &TLS12] {
        let config = client_config(&[version], &[]);
        for at in (0..400).step_by(3) {
            let mut hello = Vec::new();
            client(&config).write_tls(&mut hello).unwrap();
            let Some(byte) = hello.get_mut(at) else { break };
            *byte ^= 1 << (at % 8);
            let mut server = TlsConnection::new(&identity).unwrap();
            let mut out = Vec::new();
            for piece in hello.chunks(at + 1) {
                if server.receive(piece, &mut Vec::new(), &mut out, &mut |_| panic!()).is_err() {
                    break;
                }
            }
            let _ = server.end(&mut out);
        }
        let mut pair = Pair::new(client(&config), &identity, usize::MAX);
        pair.settle().unwrap();
        pair.client.writer().write_all(&[7; 300]).unwrap();
        let mut sent = Vec::new();
        pair.client.write_tls(&mut sent).unwrap();
        sent[100] ^= 1;
        let mut out = Vec::new();
        let taken = pair.server.receive(&sent, &mut Vec::new(), &mut out, &mut |_| panic!());
        assert_eq!(taken, Err(TlsFailure::Malformed));
        assert!(!out.is_empty(), "an alert");
        assert!(pair.server.send(b"more", &mut out).is_err());
    }
}

#[test]
fn certificates_and_keys_are_read_whole_or_refused() {
    use IdentityRefusal::{MalformedCertificate, NoCertificate, NoKey, OtherKey, UnusableKey};
    let read = |certificate: &[u8], key: &[u8]| {
        TlsIdentity::read(certificate, key, OldestVersion::Tls12).map(drop)
    };
    let torn = &CERTIFICATE[..CERTIFICATE.len() / 2];
    let wrong = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let unusable = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(read(b"", KEY), Err(NoCertificate));
    assert_eq!(read(KEY, KEY), Err(NoCertificate));
    assert!(matches!(read(torn, KEY), Err(MalformedCertificate(_) | NoCertificate)));
    assert!(matches!(read(wrong, KEY), Err(MalformedCertificate(_))));
    assert_eq!(read(CERTIFICATE, CERTIFICATE), Err(NoKey));
    assert!(matches!(read(CERTIFICATE, unusable), Err(UnusableKey(_))));
    assert_eq!(read(CERTIFICATE, OTHER), Err(OtherKey));
    // Both in one file.
    let both = [CERTIFICATE, KEY].concat();
    assert_eq!(read(&both, &both), Ok(()));
    let old = TlsIdentity::read(EXPIRED, KEY, OldestVersion::Tls12).unwrap();
    assert_eq!((old.not_before_s, old.not_after_s), (1_577_836_800, 1_609_459_200));
}

#[test]
fn a_replaced_identity_is_the_one_that_is_given() {
    let shared = SharedIdentity::default();
    assert!(shared.current().is_none());
    let before = shared.version();
    shared.replace(Some(Arc::new(identity(OldestVersion::Tls12))));
    assert_ne!(shared.version(), before);
    assert!(shared.current().is_some());
}

/// A server's end of a socket, for one client; gives what it heard.
fn serve_one(identity: TlsIdentity) -> (std::net::SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = TlsStream::accept(socket, &identity).unwrap();
        let mut heard = [0; 5];
        let mut count = 0;
        while count < heard.len() {
            match stream.read(&mut heard[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = stream.write_all(&heard[..count]);
        let _ = stream.end();
        heard[..count].to_vec()
    });
    (address, thread)
}

#[test]
fn a_node_is_known_by_its_own_certificate_or_by_one_that_is_listed_for_its_name() {
    let own = || TlsIdentity::read(CERTIFICATE, KEY, OldestVersion::Tls12).unwrap();
    let expired = || TlsIdentity::read(EXPIRED, KEY, OldestVersion::Tls12).unwrap();
    let trust = |own, listed| TlsTrust::new(own, listed).unwrap();
    let said = |identity: TlsIdentity, trust: &TlsTrust, name: &str| {
        let (address, thread) = serve_one(identity);
        let socket = std::net::TcpStream::connect(address).unwrap();
        let spoken = TlsClientStream::connect(socket, trust, name);
        let spoken = spoken.map_err(|error| error.to_string()).map(|mut stream| {
            stream.write_all(b"hello").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"hello");
        });
        thread.join().unwrap();
        spoken
    };
    let known = |identity, own, listed, name| said(identity, &trust(own, listed), name).is_ok();
    assert!(known(own(), Some(CERTIFICATE), b"", "another.example"));
    assert!(known(expired(), Some(EXPIRED), b"", "10.0.0.1"));
    assert!(known(own(), None, CERTIFICATE, "localhost"));
    assert!(known(own(), None, CERTIFICATE, "127.0.0.1"));
    let refused = |identity, listed, name| said(identity, &trust(None, listed), name).unwrap_err();
    assert!(refused(own(), b"", "localhost").contains("nobody that is trusted"));
    assert!(!known(own(), None, RSA.0, "localhost"));
    assert!(refused(own(), CERTIFICATE, "another.example").contains("another.example"));
    let said = refused(expired(), EXPIRED, "localhost");
    assert!(said.contains("expired"), "{said}");
}
