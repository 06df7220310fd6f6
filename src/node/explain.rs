//! `nudged explain`: asks the admin API of a running node why a user sees, or does not see, each
//! popup, and says it in words. Knows the answer's JSON and nothing of how it came about.
//!
//! Exit codes: 0 the node has answered, 1 it has not, 2 the configuration has errors.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::arguments::{ExplainArguments, SharedArguments};
use super::failure::Failure;
use super::settings;
use nudged_base::limits::{EXPLAIN_ANSWER_BYTES_MAX, EXPLAIN_TIMEOUT_MS, TOKEN_FILE_BYTES_MAX};
use nudged_config::{AdminAddress, Config};
use nudged_runtime::stream::BlockingStream;

#[cfg(test)]
mod tests;

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExplainError {
    #[error(
        "no node answers at {address}: {source}; is it running? Give its address with --admin, or \
         its configuration with --config"
    )]
    Unreachable { address: String, source: io::Error },
    #[error("the admin address has port 0: give the port that the node printed with --admin")]
    PortUnknown,
    #[error("admin_token_file: {path}: can't be read: {source}")]
    TokenUnreadable { path: String, source: io::Error },
    #[error("{address} is not a nudged node: {why}")]
    NotANode { address: String, why: &'static str },
    #[error("the node refused (HTTP {status}): {code}{field}")]
    Refused { status: u16, code: String, field: String },
}

/// The answer of `/v1/explain`, as far as it is told.
#[derive(Debug, Deserialize)]
struct Explained {
    popup: Option<String>,
    candidates: Vec<ExplainedPopup>,
    /// Why nothing is shown; absent where something is.
    reason: Option<String>,
    /// Seconds after which asking again can help.
    next_in: Option<u32>,
    /// What of the question was not taken as it was meant.
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ExplainedPopup {
    id: String,
    gate: Option<String>,
    /// What stands behind the gate; absent where the popup passes.
    why: Option<String>,
}

/// Asks, and prints a line for each popup on standard output.
///
/// # Errors
/// Where the configuration has errors, or the node does not answer.
pub fn run(shared: &SharedArguments, arguments: &ExplainArguments) -> Result<(), Failure> {
    let config = settings::load(shared, &arguments.flags())?.config;
    let explained = explain(&config, &arguments.query());
    let explained = explained.map_err(|error| Failure::Explain(error.to_string()))?;
    for warning in &explained.warnings {
        eprintln!("nudged: warning: {}", plain(warning));
    }
    // A reader that has gone, as with `| head`, is no error.
    let _ = io::stdout().write_all(in_words(&explained).as_bytes());
    Ok(())
}

fn explain(config: &Config, query: &[(&str, &str)]) -> Result<Explained, ExplainError> {
    let mut target = "/v1/explain?".to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        if index > 0 {
            target.push('&');
        }
        push_encoded(&mut target, name);
        target.push('=');
        push_encoded(&mut target, value);
    }
    let (body, address) = get(config, &target)?;
    let why = "its answer is not one of nudged's";
    serde_json::from_slice(&body).map_err(|_| ExplainError::NotANode { address, why })
}

/// Asks a running node for what its admin listener has at `target`; gives the body of its answer,
/// and the address. A node on loopback gets no token unless it asks for one: it may listen on every
/// address, and `--admin` name only how to reach it from here.
///
/// # Errors
/// Where it does not answer, or refuses.
pub(super) fn get(config: &Config, target: &str) -> Result<(Vec<u8>, String), ExplainError> {
    let token = token(config)?;
    let refused = match ask(config, target, token.as_deref()) {
        Err(refused @ ExplainError::Refused { status: 401, .. }) if token.is_none() => refused,
        answered => return answered,
    };
    match config.admin_token_file.as_deref().map(read_token) {
        Some(Ok(token)) => ask(config, target, Some(&token)),
        _ => Err(refused),
    }
}

fn ask(
    config: &Config,
    target: &str,
    token: Option<&str>,
) -> Result<(Vec<u8>, String), ExplainError> {
    let (mut stream, address) = connect(&config.admin)?;
    let request = request(target, &address, token);
    let answer = exchange(&mut stream, &request);
    let answer =
        answer.map_err(|source| ExplainError::Unreachable { address: address.clone(), source })?;
    let not_a_node = |why| ExplainError::NotANode { address: address.clone(), why };
    let (status, body) =
        parse_answer(&answer).ok_or_else(|| not_a_node("it does not speak HTTP"))?;
    if status != 200 {
        let refused: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |name: &str| refused["error"][name].as_str();
        let code = member("code").ok_or_else(|| not_a_node("its error is not one of nudged's"))?;
        let field = member("field").map(|field| format!(" ({field})")).unwrap_or_default();
        return Err(ExplainError::Refused { status, code: code.to_owned(), field });
    }
    Ok((body.to_vec(), address))
}

/// The token, where the node asks for one.
fn token(config: &Config) -> Result<Option<String>, ExplainError> {
    let Some(path) = config.admin_token_file.as_deref().filter(|_| !config.admin.is_local()) else {
        return Ok(None);
    };
    let unreadable =
        |source| ExplainError::TokenUnreadable { path: path.display().to_string(), source };
    read_token(path).map(Some).map_err(unreadable)
}

fn read_token(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a token"));
    }
    Ok(token.to_owned())
}

/// A connection to a node, and what its requests call the host.
fn connect(address: &AdminAddress) -> Result<(BlockingStream, String), ExplainError> {
    let timeout = Duration::from_millis(EXPLAIN_TIMEOUT_MS);
    let (connected, address, host) = match address {
        AdminAddress::Tcp(address) if address.port() == 0 => return Err(ExplainError::PortUnknown),
        AdminAddress::Tcp(address) => {
            let address = reachable(*address);
            let text = address.to_string();
            (BlockingStream::connect_tcp(&address, timeout), text.clone(), text)
        }
        AdminAddress::Unix(path) => {
            let text = format!("unix:{}", path.display());
            (BlockingStream::connect_unix(path, timeout), text, "localhost".to_owned())
        }
    };
    match connected {
        Ok(stream) => Ok((stream, host)),
        Err(source) => Err(ExplainError::Unreachable { address, source }),
    }
}

/// A node that listens on every address of this host is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn request(target: &str, host: &str, token: Option<&str>) -> String {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}");
    if let Some(token) = token {
        request.push_str("\r\nAuthorization: Bearer ");
        request.push_str(token);
    }
    request.push_str("\r\nConnection: close\r\n\r\n");
    request
}

fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a String takes all text"),
        }
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(EXPLAIN_ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body of a whole answer.
fn parse_answer(answer: &[u8]) -> Option<(u16, &[u8])> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = str::from_utf8(status).ok()?.parse().ok()?;
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    Some((status, &answer[end + 4..]))
}

/// A line for each popup, in the order in which they win.
fn in_words(explained: &Explained) -> String {
    let width = explained.candidates.iter().map(|one| one.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for ExplainedPopup { id, gate, why } in &explained.candidates {
        let is_shown = explained.popup.as_ref() == Some(id);
        let (word, why) = match gate.as_deref() {
            None if is_shown => ("shown", "it passes every gate".to_owned()),
            None => (
                "passes",
                match &explained.popup {
                    Some(winner) => format!("it would be shown, but {winner} wins"),
                    None => "it would be shown".to_owned(),
                },
            ),
            Some(gate) => (gate, plain(why.as_deref().unwrap_or("the node gives no reason"))),
        };
        writeln!(text, "{id:width$}  {word:<9}  ({why})").expect("a String takes all text");
    }
    if let Some(reason) = &explained.reason {
        let next = match explained.next_in {
            Some(seconds) => format!("asking again may help in {seconds} s"),
            None => "asking again will not help".to_owned(),
        };
        writeln!(text, "nothing is shown: {reason}; {next}").expect("a String takes all text");
    }
    text
}

/// A text of the node without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
