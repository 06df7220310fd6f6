//! Property: an error that helps where there is no node; the token goes to who asks for it alone.

use std::net::TcpListener;

use nudged_config::AdminAddress;
use serde_json::json;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";

fn client(config: &Config) -> Result<AdminClient, AskError> {
    AdminClient::new(config, None, None)
}

/// Answers the next request; gives what was asked.
fn answer_once(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = Vec::new();
    let mut byte = [0];
    while !asked.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        asked.push(byte[0]);
    }
    stream.write_all(answer.as_bytes()).unwrap();
    String::from_utf8(asked).unwrap()
}

/// A node that gives one answer and hands out what it was asked.
fn node(answer: String) -> (AdminAddress, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = AdminAddress::Tcp(listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || answer_once(&listener, &answer));
    (address, thread)
}

#[test]
fn errors_help() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = |admin| {
        let asked = client(&Config { admin, ..Config::default() })
            .and_then(|client| client.ask::<Vec<u8>>("GET", "/v1/x"));
        asked.unwrap_err().to_string()
    };
    let nobody = said(AdminAddress::Tcp(free));
    assert!(nobody.contains("is it running?") && nobody.contains("--admin"), "{nobody}");
    let nobody = said(AdminAddress::Unix("/nowhere/admin".into()));
    assert!(nobody.contains("no node answers at unix:/nowhere/admin"), "{nobody}");
    let zero = said(AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()));
    assert!(zero.contains("port 0"), "{zero}");
    let answers = [
        ("SSH-2.0-x\r\n\r\n".to_owned(), "does not speak HTTP"),
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{16}".to_owned(), "speaks TLS: give --admin https://"),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":{\"code\":\"no_token\"}}".to_owned(),
            "with its token alone: give the file",
        ),
        (format!("{OK}{{}}"), "its answer is not one of nudged's"),
        ("HTTP/1.1 404 Not Found\r\n\r\n<html>".to_owned(), "its error is not one of nudged's"),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n{\"error\":{\"code\":\"bad_value\",\"field\":\"at\"}}"
                .to_owned(),
            "refused (HTTP 400): bad_value (at)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":{\"code\":\"role_required\"},\
             \"errors\":[\"needed is admin\",\"x\"]}"
                .to_owned(),
            "refused (HTTP 403): role_required: needed is admin; x",
        ),
        (
            "HTTP/1.1 404 Not Found\r\n\r\n{\"error\":{\"code\":\"not_found\"}}".to_owned(),
            "looks like a data listener",
        ),
    ];
    for (answer, want) in answers {
        let (admin, thread) = node(answer);
        let said = said(admin);
        thread.join().unwrap();
        assert!(said.contains(want), "{said}");
    }
}

#[test]
fn who_is_silent_is_said_to_be() {
    for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut] {
        let said = AskError::unreachable("h:1".to_owned(), kind.into()).to_string();
        assert!(said.contains("no node answers at h:1: no answer within 5 s"), "{said}");
    }
}

#[test]
fn the_token_goes_to_a_node_that_asks_for_one_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    let config = |admin: &str| Config {
        admin: AdminAddress::Tcp(admin.parse().unwrap()),
        admin_token_file: Some(path.clone()),
        ..Config::default()
    };
    let token = |admin: &str| client(&config(admin)).unwrap().token();
    assert_eq!(token("127.0.0.1:1").unwrap(), None);
    assert_eq!(token("10.0.0.1:1").unwrap().as_deref(), Some("0123456789abcdef"));
    let asked = request(("POST", "/v1/x"), "h", Some("0123456789abcdef"));
    assert!(asked.starts_with("POST /v1/x HTTP/1.1\r\nHost: h\r\n"), "{asked}");
    assert!(asked.contains("\r\nAuthorization: Bearer 0123456789abcdef\r\n"));
    std::fs::write(&path, "two words\r\nX: y").unwrap();
    let refused = token("10.0.0.1:1").unwrap_err().to_string();
    assert!(refused.contains("not a token") && !refused.contains("words"), "{refused}");
}

#[test]
fn an_endless_answer_is_read_up_to_its_bound() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            bytes.fill(b'x');
            Ok(bytes.len())
        }
    }
    impl Write for Endless {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let answer = exchange(&mut Endless, "GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(u64::try_from(answer.len()).unwrap(), ADMIN_ANSWER_BYTES_MAX);
}

#[test]
fn a_node_on_loopback_that_asks_for_the_token_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let refused = "HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\":{\"code\":\"wrong_token\"}}";
    let fine = format!("{OK}{{}}");
    let thread = std::thread::spawn(move || {
        [refused, &fine]
            .map(|answer| answer_once(&listener, answer).contains("Bearer 0123456789abcdef"))
    });
    let config = Config {
        admin: AdminAddress::Tcp(address),
        admin_token_file: Some(path),
        ..Config::default()
    };
    assert_eq!(client(&config).unwrap().ask::<Value>("GET", "/v1/x").unwrap(), json!({}));
    assert_eq!(thread.join().unwrap(), [false, true]);
}
