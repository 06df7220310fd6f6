//! One question to the admin API of a running node, for the commands that ask it. Knows tokens and
//! HTTP, and `place` addresses and certificates; must not know what the answers mean.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use nudged_base::limits::{ADMIN_ANSWER_BYTES_MAX, ASK_TIMEOUT_MS, TOKEN_FILE_BYTES_MAX};
use nudged_config::Config;

use self::place::{NodePlace, NodeTrust};
use super::arguments::{NodeArguments, SharedArguments};
use super::failure::Failure;
use super::settings;

mod place;
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
    /// It is a URL, and not one of a node.
    #[error("--admin: expected ADDR:PORT, https://HOST:PORT or unix:/PATH, not {0:?}")]
    Address(String),
    /// The node expects TLS.
    #[error("{address} speaks TLS: give --admin https://{address}")]
    Tls {
        /// Where.
        address: String,
    },
    /// The node does not speak TLS.
    #[error("{address} does not speak TLS: give --admin {address}, without https")]
    NoTls {
        /// Where.
        address: String,
    },
    /// It may be somebody else.
    #[error("{address}: its certificate is not trusted: {why}{hint}")]
    Untrusted {
        /// Where.
        address: String,
        /// What is wrong with it.
        why: String,
        /// What else mends it.
        hint: &'static str,
    },
    /// The file of certificates has none.
    #[error("{path}: no certificate can be read from it: {source}")]
    CertificatesUnusable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The node wants to know who asks.
    #[error(
        "{address} answers with its token alone: give the file that has it with --token-file, or \
         the node's configuration with --config"
    )]
    TokenMissing {
        /// Where.
        address: String,
    },
    /// The file of the token can't be read.
    #[error("admin_token_file: {path}: can't be read: {source}")]
    TokenUnreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The node's other listener, or one of another node.
    #[error(
        "{address} answers, but not to operators: this looks like a data listener (`listen`); give \
         the address of `admin` with --admin"
    )]
    DataListener {
        /// Where.
        address: String,
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
    #[error("the node refused (HTTP {status}): {code}{field}{why}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// The answer's code.
        code: String,
        /// The field, in brackets.
        field: String,
        /// What the answer says of it, behind a colon; empty where it says nothing.
        why: String,
    },
}

impl AskError {
    /// Nobody answers there, or not in time.
    fn unreachable(address: String, source: io::Error) -> AskError {
        let is_late = matches!(source.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let late = || io::Error::other(format!("no answer within {} s", ASK_TIMEOUT_MS / 1_000));
        AskError::Unreachable { address, source: if is_late { late() } else { source } }
    }
}

/// A node that can be asked.
#[derive(Clone, Debug)]
pub(super) struct AdminClient {
    place: NodePlace,
    token_file: Option<PathBuf>,
    trust: Option<NodeTrust>,
}

impl AdminClient {
    /// The node that flags name, else the configuration's.
    ///
    /// # Errors
    /// Where the configuration has errors, or no node can be found by it.
    pub(super) fn load(
        shared: &SharedArguments,
        node: &NodeArguments,
    ) -> Result<AdminClient, Failure> {
        let failed = |error: AskError| Failure::Asking(error.to_string());
        let place = node.admin().map(NodePlace::read).transpose().map_err(failed)?.flatten();
        let config = settings::load(shared, &node.flags(place.is_some()))?.config;
        AdminClient::new(&config, place, node.cacert.as_deref()).map_err(failed)
    }

    fn new(
        config: &Config,
        place: Option<NodePlace>,
        cacert: Option<&Path>,
    ) -> Result<AdminClient, AskError> {
        let place = match place {
            Some(place) => place,
            None => NodePlace::of(&config.admin)?,
        };
        let trust = place.is_tls().then(|| NodeTrust::new(config, cacert)).transpose()?;
        Ok(AdminClient { place, token_file: config.admin_token_file.clone(), trust })
    }

    /// Asks, and reads the answer that says that it was done. `target` is path and query, encoded.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        target: &str,
    ) -> Result<T, AskError> {
        let body = self.ask_bytes(method, target)?;
        let why = "its answer is not one of nudged's";
        serde_json::from_slice(&body)
            .map_err(|_| AskError::NotANode { address: self.place.text(), why })
    }

    /// As [`AdminClient::ask`], where the answer is no JSON: its body as it is. A node on loopback
    /// gets no token unless it asks for one: it may listen on every address, and `--admin` name
    /// only how to reach it from here.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) fn ask_bytes(&self, method: &str, target: &str) -> Result<Vec<u8>, AskError> {
        let token = self.token()?;
        let refused = match self.ask_with((method, target), token.as_deref()) {
            Err(refused @ AskError::Refused { status: 401, .. }) if token.is_none() => refused,
            answered => return answered,
        };
        match self.token_file.as_deref().map(read_token) {
            Some(Ok(token)) => self.ask_with((method, target), Some(&token)),
            Some(Err(_)) => Err(refused),
            None => Err(AskError::TokenMissing { address: self.place.text() }),
        }
    }

    fn ask_with(
        &self,
        (method, target): (&str, &str),
        token: Option<&str>,
    ) -> Result<Vec<u8>, AskError> {
        let mut stream = self.place.connect(self.trust.as_ref())?;
        let request = request((method, target), &self.place.host(), token);
        let answer = exchange(&mut stream, &request)
            .map_err(|source| AskError::unreachable(self.place.text(), source))?;
        let not_a_node = |why| AskError::NotANode { address: self.place.text(), why };
        if is_tls_alert(&answer) {
            return Err(AskError::Tls { address: self.place.host() });
        }
        let (status, body) =
            parse_answer(&answer).ok_or_else(|| not_a_node("it does not speak HTTP"))?;
        if status == 200 {
            return Ok(body.to_vec());
        }
        let refused: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |name: &str| refused["error"][name].as_str();
        let code = member("code").ok_or_else(|| not_a_node("its error is not one of nudged's"))?;
        if code == "plain_http" {
            return Err(AskError::Tls { address: self.place.host() });
        }
        let field = member("field").map(|field| format!(" ({field})")).unwrap_or_default();
        // No command asks for what a node does not have.
        if (status, code, &*field) == (404, "not_found", "") {
            return Err(AskError::DataListener { address: self.place.text() });
        }
        Err(AskError::Refused { status, code: code.to_owned(), field, why: why_of(&refused) })
    }

    /// The token, where the node asks for one.
    fn token(&self) -> Result<Option<String>, AskError> {
        let Some(path) = self.token_file.as_deref().filter(|_| !self.place.is_local()) else {
            return Ok(None);
        };
        let unreadable =
            |source| AskError::TokenUnreadable { path: path.display().to_string(), source };
        read_token(path).map(Some).map_err(unreadable)
    }
}

/// The lines that an answer has beside its code.
fn why_of(refused: &Value) -> String {
    let lines = refused["errors"].as_array().into_iter().flatten();
    let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) }
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

/// A record of TLS that says why it goes no further: what a request without it is answered with.
fn is_tls_alert(answer: &[u8]) -> bool {
    matches!(answer, [0x15, 0x03, ..])
}

/// Status and body of a whole answer.
fn parse_answer(answer: &[u8]) -> Option<(u16, &[u8])> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = str::from_utf8(status).ok()?.parse().ok()?;
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    Some((status, &answer[end + 4..]))
}
