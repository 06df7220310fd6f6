//! Property: a body has the limit of its listener, to the byte, however it is framed and split.

use super::{Client, Mode};
use crate::connection::Connection;
use nudged_base::limits::{ADMIN_BODY_BYTES_MAX, BODY_BYTES_MAX};

/// A request with a body of so many bytes, in one piece or in two chunks.
fn request(bytes: usize, is_chunked: bool) -> Vec<u8> {
    let framing = match is_chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {bytes}"),
    };
    let mut request = format!("PUT /x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").into_bytes();
    let body = vec![b'x'; bytes];
    if !is_chunked {
        request.extend_from_slice(&body);
        return request;
    }
    for part in [&body[..bytes / 2], &body[bytes / 2..]] {
        request.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        request.extend_from_slice(part);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

#[test]
fn the_largest_body_is_taken_and_one_byte_more_is_not() {
    for (is_large, max) in [(false, BODY_BYTES_MAX), (true, ADMIN_BODY_BYTES_MAX)] {
        for (is_chunked, piece) in [(false, 16_384), (false, 3 << 20), (true, 16_384), (true, 7)] {
            for (bytes, status) in [(max, "200"), (max + 1, "413")] {
                let mut client = Client::new(Mode::AtOnce);
                if is_large {
                    client.connection = Connection::with_large_bodies(client.now);
                }
                for piece in request(bytes, is_chunked).chunks(piece) {
                    client.receive(piece);
                }
                let answers = client.answers();
                let what = (is_large, is_chunked, piece, bytes);
                assert!(answers.len() == 1 && answers[0].starts_with(status), "{what:?}");
                assert_eq!(client.handled, usize::from(status == "200"), "{what:?}");
            }
        }
    }
}

// Whoever sends one and waits is told, not left to a timeout.
#[test]
fn a_bad_trailer_is_refused_at_the_end_of_its_line() {
    const HEAD: &str =
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    for line in ["Content-Length: 3", "A : b", "content_length: 1", " folded", "A", "A: \u{1}"] {
        for before in ["", "X: y\r\n", "X: y\r\nZ:\r\n"] {
            let mut client = Client::new(Mode::AtOnce);
            client.receive(format!("{HEAD}{before}{line}\r").as_bytes());
            assert_eq!(client.answers(), [""; 0], "{before:?}, {line}");
            client.receive(b"\n");
            assert_eq!(client.answers(), ["400 malformed_trailer"], "{before:?}, {line}");
        }
    }
}
