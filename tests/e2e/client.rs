//! A small blocking HTTP client: one connection, kept alive, that sends any bytes and reads answers
//! one after the other. It has a deadline for everything, so that a server that hangs fails a test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer is awaited for this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The value of a field; it must not be there twice.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The token of the popup that this answer shows, if it shows one.
    pub fn token(&self) -> Option<String> {
        match self.status {
            200 => Some(self.json()["decision"].as_str().unwrap().to_owned()),
            204 => None,
            _ => panic!("a decision is 200 or 204: {self:?}"),
        }
    }

    /// The id of the popup that this answer shows, if it shows one.
    pub fn popup(&self) -> Option<String> {
        self.token()?;
        Some(self.json()["popup"]["id"].as_str().unwrap().to_owned())
    }

    /// The reason for which this answer shows nothing.
    pub fn reason(&self) -> &str {
        assert_eq!(self.status, 204, "{self:?}");
        self.field("nudge-reason").unwrap()
    }

    /// The same answer, asserted to have this status.
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap()
    }

    /// Connects, if somebody listens.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Client::of(TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?)
    }

    /// Over a connection that stands.
    pub fn of(stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes as they are, if the server takes them.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The same connection, to send while this one reads.
    pub fn another_end(&self) -> Client {
        Client { stream: self.stream.try_clone().unwrap(), received: Vec::new() }
    }

    /// Says that nothing more will be sent.
    pub fn end_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    /// The next answer, to a request that was no HEAD.
    ///
    /// # Errors
    /// `UnexpectedEof` where the server closed before its end, `ConnectionReset` where it reset.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        self.read_answer(true)
    }

    /// The next answer, to a HEAD.
    pub fn answer_to_head(&mut self) -> Answer {
        self.read_answer(false).unwrap()
    }

    /// The next event of a stream whose head was read, by its name, and what it tells; `None` at
    /// the stream's end. What only says when to come again is passed over.
    pub fn next_event(&mut self) -> Option<(String, Value)> {
        loop {
            let Some(end) = self.received.windows(2).position(|two| two == b"\n\n") else {
                match self.receive() {
                    Ok(()) => continue,
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
                    Err(error) => panic!("{error}"),
                }
            };
            let text: Vec<u8> = self.received.drain(..end + 2).collect();
            let text = String::from_utf8(text).unwrap();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            if let Some(name) = field("event: ") {
                let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
                return Some((name.to_owned(), data));
            }
        }
    }

    /// Whether the server has closed: its end comes, and nothing before it.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0; 1];
        self.received.is_empty() && matches!(self.stream.read(&mut byte), Ok(0))
    }

    /// One request and its answer.
    pub fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.try_ask(method, target, body).unwrap()
    }

    /// One request and its answer, if the server is there.
    pub fn try_ask(&mut self, method: &str, target: &str, body: &str) -> io::Result<Answer> {
        self.try_send(&request(method, target, body))?;
        self.read_answer(method != "HEAD")
    }

    /// One GET and its answer.
    pub fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    /// A decision for a user at the placement `home`.
    pub fn decide(&mut self, user: &str) -> Answer {
        self.get(&format!("/v1/decide?user={user}&placement=home"))
    }

    /// Posts one event.
    pub fn event(&mut self, token: &str, action: &str) -> Answer {
        self.ask("POST", "/v1/events", &event(token, action))
    }

    fn read_answer(&mut self, may_have_body: bool) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            self.receive()?;
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        let mut answer = parse_head(str::from_utf8(&head).unwrap());
        if may_have_body && ![204, 304].contains(&answer.status) {
            let length: usize = answer.field("content-length").unwrap().parse().unwrap();
            while self.received.len() < length {
                self.receive()?;
            }
            answer.body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        }
        Ok(answer)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1_024];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.received.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}

/// A request as bytes; without a body where it is empty.
pub fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    let framing = match body {
        "" => String::new(),
        _ => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    format!("{head}{framing}\r\n{body}").into_bytes()
}

/// An event as JSON.
pub fn event(token: &str, action: &str) -> String {
    format!("{{\"decision\":\"{token}\",\"action\":\"{action}\"}}")
}

fn parse_head(head: &str) -> Answer {
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Answer {
        status: status.split(' ').next().unwrap().parse().unwrap(),
        fields: lines.map(field).collect(),
        body: String::new(),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
