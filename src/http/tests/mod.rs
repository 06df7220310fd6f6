//! Tests of the whole of HTTP: a client around one [`Connection`], which each module drives.
//!
//! The handler answers with what it was given, so that what was understood can be read off the
//! answers' bytes.

mod bodies;
mod corpus;
mod life;
mod order;
mod random;

use super::connection::{Answer, Connection, ConnectionEnd, ConnectionTurn, SendFailed, Timeouts};
use super::early::{EarlyAnswers, HeadArrival};
use super::head::{Method, Request};
use super::known::KnownFields;
use super::pool::BufferPool;
use super::refusal::HttpRefusal;
use super::reply::{self, ImfDate, ResponseFlags};
use nudged_base::time::MonoNs;

const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// When requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// While they are handed out.
    AtOnce,
    /// After each piece of input, the last one first.
    Reversed,
    /// Not before [`Client::answer_all`].
    Asked,
}

/// A connection with all that it needs around it, and what it has sent.
struct Client {
    connection: Connection,
    pool: BufferPool,
    known: KnownFields,
    now: MonoNs,
    mode: Mode,
    pending: Vec<(u32, Vec<u8>)>,
    handled: usize,
    sent: Vec<u8>,
}

impl Client {
    fn should_close(&self) -> bool {
        self.connection.ending() == ConnectionEnd::Close
    }

    fn new(mode: Mode) -> Client {
        let now = MonoNs(1_000_000_000);
        let (connection, pool) = (Connection::new(now), BufferPool::new(8));
        let (known, pending, sent) = (KnownFields::NONE, vec![], vec![]);
        Client { connection, pool, known, now, mode, pending, handled: 0, sent }
    }

    /// Calls the connection with a turn and the handler.
    fn with(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut ConnectionTurn<'_>, &mut dyn FnMut(Handed<'_>) -> Answer),
    ) {
        let Client { connection, pool, known, now, mode, pending, handled, .. } = self;
        let mut turn = turn(*now, (pool, known));
        let mut handler = |(request, slot, out): Handed<'_>| {
            *handled += 1;
            let body = echo(request);
            if *mode == Mode::AtOnce {
                write_echo(out, &body, &request.frame(&ImfDate::EPOCH));
                return Answer::Now;
            }
            pending.push((slot, body));
            Answer::Later
        };
        act(connection, &mut turn, &mut handler);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.with(|connection, turn, handler| {
            connection.receive(bytes, turn, &mut |request: &Request<'_>, slot, out: &mut _| {
                handler((request, slot, out))
            });
        });
        self.go_on();
    }

    /// Answers what the mode wants answered, sends, and lets the connection go on, until nothing
    /// moves.
    fn go_on(&mut self) {
        loop {
            if self.mode == Mode::Reversed {
                self.answer_all();
            }
            self.send();
            if !self.connection.can_resume() {
                return;
            }
            self.resume();
        }
    }

    fn resume(&mut self) {
        self.with(|connection, turn, handler| {
            connection.resume(turn, &mut |request: &Request<'_>, slot, out: &mut _| {
                handler((request, slot, out))
            });
        });
    }

    fn answer_all(&mut self) {
        while let Some((slot, body)) = self.pending.pop() {
            assert!(self.answer(slot, &body));
        }
    }

    fn answer(&mut self, slot: u32, body: &[u8]) -> bool {
        let mut turn = turn(self.now, (&mut self.pool, &mut self.known));
        self.connection.answer(slot, &mut turn, |out, frame| write_echo(out, body, frame))
    }

    fn send(&mut self) {
        while let Some(buffer) = self.connection.take_output(self.now) {
            self.sent.extend_from_slice(&buffer);
            let all = buffer.len();
            self.sent_back(buffer, Ok(all));
        }
    }

    fn sent_back(&mut self, buffer: Vec<u8>, result: Result<usize, SendFailed>) {
        let mut turn = turn(self.now, (&mut self.pool, &mut self.known));
        self.connection.sent(buffer, result, &mut turn);
    }

    fn peer_closed(&mut self) {
        let mut turn = turn(self.now, (&mut self.pool, &mut self.known));
        self.connection.peer_closed(&mut turn);
        self.go_on();
    }

    fn ending(&self) -> ConnectionEnd {
        self.connection.ending()
    }

    fn answers(&self) -> Vec<String> {
        answers(&self.sent)
    }
}

fn turn<'t>(
    now: MonoNs,
    (pool, known): (&'t mut BufferPool, &'t mut KnownFields),
) -> ConnectionTurn<'t> {
    let (date, timeouts) = (&ImfDate::EPOCH, &Timeouts::DEFAULT);
    ConnectionTurn { now, date, timeouts, pool, early: &Early, known: Some(known) }
}

/// Names what it was told of a refused request, and knows one path that is none.
struct Early;

impl EarlyAnswers for Early {
    fn write_refused(
        &self,
        refusal: HttpRefusal,
        begun: &HeadArrival<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) {
        refusal.write(out, frame, |out| {
            reply::field(out, "Begun-Path", begun.path.unwrap_or("none").as_bytes());
            reply::field(out, "Begun-Origin", begun.origin.unwrap_or(b"none"));
        });
    }

    fn answer_head(
        &self,
        request: &Request<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        assert!(request.body.is_empty() && frame.close);
        if request.path == "/none" {
            reply::start(out, 404, frame);
            reply::end_with_body(out, "text/plain", b"no such path", frame);
        }
        request.path == "/none"
    }
}

type Handed<'h> = (&'h Request<'h>, u32, &'h mut Vec<u8>);

fn echo(request: &Request<'_>) -> Vec<u8> {
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
        Method::Patch => "PATCH",
    };
    let mark = if request.query.is_empty() { "" } else { "?" };
    let mut body = format!("{method} {}{mark}{} <", request.path, request.query).into_bytes();
    body.extend_from_slice(request.body);
    body.push(b'>');
    body
}

fn write_echo(out: &mut Vec<u8>, body: &[u8], frame: &ResponseFlags<'_>) {
    reply::start(out, 200, frame);
    reply::end_with_body(out, "text/plain", body, frame);
}

/// Reads answers as a client does: each as its status and its body, where a refusal's body is its
/// code and an answer that has a length but no body gives "-"; " close" follows where a 200 closes.
/// Interim answers are left out. Nothing may follow an answer that closes.
fn answers(mut bytes: &[u8]) -> Vec<String> {
    let mut answers = Vec::new();
    let mut closed = false;
    while !bytes.is_empty() {
        assert!(!closed, "bytes after the last answer");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end..];
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status = status[..3].to_owned();
        if status == "100" {
            continue;
        }
        assert!(head.contains(&format!("\r\nDate: {DATE}\r\n")), "{head}");
        closed = head.contains("\r\nConnection: close\r\n");
        let length = head.split_once("\r\nContent-Length: ").expect("a length").1;
        let length: usize = length.split_once("\r\n").unwrap().0.parse().unwrap();
        if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 ") {
            answers.push(format!("{status} -"));
        } else {
            let body = String::from_utf8_lossy(&bytes[..length]).into_owned();
            bytes = &bytes[length..];
            let code = body.strip_prefix("{\"error\":{\"code\":\"");
            let code = code.map(|rest| rest.split_once('"').unwrap().0.to_owned());
            answers.push(format!("{status} {}", code.unwrap_or(body)));
        }
        if closed && status == "200" {
            answers.last_mut().unwrap().push_str(" close");
        }
    }
    answers
}
