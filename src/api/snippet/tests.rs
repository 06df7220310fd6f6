//! Property: a page gets the snippet without a key, once, as small as its browser takes it.

use sha2::{Digest, Sha256};

use super::*;
use crate::cors::Cors;
use crate::fixture::{FixtureReply, get, response};
use nudged_base::hex;
use nudged_http::reply::ResponseFlags;

const FILES: [SnippetFile; 2] = [SnippetFile::Core, SnippetFile::Popup];

fn head_of(file: SnippetFile, request: &Request<'_>) -> FixtureReply {
    let cors = Cors::default();
    let mut response = response(&cors);
    response.frame = ResponseFlags { head_only: true, ..response.frame };
    let mut out = Vec::new();
    let status = write_file(&mut out, &response, file, request);
    let reply = FixtureReply::read(&out);
    assert_eq!(reply.status, status);
    reply
}

#[test]
fn names_are_hashes_of_what_they_name() {
    for file in FILES {
        let digest = Sha256::digest(file.body(false));
        assert_eq!(file.hash(), &hex::encode(&digest)[..HASH_DIGITS], "{file:?}");
        assert_eq!(SnippetFile::of(file.path()), Some(file));
        assert!(file.body(true).starts_with(&[0x1f, 0x8b, 8]), "gzip");
    }
    let core = str::from_utf8(CORE).unwrap();
    assert!(core.contains(&POPUP_PATH[1..]), "the core loads this very popup");
}

#[test]
fn names_of_other_versions_lead_to_these_files_for_a_while() {
    let cases = [
        ("/nudge-0123456789abcdef.js", Some(SnippetFile::Core)),
        ("/nudge-popup-0123456789abcdef.js", Some(SnippetFile::Popup)),
        ("/nudge-0123456789abcdeF.js", None),
        ("/nudge-0123456789abcde.js", None),
        ("/nudge-0123456789abcdef0.js", None),
        ("/nudge-0123456789abcdef.mjs", None),
        ("/nudge0123456789abcdef.js", None),
        ("/0123456789abcdef.js", None),
        ("/nudge-x-0123456789abcdef.js", None),
        ("/nudge.js", None),
        (".js", None),
        ("", None),
    ];
    for (path, file) in cases {
        assert_eq!(SnippetFile::of(path), file, "{path}");
        let Some(file) = file else { continue };
        let cache = |path| head_of(file, &get(path, "")).field("cache-control").map(str::to_owned);
        assert_eq!(cache(path).as_deref(), Some("public, max-age=300"));
        let own = cache(file.path());
        assert_eq!(own.as_deref(), Some("public, max-age=31536000, immutable"));
    }
}

#[test]
fn files_are_sent_as_the_client_takes_them() {
    let cases: &[(Option<&str>, bool)] = &[
        (None, false),
        (Some(""), false),
        (Some("gzip, deflate, br, zstd"), true),
        (Some("br,GZIP;q=0.5"), true),
        (Some("x-gzip"), true),
        (Some("br"), false),
        (Some("gzipped"), false),
        (Some("*"), true),
        (Some("*;q=0"), false),
        (Some("gzip;q=0, *"), false),
        (Some("*, gzip ; q=0.000"), false),
        (Some("gzip;q=0.001"), true),
        (Some("gzip;q="), false),
        (Some("identity"), false),
    ];
    for file in FILES {
        for (accepted, is_compressed) in cases {
            let accept_encoding = accepted.map(str::as_bytes);
            let reply = head_of(file, &Request { accept_encoding, ..get(file.path(), "") });
            let encoding = is_compressed.then_some("gzip");
            assert_eq!(reply.field("content-encoding"), encoding, "{accepted:?}");
            let length = file.body(*is_compressed).len().to_string();
            assert_eq!(reply.field("content-length"), Some(&*length), "{accepted:?}");
            assert_eq!(reply.field("vary"), Some("Accept-Encoding"));
            assert_eq!(reply.field("content-type"), Some(TYPE));
        }
    }
}

#[test]
fn tags_tell_the_two_forms_apart() {
    let file = SnippetFile::Core;
    let tags = [false, true].map(|is_compressed| {
        let tag = EntityTag::of(file, is_compressed);
        str::from_utf8(tag.as_bytes()).unwrap().to_owned()
    });
    assert_ne!(tags[0], tags[1]);
    for (tag, accepted) in tags.iter().zip([None, Some(&b"gzip"[..])]) {
        let request = Request { accept_encoding: accepted, ..get(file.path(), "") };
        assert_eq!(head_of(file, &request).field("etag"), Some(&**tag));
    }
}
