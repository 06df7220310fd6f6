//! Property: no bytes make a connection panic, answer more than it was asked, or depend on how they
//! are split; and what it accepts, another parser reads in the same way.

use proptest::prelude::*;

use super::{Client, GET, Mode};
use nudged_base::limits::HEAD_FIELDS_MAX;

/// Pieces of requests, good and bad, which in a row give much that is nearly a request.
const PIECES: [&str; 51] = [
    "POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n",
    "HEAD /h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /p?q HTTP/1.1\r\nHost: a\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\n",
    "HEAD / HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
    "GET",
    "POST",
    " ",
    "/",
    "/a?b",
    "http://a/",
    "*",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "\t",
    ":",
    "Host: a",
    "Host: b:1",
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 05",
    "Content_Length: 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: x",
    "Connection: close",
    "Connection: keep-alive",
    "Expect: 100-continue",
    "X: y",
    " folded",
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=\"b\"\r\n",
    "3\r\n",
    "abc",
    ";e",
    "\"",
    "\\",
    "\0",
    "\u{7f}",
    "é",
    "#",
    ",",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(&PIECES[..]).prop_map(|text| text.as_bytes().to_vec()),
        // The first four are whole.
        8 => prop::sample::select(&PIECES[..4]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Everything that can be seen from outside: answers, requests handed on, and the state.
fn outcome(mode: Mode, bytes: &[u8], cuts: &[usize]) -> (Vec<String>, usize, String) {
    let mut client = Client::new(mode);
    let mut from = 0;
    for cut in cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]) {
        if cut > from {
            client.receive(&bytes[from..cut]);
            from = cut;
        }
    }
    let answers = client.answers();
    assert!(answers.len() <= client.handled + 1);
    // Raw bytes, a chunked body that is decoded from them, answers, and answers before their turn.
    assert!(client.pool.len() <= 4);
    let state = format!("{:?} {:?}", client.connection.ending(), client.connection.refusal());
    (answers, client.handled, state)
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_at_any_split(
        bytes in bytes(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = outcome(Mode::AtOnce, &bytes, &[]);
        prop_assert_eq!(&outcome(Mode::AtOnce, &bytes, &cuts), &whole);
        prop_assert_eq!(&outcome(Mode::Reversed, &bytes, &cuts), &whole);
        let each: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&outcome(Mode::Reversed, &bytes, &each), &whole);
    }

    // A request more than there are ends of heads would be one that nobody sent.
    #[test]
    fn there_are_no_more_requests_than_heads(bytes in bytes()) {
        let ends = bytes.windows(4).filter(|four| four == b"\r\n\r\n").count();
        let (_, handled, _) = outcome(Mode::AtOnce, &bytes, &[]);
        prop_assert!(handled <= ends);
    }

    #[test]
    fn a_good_request_is_answered_whatever_follows(bytes in bytes()) {
        let glued = [GET, &bytes].concat();
        let (answers, _, _) = outcome(Mode::AtOnce, &glued, &[]);
        prop_assert!(answers[0].starts_with("200 GET / <>"));
    }

    // httparse is laxer than we are: what we accept, it must read in the same way.
    #[test]
    fn what_is_accepted_another_parser_reads_alike(bytes in bytes()) {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(());
        };
        let bytes = &bytes[..end + 4];
        let mut client = Client::new(Mode::Asked);
        client.receive(bytes);
        let accepted = client.handled == 1;
        let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
        let mut other = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = other.parse(bytes) else {
            prop_assert!(!accepted);
            return Ok(());
        };
        if accepted {
            prop_assert_eq!(length, bytes.len());
            let line = String::from_utf8_lossy(&client.pending[0].1).into_owned();
            let method = line.split(' ').next();
            prop_assert_eq!(method, other.method);
        }
    }

    // What another parser refuses by the end of a line is not waited on here either: every line is
    // judged when it has ended.
    #[test]
    fn what_another_parser_refuses_is_refused_as_it_comes(bytes in bytes()) {
        let end = bytes.windows(2).rposition(|two| two == b"\r\n").map_or(0, |at| at + 2);
        let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
        let other = httparse::Request::new(&mut fields).parse(&bytes[..end]);
        if other.is_err() {
            let mut client = Client::new(Mode::AtOnce);
            bytes[..end].iter().for_each(|byte| client.receive(&[*byte]));
            prop_assert!(client.connection.refusal().is_some());
        }
    }
}
