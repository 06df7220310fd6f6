//! Access keys: who may decide, post events and explain. Owns the comparison of keys; knows no
//! route. Keys are held and compared as SHA-256 hashes, in constant time over all of them, so that
//! neither timing nor a dump of memory tells one. What a key may ask for in time is counted here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bumpalo::Bump;
use sha2::{Digest as _, Sha256};

use super::query;
use super::refusal::{Code, RequestField, RequestRefusal};
use nudged_base::rate::RateLimit;
use nudged_base::time::MonoNs;
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

/// Who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What the caller may do.
    pub caller: Caller,
    /// The place of the caller's key; `None` where none is asked for.
    key: Option<usize>,
}

/// How often each key may ask, and when its next request is due. Shards share it, and so do
/// listeners.
struct KeyRates {
    limit: RateLimit,
    due_ns: Vec<AtomicU64>,
}

/// The keys of one listener. Its `Debug` shows no key.
#[derive(Clone, Default)]
pub struct Access {
    server: Vec<Hash>,
    public: Vec<Hash>,
    rates: Option<Arc<KeyRates>>,
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
        Access { server, public, rates: None }
    }

    /// The same keys, each held to a limit from now on. Allocates.
    #[must_use]
    pub fn limited(self, limit: Option<RateLimit>) -> Access {
        let rates = limit.map(|limit| {
            let due_ns = (0..self.server.len() + self.public.len()).map(|_| AtomicU64::new(0));
            Arc::new(KeyRates { limit, due_ns: due_ns.collect() })
        });
        Access { rates, ..self }
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
    pub fn check(&self, request: &Request<'_>, bump: &Bump) -> Result<Admitted, RequestRefusal> {
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
    ) -> Result<Admitted, RequestRefusal> {
        if !self.is_required() {
            return Ok(Admitted { caller: Caller::Server, key: None });
        }
        let key = match request.authorization.and_then(bearer) {
            Some(key) => Some(key),
            None => of_query()?.map(str::as_bytes),
        };
        let key = key.filter(|key| !key.is_empty()).ok_or(Code::MissingKey)?;
        let sent = hash(key);
        let admitted = |caller, key| Ok(Admitted { caller, key: Some(key) });
        match (place_of(&sent, &self.server), place_of(&sent, &self.public)) {
            (Some(place), _) => admitted(Caller::Server, place),
            (None, Some(place)) => admitted(Caller::Public, self.server.len() + place),
            (None, None) => Err(RequestRefusal::new(Code::WrongKey, RequestField::Key)),
        }
    }

    /// Counts a request of an admitted caller.
    ///
    /// # Errors
    /// 429 `rate_limited` where the key asks more often than it may.
    pub fn count(&self, admitted: Admitted, now: MonoNs) -> Result<(), RequestRefusal> {
        let (Some(rates), Some(place)) = (&self.rates, admitted.key) else { return Ok(()) };
        let taken = rates.limit.take_shared(&rates.due_ns[place], now);
        taken.map_err(|over| RequestRefusal::over_rate(over, Some(RequestField::Key)))
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
fn place_of(sent: &Hash, keys: &[Hash]) -> Option<usize> {
    let mut found = None;
    for (place, key) in keys.iter().enumerate() {
        let difference = sent.iter().zip(key).fold(0, |bits, (a, b)| bits | (a ^ b));
        if std::hint::black_box(difference) == 0 {
            found = Some(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::get;
    use nudged_base::rate::Rate;

    fn access() -> Access {
        Access::new(["server-1", "server-2"], ["public-1", "pub lic"])
    }

    fn check(access: &Access, authorization: Option<&str>, query: &str) -> Result<Caller, Code> {
        let request =
            Request { authorization: authorization.map(str::as_bytes), ..get("/v1/decide", query) };
        let admitted = access.check(&request, &Bump::new());
        admitted.map(|admitted| admitted.caller).map_err(|refusal| refusal.code)
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
    fn each_key_is_held_to_its_rate() {
        let limit = RateLimit::new(Rate { events: 1, per_s: 10 }, 2);
        let limited = access().limited(Some(limit));
        let of_other_listener = limited.clone();
        let ask = |access: &Access, key: &str, now_s: u64| {
            let request = Request { query: key, ..get("/v1/decide", "") };
            let admitted = access.check(&request, &Bump::new()).expect("a key of ours");
            access.count(admitted, MonoNs(now_s * 1_000_000_000)).map_err(|over| {
                assert_eq!((over.code, over.field), (Code::RateLimited, Some(RequestField::Key)));
                over.after_s
            })
        };
        for key in ["key=server-1", "key=server-2", "key=public-1"] {
            assert_eq!(ask(&limited, key, 1), Ok(()), "{key}");
            assert_eq!(ask(&of_other_listener, key, 1), Ok(()), "{key}");
            assert_eq!(ask(&limited, key, 1), Err(10), "{key}");
            assert_eq!(ask(&of_other_listener, key, 8), Err(3), "{key}");
            assert_eq!(ask(&limited, key, 11), Ok(()), "{key}");
            assert!((0..100).all(|_| ask(&access(), key, 1).is_ok()), "without a limit");
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
