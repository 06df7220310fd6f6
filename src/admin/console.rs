//! The console's files, as its build has made them: pages, and what they are made of. Who asks for
//! them needs no token; what the pages show comes from the API, which asks for one.
//!
//! Each path below `/console/` is the console's one page, which reads the path itself; but those of
//! files, by their names. Must not know what the console does.

use super::answer::{AdminAnswer, POLICY};
use nudged_http::choice::{has_tag, takes_gzip};
use nudged_http::head::Request;

/// Where they are.
const FOLDER: &str = "/console/";
/// The names of files below it hash what they name.
const HASHED: &str = "assets/";
const PAGE: &str = "index.html";
/// Of one user: the only name in a path that may be any text.
const USER: &str = "users/";
/// The page that renders a popup, in a frame of the console.
const PREVIEW: &str = "preview.html";

/// A file that the build has made.
#[derive(PartialEq, Eq)]
pub(super) struct ConsoleFile {
    /// Its path below the folder.
    name: &'static str,
    content_type: &'static str,
    /// Digits that other bytes do not have.
    hash: &'static str,
    bytes: &'static [u8],
    /// The same for who takes it so; none where that is not shorter.
    gzip: Option<&'static [u8]>,
}

impl std::fmt::Debug for ConsoleFile {
    /// Without its bytes.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name)
    }
}

/// Every one. `src/admin/console/build.mjs` writes the list.
const FILES: &[ConsoleFile] = include!("console/dist/assets.in");

/// Nothing comes from elsewhere, nothing stands in the page itself, nobody frames it.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; frame-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A popup has images of anywhere, and is shown in a frame of the console.
const PREVIEW_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                              img-src * data:; base-uri 'none'; form-action 'none'; \
                              frame-ancestors 'self'";

/// A name that hashes what it names is that for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// To be asked for again each time.
const ASKED_AGAIN: &str = "no-cache";

/// The file of a path; `None` where there is none.
pub(super) fn file_of(path: &str) -> Option<&'static ConsoleFile> {
    let name = path.strip_prefix(FOLDER)?;
    let is_file = name.starts_with(HASHED) || (name.contains('.') && !name.contains('/'));
    let name = match is_file {
        true => name,
        false => is_page(name).then_some(PAGE)?,
    };
    FILES.iter().find(|file| file.name == name)
}

/// Whether a path is one of the console's, be there a file or not.
pub(super) fn is_below(path: &str) -> bool {
    path.starts_with(FOLDER)
}

/// Whether a name below the folder is one of the console's pages.
fn is_page(name: &str) -> bool {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    let mut segments = name.strip_suffix('/').unwrap_or(name).split('/');
    (name.is_empty() || segments.all(is_segment)) && (name.starts_with(USER) || !name.contains('%'))
}

/// `GET /console/{path}`
pub(super) fn answer(file: &'static ConsoleFile, request: &Request<'_>) -> AdminAnswer {
    let gzip = file.gzip.filter(|_| request.accept_encoding.is_some_and(takes_gzip));
    let tag = format!("\"{}{}\"", file.hash, if gzip.is_some() { "-gzip" } else { "" });
    let is_known = has_tag(request.fields.lines("if-none-match"), tag.as_bytes());
    let mut answer = match is_known {
        true => AdminAnswer::text(file.content_type, "").with_status(304),
        false => AdminAnswer::text(file.content_type, gzip.unwrap_or(file.bytes)),
    };
    if gzip.is_some() && !is_known {
        answer = answer.with_field("Content-Encoding", "gzip");
    }
    let lasts = if file.name.starts_with(HASHED) { FOR_EVER } else { ASKED_AGAIN };
    let policy = if file.name == PREVIEW { PREVIEW_POLICY } else { PAGE_POLICY };
    guarded(answer.with_field("ETag", tag).with_field("Vary", "Accept-Encoding"), policy)
        .with_cache(lasts)
}

/// `GET /` and `GET /console`: where the console is, beside them wherever a proxy has put them.
pub(super) fn leading() -> AdminAnswer {
    let answer = AdminAnswer::text("text/html", "").with_status(302);
    guarded(answer.with_field("Location", &FOLDER[1..]), PAGE_POLICY)
}

/// An answer with what browsers hold pages to.
fn guarded(answer: AdminAnswer, policy: &'static str) -> AdminAnswer {
    answer
        .with_field(POLICY, policy)
        .with_field("Referrer-Policy", "no-referrer")
        .with_field("Cross-Origin-Opener-Policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use nudged_base::hex;
    use nudged_base::limits::CONSOLE_FIRST_PAGE_BYTES_MAX;

    #[test]
    fn each_path_is_a_page_or_a_file_or_nothing() {
        let pages = ["", "popups", "popups/a/edit", "popups/", "new", "statistics"];
        let users = ["users/john.doe@example.com", "users/a%2Fb", "users/%3Cscript%3E", "users/"];
        for name in pages.into_iter().chain(users) {
            let file = file_of(&format!("/console/{name}"));
            assert_eq!(file.map(|file| file.name), Some(PAGE), "{name}");
        }
        let none = ["index.html.gz", "x.js", "assets/", "assets/x.js", "assets/../index.html"];
        let odd = ["..", "a/../b", "a//b", "/", "popups/%61", "%2e%2e", "./x"];
        for name in none.into_iter().chain(odd) {
            assert_eq!(file_of(&format!("/console/{name}")), None, "{name}");
        }
        assert_eq!(file_of("/console/index.html").map(|file| file.name), Some(PAGE));
        assert!(file_of("/console").is_none() && file_of("/Console/").is_none());
    }

    #[test]
    fn the_first_page_is_small() {
        let page = FILES.iter().find(|file| file.name == PAGE).unwrap();
        let text = str::from_utf8(page.bytes).unwrap();
        let is_named = |file: &&ConsoleFile| text.contains(&format!("\"{FOLDER}{}\"", file.name));
        let sent = |file: &ConsoleFile| file.gzip.unwrap_or(file.bytes).len();
        let named: Vec<usize> = FILES.iter().filter(is_named).map(sent).collect();
        assert!(named.len() >= 2, "a script and a style: {text}");
        let total = sent(page) + named.iter().sum::<usize>();
        assert!(total <= CONSOLE_FIRST_PAGE_BYTES_MAX, "{total} bytes, compressed");
    }

    #[test]
    fn files_are_what_their_names_and_hashes_say() {
        for file in FILES {
            let digest = hex::encode(&Sha256::digest(file.bytes));
            assert_eq!(file.hash, &digest[..file.hash.len()], "{}", file.name);
            assert!(file.hash.len() >= 16 && !file.bytes.is_empty(), "{}", file.name);
            if let Some(gzip) = file.gzip {
                assert!(gzip.starts_with(&[0x1f, 0x8b, 8]), "{}", file.name);
                assert!(gzip.len() < file.bytes.len(), "{}", file.name);
            }
            let text = str::from_utf8(file.bytes).unwrap_or_default();
            if file.name.ends_with(".html") {
                assert!(!text.contains("<style") && !text.contains("<script>"), "{}", file.name);
            }
        }
        assert!([PAGE, PREVIEW].into_iter().all(|name| FILES.iter().any(|f| f.name == name)));
    }
}
