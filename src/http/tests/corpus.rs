//! Property: what a connection makes of bytes depends on the bytes alone, not on how they arrive
//! nor on when requests are answered. The rows of `tests/corpus/http/requests.txt` say what that
//! is; a parser that reads any of them otherwise can be made to see requests that nobody sent.

use super::{Client, ConnectionEnd, GET, Mode};

const CORPUS: &str = include_str!("../../../tests/corpus/http/requests.txt");
/// Splits that are tried of one row, at the least; shorter rows are split everywhere.
const SPLITS: usize = 400;

struct Row {
    name: String,
    answers: Vec<String>,
    bytes: Vec<u8>,
}

impl Row {
    /// Whether another request may follow.
    fn stays_open(&self) -> bool {
        self.answers.last().is_some_and(|last| last.starts_with("200") && !last.ends_with("close"))
    }
}

fn rows() -> Vec<Row> {
    let lines = CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| row(line).unwrap_or_else(|| panic!("not a row: {line}"))).collect()
}

fn row(line: &str) -> Option<Row> {
    let (answers, rest) = line.split_once(" | ")?;
    let (name, bytes) = rest.split_once(" | ")?;
    let text = |answer: &str| String::from_utf8_lossy(&unescape(answer)).into_owned();
    let answers = match answers {
        "none" => vec![],
        some => some.split(" + ").map(text).collect(),
    };
    Some(Row { name: format!("{name}: {answers:?}"), answers, bytes: unescape(bytes) })
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'~', _) => bytes.extend_from_slice(b"\r\n"),
            (b'\\', [kind, more @ ..]) => {
                rest = more;
                bytes.push(match kind {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'x' => {
                        rest = &more[2..];
                        let digits = std::str::from_utf8(&more[..2]).unwrap();
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                    other => *other,
                });
            }
            (b'{', _) if after.first().is_some_and(u8::is_ascii_digit) => {
                let inner = std::str::from_utf8(after).unwrap();
                let (inner, behind) = inner.split_once('}').unwrap();
                let (count, part) = inner.split_once('*').unwrap();
                bytes.extend(unescape(part).repeat(count.parse().unwrap()));
                rest = behind.as_bytes();
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    bytes
}

/// Feeds the pieces to a new connection; gives its answers and checks what must hold at the end.
fn run(mode: Mode, pieces: &[&[u8]]) -> Vec<String> {
    let mut client = Client::new(mode);
    for piece in pieces {
        client.receive(piece);
    }
    let answers = client.answers();
    let closes =
        answers.last().is_some_and(|last| !last.starts_with("200") || last.ends_with("close"));
    assert_eq!(client.ending() != ConnectionEnd::Open, closes);
    assert_eq!(
        client.connection.refusal().is_some(),
        closes && !answers.last().unwrap().starts_with("200")
    );
    answers
}

fn check(name: &str, want: &[String], pieces: &[&[u8]]) {
    for mode in [Mode::AtOnce, Mode::Reversed] {
        let got = run(mode, pieces);
        let lengths: Vec<usize> = pieces.iter().take(4).map(|piece| piece.len()).collect();
        assert_eq!(got, want, "{name}, {mode:?}, pieces of {lengths:?}");
    }
}

#[test]
fn the_corpus_is_large_and_its_rows_differ() {
    let rows = rows();
    assert!(rows.len() >= 150, "{}", rows.len());
    let mut all: Vec<&[u8]> = rows.iter().map(|row| &row.bytes[..]).collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "a row stands twice");
}

#[test]
fn every_refusal_has_a_row() {
    let rows = rows();
    for refusal in crate::refusal::HttpRefusal::ALL {
        let answer = format!("{} {}", refusal.status(), refusal.code());
        let found = rows.iter().any(|row| row.answers.contains(&answer));
        // Refusals that come from time, and from bytes where TLS is spoken.
        assert!(found || refusal.status() == 408 || refusal.code() == "plain_http", "{answer}");
    }
}

#[test]
fn whole() {
    let rows = rows();
    let wrong = rows.iter().filter(|row| run(Mode::AtOnce, &[&row.bytes]) != row.answers);
    let wrong: Vec<_> = wrong.map(|row| (&row.name, run(Mode::AtOnce, &[&row.bytes]))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn split_in_two_everywhere() {
    for row in rows() {
        let length = row.bytes.len();
        let step = (length / SPLITS).max(1);
        let near_ends = (1..40).chain(length.saturating_sub(40)..length);
        for at in (1..length).step_by(step).chain(near_ends).filter(|at| *at < length) {
            let (before, after) = row.bytes.split_at(at);
            check(&row.name, &row.answers, &[before, after]);
        }
    }
}

#[test]
fn byte_by_byte() {
    for row in rows() {
        let pieces: Vec<&[u8]> = row.bytes.chunks(1).collect();
        check(&row.name, &row.answers, &pieces);
    }
}

#[test]
fn glued_to_neighbours() {
    let rows = rows();
    let simple = "200 GET / <>".to_owned();
    for (index, row) in rows.iter().enumerate() {
        let glued = [GET, &row.bytes].concat();
        let want: Vec<String> =
            [simple.clone()].into_iter().chain(row.answers.iter().cloned()).collect();
        check(&row.name, &want, &[&glued]);
        let middle = glued.len() / 2;
        check(&row.name, &want, &[&glued[..middle], &glued[middle..]]);
        if !row.stays_open() {
            continue;
        }
        let next = &rows[(index + 1) % rows.len()];
        let glued = [&row.bytes[..], &next.bytes].concat();
        let want: Vec<String> = row.answers.iter().chain(&next.answers).cloned().collect();
        let name = format!("{} and {}", row.name, next.name);
        check(&name, &want, &[&glued]);
        let pieces: Vec<&[u8]> = glued.chunks(7).collect();
        check(&name, &want, &pieces);
    }
}

// A refused request must not be answered twice, nor may what follows be looked at.
#[test]
fn nothing_is_answered_after_a_refusal() {
    for row in rows().iter().filter(|row| !row.answers.is_empty() && !row.stays_open()) {
        let glued = [&row.bytes[..], GET, GET].concat();
        check(&row.name, &row.answers, &[&glued]);
        check(&row.name, &row.answers, &[&row.bytes, GET, GET]);
    }
}
