//! The browser's snippet: `/nudge.js`, which leads to it, and its two files. Each has the hash of
//! its bytes in its name, so that caches may keep it for ever, and is here plain and compressed.
//! Asked for by pages, without a key.
//!
//! `src/snippet/build.mjs` makes the files. A page that another version of a node sent for its own
//! files may come to this one: it gets these, and keeps them only for a while.

use super::reply::ResponseContext;
use nudged_base::limits::{SNIPPET_CORE_BYTES_MAX, SNIPPET_POPUP_BYTES_MAX};
use nudged_http::choice::{has_tag, takes_gzip};
use nudged_http::head::Request;
use nudged_http::reply;

#[cfg(test)]
mod tests;

/// Where tags point to.
pub(super) const LEADING_PATH: &str = "/nudge.js";
const TYPE: &str = "text/javascript; charset=utf-8";
/// A page that was served with a name asks for exactly that.
const FOR_EVER: &[u8] = b"public, max-age=31536000, immutable";
/// How long a new version takes to reach every page, at most.
const FOR_A_WHILE: &[u8] = b"public, max-age=300";
/// Digits of the hash in a name.
const HASH_DIGITS: usize = 16;
const EXTENSION: &str = ".js";

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SnippetFile {
    /// What asks and reports.
    Core,
    /// What puts a popup on screen, loaded where there is one.
    Popup,
}

const CORE_PATH: &str = include_str!("../snippet/dist/nudge.path");
const CORE: &[u8] = include_bytes!("../snippet/dist/nudge.js");
const CORE_GZIP: &[u8] = include_bytes!("../snippet/dist/nudge.js.gz");
const POPUP_PATH: &str = include_str!("../snippet/dist/nudge-popup.path");
const POPUP: &[u8] = include_bytes!("../snippet/dist/nudge-popup.js");
const POPUP_GZIP: &[u8] = include_bytes!("../snippet/dist/nudge-popup.js.gz");

const _: () = assert!(CORE_GZIP.len() <= SNIPPET_CORE_BYTES_MAX);
const _: () = assert!(POPUP_GZIP.len() <= SNIPPET_POPUP_BYTES_MAX);

impl SnippetFile {
    /// The file of a path: by its whole name, or by the name that another version gives it.
    pub(super) fn of(path: &str) -> Option<SnippetFile> {
        let name = path.strip_suffix(EXTENSION)?;
        let (name, hash) = name.split_at_checked(name.len().checked_sub(HASH_DIGITS)?)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !hash.bytes().all(is_digit) {
            return None;
        }
        [SnippetFile::Core, SnippetFile::Popup].into_iter().find(|file| file.prefix() == name)
    }

    fn path(self) -> &'static str {
        match self {
            SnippetFile::Core => CORE_PATH,
            SnippetFile::Popup => POPUP_PATH,
        }
    }

    fn prefix(self) -> &'static str {
        let path = self.path();
        &path[..path.len() - HASH_DIGITS - EXTENSION.len()]
    }

    fn hash(self) -> &'static str {
        &self.path()[self.prefix().len()..][..HASH_DIGITS]
    }

    fn body(self, is_compressed: bool) -> &'static [u8] {
        match (self, is_compressed) {
            (SnippetFile::Core, false) => CORE,
            (SnippetFile::Core, true) => CORE_GZIP,
            (SnippetFile::Popup, false) => POPUP,
            (SnippetFile::Popup, true) => POPUP_GZIP,
        }
    }
}

/// Whether a path is one of the snippet's.
pub fn is_of_snippet(path: &str) -> bool {
    path == LEADING_PATH || SnippetFile::of(path).is_some()
}

/// Appends the answer of [`LEADING_PATH`]: where the present file is. Gives the status. Allocates
/// only where `out` has to grow.
pub(super) fn write_leading(out: &mut Vec<u8>, response: &ResponseContext<'_>) -> u16 {
    const STATUS: u16 = 302;
    reply::start(out, STATUS, &response.frame);
    // Relative to this path, wherever a proxy has put it.
    reply::field(out, "Location", &CORE_PATH.as_bytes()[1..]);
    reply::field(out, "Cache-Control", FOR_A_WHILE);
    write_open(out);
    reply::end_with_body(out, TYPE, b"", &response.frame);
    STATUS
}

/// Appends a file, compressed where the client takes that, or 304 where it has it. Gives the
/// status. Allocates only where `out` has to grow.
pub(super) fn write_file(
    out: &mut Vec<u8>,
    response: &ResponseContext<'_>,
    file: SnippetFile,
    request: &Request<'_>,
) -> u16 {
    let is_compressed = request.accept_encoding.is_some_and(takes_gzip);
    let tag = EntityTag::of(file, is_compressed);
    let is_known = has_tag(request.fields.lines("if-none-match"), tag.as_bytes());
    let status = if is_known { 304 } else { 200 };
    reply::start(out, status, &response.frame);
    reply::field(out, "ETag", tag.as_bytes());
    let lasts = if request.path == file.path() { FOR_EVER } else { FOR_A_WHILE };
    reply::field(out, "Cache-Control", lasts);
    reply::field(out, "Vary", b"Accept-Encoding");
    write_open(out);
    if status == 304 {
        reply::end_without_body(out);
        return status;
    }
    if is_compressed {
        reply::field(out, "Content-Encoding", b"gzip");
    }
    reply::end_with_body(out, TYPE, file.body(is_compressed), &response.frame);
    status
}

/// Any page may load it, and it is taken for nothing but a script.
fn write_open(out: &mut Vec<u8>) {
    reply::field(out, "Access-Control-Allow-Origin", b"*");
    reply::field(out, "Cross-Origin-Resource-Policy", b"cross-origin");
    reply::field(out, "X-Content-Type-Options", b"nosniff");
}

/// The entity tag of a file as it is sent: of the plain and of the compressed bytes not the same.
struct EntityTag {
    bytes: [u8; HASH_DIGITS + GZIP_MARK.len() + 2],
    used: usize,
}

const GZIP_MARK: &str = "-gzip";

impl EntityTag {
    fn of(file: SnippetFile, is_compressed: bool) -> EntityTag {
        let mut tag = EntityTag { bytes: [0; HASH_DIGITS + GZIP_MARK.len() + 2], used: 0 };
        let mark = if is_compressed { GZIP_MARK } else { "" };
        for text in ["\"", file.hash(), mark, "\""] {
            tag.bytes[tag.used..tag.used + text.len()].copy_from_slice(text.as_bytes());
            tag.used += text.len();
        }
        tag
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}
