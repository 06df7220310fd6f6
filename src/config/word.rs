//! The words behind a listener's address.

use std::fmt;

use super::near::nearest;

/// The words, and what others call the same.
const WORDS: [(&str, &str); 8] = [
    (TLS, TLS),
    ("ssl", TLS),
    ("https", TLS),
    (PROXY, PROXY),
    ("proxy-protocol", PROXY),
    ("proxyprotocol", PROXY),
    ("send-proxy", PROXY),
    ("accept-proxy", PROXY),
];
/// TLS.
pub(super) const TLS: &str = "tls";
/// The PROXY protocol.
pub(super) const PROXY: &str = "proxy_protocol";

/// What is wrong with a word behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordProblem {
    /// There is no such word; the one that was probably meant.
    Unknown(String, Option<&'static str>),
    /// It stands twice.
    Repeated(&'static str),
    /// Operators come without a balancer.
    NotForAdmin(&'static str),
    /// Nobody is between the two ends of a unix socket.
    NotForUnix(&'static str),
}

impl fmt::Display for WordProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WordProblem::Unknown(word, Some(near)) => {
                write!(out, "unknown word {word:?} after the address; did you mean `{near}`?")
            }
            WordProblem::Unknown(word, None) => {
                write!(
                    out,
                    "unknown word {word:?} after the address; there are `{TLS}` and `{PROXY}`"
                )
            }
            WordProblem::Repeated(word) => write!(out, "`{word}` is there twice"),
            WordProblem::NotForUnix(word) => {
                write!(out, "a unix socket stays on this host: `{word}` says nothing there")
            }
            WordProblem::NotForAdmin(word) => write!(
                out,
                "`{word}` is for data listeners only: the audit names who really connects"
            ),
        }
    }
}

/// The word that is meant by one.
fn known(word: &str) -> Result<&'static str, WordProblem> {
    if let Some((known, _)) = WORDS.iter().find(|(name, meant)| *name == word && name == meant) {
        return Ok(known);
    }
    let is_alias = WORDS.iter().any(|(name, _)| *name == word);
    let near = nearest(word, WORDS.iter().map(|(name, _)| *name));
    let near = if is_alias { Some(word) } else { near };
    let meant = near.and_then(|near| WORDS.iter().find(|(name, _)| *name == near));
    Err(WordProblem::Unknown(word.to_owned(), meant.map(|(_, meant)| *meant)))
}

/// The words behind an address, each once.
pub(super) fn words(text: &str) -> Result<Vec<&'static str>, WordProblem> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let word = known(word)?;
        if found.contains(&word) {
            return Err(WordProblem::Repeated(word));
        }
        found.push(word);
    }
    Ok(found)
}
