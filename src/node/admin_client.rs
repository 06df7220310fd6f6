//! One question to the admin API of a running node, for the commands that ask it. Knows addresses,
//! tokens and HTTP; must not know what the answers mean.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use nudged_base::limits::{ADMIN_ANSWER_BYTES_MAX, ASK_TIMEOUT_MS, TOKEN_FILE_BYTES_MAX};
use nudged_config::{AdminAddress, Config};
use nudged_runtime::stream::BlockingStream;

#[cfg(test)]
mod tests;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody listens, or says nothing.
    #[error(
        "no node answers at {address}: {source}; is it running? Give its address with --admin, or \
         its configuration with --config"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration leaves the port to the node.
    #[error("the admin address has port 0: give the port that the node printed with --admin")]
    PortUnknown,
    /// The node expects TLS.
    #[error(
        "the admin address speaks TLS, which this command does not: ask with `curl --cacert`, or \
         give the node an admin address on a unix socket"
    )]
    Tls,
    /// The file of the token can't be read.
    #[error("admin_token_file: {path}: can't be read: {source}")]
    TokenUnreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something else listens there.
    #[error("{address} is not a nudged node: {why}")]
    NotANode {
        /// Where.
        address: String,
        /// What tells so.
        why: &'static str,
    },
    /// It does not do what it was asked.
    #[error("the node refused (HTTP {status}): {code}{field}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// The answer's code.
        code: String,
        /// The field, in brackets.
        field: String,
    },
}

/// Asks, and reads the answer that says that it was done. `target` is path and query, encoded.
///
/// # Errors
/// [`AskError`].
pub(super) fn ask<T: DeserializeOwned>(
    config: &Config,
    method: &str,
    target: &str,
) -> Result<T, AskError> {
    let (body, address) = ask_bytes(config, method, target)?;
    let why = "its answer is not one of nudged's";
    serde_json::from_slice(&body).map_err(|_| AskError::NotANode { address, why })
}

/// As [`ask`], where the answer is no JSON: its body as it is, and who gave it. A node on loopback
/// gets no token unless it asks for one: it may listen on every address, and `--admin` name only
/// how to reach it from here.
///
/// # Errors
/// [`AskError`].
pub(super) fn ask_bytes(
    config: &Config,
    method: &str,
    target: &str,
) -> Result<(Vec<u8>, String), AskError> {
    let token = token(config)?;
    let refused = match ask_with(config, (method, target), token.as_deref()) {
        Err(refused @ AskError::Refused { status: 401, .. }) if token.is_none() => refused,
        answered => return answered,
    };
    match config.admin_token_file.as_deref().map(read_token) {
        Some(Ok(token)) => ask_with(config, (method, target), Some(&token)),
        _ => Err(refused),
    }
}

fn ask_with(
    config: &Config,
    (method, target): (&str, &str),
    token: Option<&str>,
) -> Result<(Vec<u8>, String), AskError> {
    let (mut stream, address) = connect(&config.admin)?;
    let request = request((method, target), &address, token);
    let answer = exchange(&mut stream, &request);
    let answer =
        answer.map_err(|source| AskError::Unreachable { address: address.clone(), source })?;
    let not_a_node = |why| AskError::NotANode { address: address.clone(), why };
    let (status, body) =
        parse_answer(&answer).ok_or_else(|| not_a_node("it does not speak HTTP"))?;
    if status != 200 {
        let refused: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |name: &str| refused["error"][name].as_str();
        let code = member("code").ok_or_else(|| not_a_node("its error is not one of nudged's"))?;
        let field = member("field").map(|field| format!(" ({field})")).unwrap_or_default();
        return Err(AskError::Refused { status, code: code.to_owned(), field });
    }
    Ok((body.to_vec(), address))
}

/// The token, where the node asks for one.
fn token(config: &Config) -> Result<Option<String>, AskError> {
    let Some(path) = config.admin_token_file.as_deref().filter(|_| !config.admin.is_local()) else {
        return Ok(None);
    };
    let unreadable =
        |source| AskError::TokenUnreadable { path: path.display().to_string(), source };
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
fn connect(address: &AdminAddress) -> Result<(BlockingStream, String), AskError> {
    let timeout = Duration::from_millis(ASK_TIMEOUT_MS);
    let (connected, address, host) = match address {
        AdminAddress::Tls(_) => return Err(AskError::Tls),
        AdminAddress::Tcp(address) if address.port() == 0 => return Err(AskError::PortUnknown),
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
        Err(source) => Err(AskError::Unreachable { address, source }),
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

fn request((method, target): (&str, &str), host: &str, token: Option<&str>) -> String {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}");
    if let Some(token) = token {
        request.push_str("\r\nAuthorization: Bearer ");
        request.push_str(token);
    }
    if method != "GET" {
        request.push_str("\r\nContent-Length: 0");
    }
    request.push_str("\r\nConnection: close\r\n\r\n");
    request
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ADMIN_ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body of a whole answer.
fn parse_answer(answer: &[u8]) -> Option<(u16, &[u8])> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = str::from_utf8(status).ok()?.parse().ok()?;
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    Some((status, &answer[end + 4..]))
}
