//! Access keys: who may decide, post events and explain. Owns the comparison of keys; knows no
//! route. Keys are held and compared as SHA-256 hashes, in constant time over all of them, so that
//! neither timing nor a dump of memory tells one.

use std::fmt;

use bumpalo::Bump;
use sha2::{Digest as _, Sha256};

use super::query;
use super::refusal::{Code, RequestField, RequestRefusal};
use nudged_http::head::Request;

type Hash = [u8; 32];

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Everything: holds a server key, or none is asked for.
    Server,
    /// Decide and post events: holds a public key.
    Public,
}

/// The keys of one listener. Its `Debug` shows no key.
#[derive(Clone, Default)]
pub struct Access {
    server: Vec<Hash>,
    public: Vec<Hash>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("server", &self.server.len())
            .field("public", &self.public.len())
            .finish()
    }
}

impl Access {
    /// Takes keys as they are configured; with none, none is asked for. Allocates.
    pub fn new<'k>(
        server: impl IntoIterator<Item = &'k str>,
        public: impl IntoIterator<Item = &'k str>,
    ) -> Access {
        let server = server.into_iter().map(|key| hash(key.as_bytes())).collect();
        let public = public.into_iter().map(|key| hash(key.as_bytes())).collect();
        Access { server, public }
    }

    /// Whether a key is asked for.
    pub fn is_required(&self) -> bool {
        !self.server.is_empty() || !self.public.is_empty()
    }

    /// Who sends this request, by `Authorization: Bearer KEY` or else by `?key=KEY`. Allocates in
    /// `bump` alone.
    ///
    /// # Errors
    /// 401 `missing_key` or `wrong_key`; 400 where the query has to be read for its key and can't
    /// be. None where no key is asked for.
    pub fn check(&self, request: &Request<'_>, bump: &Bump) -> Result<Caller, RequestRefusal> {
        self.check_with(request, || query::key(request.query, bump))
    }

    /// As [`Access::check`], where the key of the query is had from `of_query`.
    ///
    /// # Errors
    /// As [`Access::check`], and those of `of_query`, which is asked only where its key counts.
    pub(super) fn check_with<'k>(
        &self,
        request: &Request<'_>,
        of_query: impl FnOnce() -> Result<Option<&'k str>, RequestRefusal>,
    ) -> Result<Caller, RequestRefusal> {
        if !self.is_required() {
            return Ok(Caller::Server);
        }
        let key = match request.authorization.and_then(bearer) {
            Some(key) => Some(key),
            None => of_query()?.map(str::as_bytes),
        };
        let key = key.filter(|key| !key.is_empty()).ok_or(Code::MissingKey)?;
        let sent = hash(key);
        match (is_among(&sent, &self.server), is_among(&sent, &self.public)) {
            (true, _) => Ok(Caller::Server),
            (false, true) => Ok(Caller::Public),
            (false, false) => Err(RequestRefusal::new(Code::WrongKey, RequestField::Key)),
        }
    }
}

/// The key of an `Authorization` field; `None` for another scheme, which a proxy may have left.
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = field.split_at_checked("Bearer".len())?;
    let key = key.strip_prefix(b" ")?.trim_ascii();
    scheme.eq_ignore_ascii_case(b"Bearer").then_some(key)
}

fn hash(key: &[u8]) -> Hash {
    Sha256::digest(key).into()
}

/// Looks at every byte of every key, whatever it finds.
fn is_among(sent: &Hash, keys: &[Hash]) -> bool {
    let mut found = false;
    for key in keys {
        let difference = sent.iter().zip(key).fold(0, |bits, (a, b)| bits | (a ^ b));
        found |= std::hint::black_box(difference) == 0;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::get;

    fn access() -> Access {
        Access::new(["server-1", "server-2"], ["public-1", "pub lic"])
    }

    fn check(access: &Access, authorization: Option<&str>, query: &str) -> Result<Caller, Code> {
        let request =
            Request { authorization: authorization.map(str::as_bytes), ..get("/v1/decide", query) };
        access.check(&request, &Bump::new()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn keys_and_where_they_are_sent() {
        let missing = Err(Code::MissingKey);
        let wrong = Err(Code::WrongKey);
        let cases = [
            (None, "", missing),
            (None, "user=u", missing),
            (None, "key=", missing),
            (Some("Bearer "), "", missing),
            (Some("Bearer"), "", missing),
            (Some("Bearer server-1"), "", Ok(Caller::Server)),
            (Some("bearer  server-2 "), "", Ok(Caller::Server)),
            (Some("Bearer public-1"), "", Ok(Caller::Public)),
            (Some("Bearer server-"), "", wrong),
            (Some("Bearer server-11"), "", wrong),
            (Some("Bearer SERVER-1"), "", wrong),
            (Some("Bearer server-1 server-2"), "", wrong),
            (Some("Bearerserver-1"), "", missing),
            (Some("Basic server-1"), "", missing),
            (Some("Basic abc"), "key=public-1", Ok(Caller::Public)),
            (None, "user=u&key=server-1", Ok(Caller::Server)),
            (None, "key=pub+lic", Ok(Caller::Public)),
            (None, "k%65y=p%75blic-1", Ok(Caller::Public)),
            (None, "key=server-1&key=server-1", Err(Code::DuplicateField)),
            (Some("Bearer nope"), "key=server-1", wrong),
            (Some("Bearer \u{e9}"), "", wrong),
        ];
        for (authorization, query, want) in cases {
            assert_eq!(check(&access(), authorization, query), want, "{authorization:?} {query}");
            let open = check(&Access::default(), authorization, query);
            assert_eq!(open, Ok(Caller::Server), "none is asked for");
        }
    }

    #[test]
    fn no_key_is_asked_for_where_none_is_configured() {
        let none = Access::new([], []);
        assert_eq!((check(&none, None, ""), none.is_required()), (Ok(Caller::Server), false));
        for one in [Access::new(["k"], []), Access::new([], ["k"])] {
            assert_eq!((check(&one, None, ""), one.is_required()), (Err(Code::MissingKey), true));
        }
    }

    #[test]
    fn an_empty_configured_key_lets_nobody_in() {
        let empty = Access::new([""], []);
        assert_eq!(check(&empty, Some("Bearer "), "key="), Err(Code::MissingKey));
    }

    #[test]
    fn debug_keeps_keys() {
        let text = format!("{:?}", access());
        assert_eq!(text, "Access { server: 2, public: 2 }");
    }
}
