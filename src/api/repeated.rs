//! What requests say beside their user: an app asks with the same words for one user after another,
//! and what was read of them once need not be read again. A request is taken apart where its user
//! ends; what follows is looked for byte for byte, and means what it meant before, since nothing
//! else has a say in that. What is out of the ordinary is read from begin to end each time: a user
//! that stands elsewhere or is encoded, keys and signatures, sessions, events, unknown fields,
//! whatever is refused.
//!
//! Limits: [`REPEATED_REQUESTS_MAX`] places, in each of which at most
//! [`REPEATED_REQUEST_BYTES_MAX`] bytes of a request and as many of what it says. A place is taken
//! only by words that come twice in a row for it, so that those that never come again cost little.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;

use bumpalo::Bump;

use super::decide::{DecideRequest, ProvenRequest, user};
use nudged_base::hash::Keyed;
use nudged_base::limits::{REPEATED_REQUEST_BYTES_MAX, REPEATED_REQUESTS_MAX};
use nudged_base::word::{self, Word};
use nudged_domain::decide::context::{AttributeValue, Context};

/// A request in two parts: its user, and all that follows, which holds no part of the user.
#[derive(Clone, Copy, Debug)]
pub(super) struct UserAndRest<'a> {
    user: &'a str,
    rest: &'a [u8],
}

impl<'a> UserAndRest<'a> {
    /// The parts of a query that begins with its user, as it stands. `None` where it does not, or
    /// where nothing follows.
    #[inline]
    pub(super) fn of_query(query: &'a str) -> Option<UserAndRest<'a>> {
        let query = query.strip_prefix("user=")?;
        let ends = |word: Word| word.equal(b'&') | word.equal(b'%') | word.equal(b'+');
        let (text, rest) = query.split_at(word::position(query.as_bytes(), ends));
        let is_plain = rest.starts_with('&');
        let user = if is_plain { user(text).ok()? } else { return None };
        Some(UserAndRest { user, rest: rest.as_bytes() })
    }

    /// The parts of a body whose first member is its user, without escapes and in ASCII, with no
    /// white space before it.
    #[inline]
    pub(super) fn of_body(body: &'a [u8]) -> Option<UserAndRest<'a>> {
        let body = body.strip_prefix(b"{\"user\":\"")?;
        let ends =
            |word: Word| word.equal(b'"') | word.equal(b'\\') | word.below(b' ') | word.not_ascii();
        let (text, rest) = body.split_at(word::position(body, ends));
        let rest = rest.strip_prefix(b"\"")?;
        let user = user(str::from_utf8(text).ok()?).ok()?;
        Some(UserAndRest { user, rest })
    }
}

/// How many bytes of words a place takes: one without any has none yet.
const BYTES: RangeInclusive<usize> = 1..=REPEATED_REQUEST_BYTES_MAX;

const _: () = assert!(REPEATED_REQUEST_BYTES_MAX <= u16::MAX as usize);

/// How many bytes a text has among those of a place, which lie one after another.
type TextBytes = u16;

/// SaidWords that are kept: their place, and what tells them from others that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownWords {
    place: usize,
    number: u64,
}

impl KnownWords {
    /// Their place, below [`REPEATED_REQUESTS_MAX`].
    #[inline]
    pub fn place(self) -> usize {
        self.place
    }
}

/// What one request said beside its user.
#[derive(Debug, Default)]
struct SaidWords {
    hash: u64,
    /// Of all words that were ever kept the how many.
    number: u64,
    /// As they stood; empty where they came but once.
    rest: Vec<u8>,
    /// What they say, one text after another in the order of the fields below.
    texts: String,
    placement: TextBytes,
    locale: Option<TextBytes>,
    tz: Option<TextBytes>,
    /// Names and values; `None` for a value that is of no rule's type.
    attributes: Vec<(TextBytes, Option<TextBytes>)>,
}

/// What requests of one shard have said lately.
pub struct RepeatedRequests {
    hash: Keyed,
    /// By a part of the words' hash.
    places: RefCell<Vec<SaidWords>>,
    /// How many words were ever kept.
    kept: Cell<u64>,
}

impl std::fmt::Debug for RepeatedRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RepeatedRequests").field(&self.places.borrow().len()).finish()
    }
}

impl RepeatedRequests {
    /// Nothing was said yet. `seed` is of this process, so that nobody can choose words that drive
    /// out those of others. Allocates the places, and their memory when they are taken.
    pub fn new(seed: u64) -> RepeatedRequests {
        let places = (0..REPEATED_REQUESTS_MAX).map(|_| SaidWords::default());
        let places = RefCell::new(places.collect());
        RepeatedRequests { hash: Keyed::new(seed), places, kept: Cell::new(0) }
    }

    /// Reads a request of which `parts` were told apart: by what is known, or by `read`, which
    /// gives the same. Allocates in `bump`, and where a place is taken.
    ///
    /// # Errors
    /// Those of `read`.
    #[inline]
    pub(super) fn read<'a, E>(
        &self,
        parts: Option<UserAndRest<'a>>,
        bump: &'a Bump,
        read: impl FnOnce() -> Result<ProvenRequest<'a>, E>,
    ) -> Result<ProvenRequest<'a>, E> {
        let parts = parts.filter(|parts| BYTES.contains(&parts.rest.len()));
        let Some(UserAndRest { user, rest }) = parts else { return read() };
        let hash = self.hash.of(rest);
        let place = usize::try_from(hash % REPEATED_REQUESTS_MAX as u64).unwrap_or(0);
        let mut places = self.places.borrow_mut();
        let words = &mut places[place];
        if words.hash == hash && words.rest == rest {
            return Ok(words.of_user(user, place, bump));
        }
        let came_before = words.hash == hash;
        words.hash = hash;
        words.rest.clear();
        let request = read()?;
        if came_before && words.take(&request).is_some() {
            words.rest.extend_from_slice(rest);
            self.kept.set(self.kept.get() + 1);
            words.number = self.kept.get();
        }
        Ok(request)
    }
}

impl SaidWords {
    /// The request that says this of a user.
    #[inline]
    fn of_user<'a>(&self, user: &'a str, place: usize, bump: &'a Bump) -> ProvenRequest<'a> {
        let mut left: &'a str = bump.alloc_str(&self.texts);
        let mut next = |bytes: TextBytes| {
            let (text, behind) = left.split_at(usize::from(bytes));
            left = behind;
            text
        };
        let placement = next(self.placement);
        let (locale, tz) = (self.locale.map(&mut next), self.tz.map(&mut next));
        let attributes = self.attributes.iter().map(|(name, value)| {
            let name = next(*name);
            (name, value.map_or(AttributeValue::Other, |v| AttributeValue::Scalar(next(v))))
        });
        let attributes = bump.alloc_slice_fill_iter(attributes);
        let context = Context { user, placement, session: None, locale, tz, attributes };
        let request = DecideRequest::of(context);
        let words = KnownWords { place, number: self.number };
        ProvenRequest { request, key: None, signature: None, words: Some(words) }
    }

    /// Takes what a request says in place of what was here; `None` where that is not only words
    /// that others may say too.
    fn take(&mut self, read: &ProvenRequest<'_>) -> Option<()> {
        let context = &read.request.context;
        let is_usual = read.request == DecideRequest::of(*context) && context.session.is_none();
        if !is_usual || read.key.is_some() || read.signature.is_some() {
            return None;
        }
        self.texts.clear();
        self.attributes.clear();
        self.placement = self.add(context.placement)?;
        self.locale = self.add_optional(context.locale)?;
        self.tz = self.add_optional(context.tz)?;
        for (name, value) in context.attributes {
            let name = self.add(name)?;
            let value = match value {
                AttributeValue::Scalar(text) => Some(self.add(text)?),
                AttributeValue::Other => None,
                AttributeValue::List(_) => return None,
            };
            self.attributes.push((name, value));
        }
        Some(())
    }

    fn add_optional(&mut self, text: Option<&str>) -> Option<Option<TextBytes>> {
        match text {
            Some(text) => self.add(text).map(Some),
            None => Some(None),
        }
    }

    fn add(&mut self, text: &str) -> Option<TextBytes> {
        if self.texts.len() + text.len() > REPEATED_REQUEST_BYTES_MAX {
            return None;
        }
        self.texts.push_str(text);
        TextBytes::try_from(text.len()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::{read_body, read_proven_query};
    use crate::events::EventContext;
    use crate::fixture::{NOW, keys};
    use crate::ignored::Unknown;

    /// What a request says, read by `memory`; and whether it was known.
    fn read(memory: &RepeatedRequests, is_body: bool, request: &str) -> (String, bool) {
        let (bump, keys) = (Bump::new(), keys());
        let parts = match is_body {
            true => UserAndRest::of_body(request.as_bytes()),
            false => UserAndRest::of_query(request),
        };
        let mut is_known = true;
        let read = memory.read(parts, &bump, || {
            is_known = false;
            read_anew(is_body, request, &bump, &keys)
        });
        let read = read.map(|read| ProvenRequest { words: None, ..read });
        (format!("{read:?}"), is_known)
    }

    fn read_anew<'a>(
        is_body: bool,
        request: &'a str,
        bump: &'a Bump,
        keys: &crate::token::Keys,
    ) -> Result<ProvenRequest<'a>, crate::refusal::RequestRefusal> {
        let context = EventContext { keys, now: NOW, bump };
        match is_body {
            true => read_body(request.as_bytes(), context, Unknown::new(bump)),
            false => read_proven_query(request, bump),
        }
    }

    fn anew(is_body: bool, request: &str) -> String {
        format!("{:?}", read_anew(is_body, request, &Bump::new(), &keys()))
    }

    #[test]
    fn words_are_known_the_third_time_whoever_says_them() {
        let long = |bytes: usize| format!("&attr.x={}", "x".repeat(bytes - "&attr.x=".len()));
        let (longest, too_long) =
            (long(REPEATED_REQUEST_BYTES_MAX), long(REPEATED_REQUEST_BYTES_MAX + 1));
        let queries: [(&str, bool); 14] = [
            ("&placement=home&attr.platform=ios&attr.v=5.3.1", true),
            ("&locale=de-AT&tz=Europe%2FVienna&attr.a+b=%C3%A4", true),
            ("&", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("&session=s", false),
            ("&key=k", false),
            ("&sig=s", false),
            ("&explain=1", false),
            ("&placment=x", false),
            ("&user=u", false),
            ("&attr.a=1&attr.a=1", false),
            ("&attr.a=%zz", false),
        ];
        let bodies: [(&str, bool); 16] = [
            (r#","placement":"home","attrs":{"p":"ios","n":5.10,"b":true,"z":null,"o":{}}}"#, true),
            (r#","locale":"de","tz":"Europe\/Vienna","attrs":{"\u00e4":"\n","e":""}}"#, true),
            (" , \"placement\" : null }\n", true),
            ("}", true),
            ("", false),
            (r#","attrs":{"l":["a"]}}"#, false),
            (r#","session":"s"}"#, false),
            (r#","sig":"s"}"#, false),
            (r#","explain":true}"#, false),
            (r#","placment":"x"}"#, false),
            (r#","user":"u"}"#, false),
            (r#","attrs":{"a":1,"a":1}}"#, false),
            (r#","attrs":[]}"#, false),
            (r#","events":[{}]}"#, false),
            ("}}", false),
            (r#":"x"}"#, false),
        ];
        let all = queries.iter().map(|(rest, known)| (false, *rest, *known));
        let all = all.chain(bodies.iter().map(|(rest, known)| (true, *rest, *known)));
        let memory = RepeatedRequests::new(1);
        for (is_body, rest, is_kept) in all {
            for (time, user) in ["u1", "user-2", "=", "u1"].iter().enumerate() {
                let request = match is_body {
                    true => format!("{{\"user\":\"{user}\"{rest}"),
                    false => format!("user={user}{rest}"),
                };
                let (got, is_known) = read(&memory, is_body, &request);
                assert_eq!(got, anew(is_body, &request), "{request}");
                assert_eq!(is_known, is_kept && time >= 2, "{request}, time {time}");
            }
        }
    }

    #[test]
    fn a_user_that_is_no_plain_one_is_read_with_the_rest() {
        let (long, longest) = ("u".repeat(129), "u".repeat(128));
        let users = ["", "a%41", "a+b", &long, "a\\u0041", "ä", "a\u{7f}", "a\tb", "a\"", &longest];
        let memory = RepeatedRequests::new(1);
        for user in ["u1", "u1"].iter().chain(&users) {
            let body = format!("{{\"user\":\"{user}\",\"placement\":\"home\"}}");
            assert_eq!(read(&memory, true, &body).0, anew(true, &body), "{body}");
            // A query is visible ASCII.
            if user.bytes().all(|byte| byte.is_ascii_graphic()) {
                let query = format!("user={user}&placement=home");
                assert_eq!(read(&memory, false, &query).0, anew(false, &query), "{query}");
            }
        }
    }

    proptest! {
        // SaidWords that share places, among those that are refused, change nothing.
        #[test]
        fn what_is_known_says_what_would_be_read(
            requests in prop::collection::vec((any::<bool>(), 0..3_usize, pieces()), 1..60),
        ) {
            let memory = RepeatedRequests::new(1);
            for (is_body, user, pieces) in &requests {
                let piece = |(query, body): &(&'static str, &'static str)| match is_body {
                    true => *body,
                    false => *query,
                };
                let rest: String = pieces.iter().map(piece).collect();
                let request = match is_body {
                    true => format!("{{\"user\":\"u{user}\"{rest}}}"),
                    false => format!("user=u{user}{rest}"),
                };
                prop_assert_eq!(read(&memory, *is_body, &request).0, anew(*is_body, &request));
            }
        }
    }

    /// Few ones, so that requests come again.
    fn pieces() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        let piece = prop::sample::select(vec![
            ("&placement=a", ",\"placement\":\"a\""),
            ("&attr.a=1", ",\"attrs\":{\"a\":1}"),
            ("&locale=de", ",\"locale\":\"de\""),
            ("&user=x", ",\"user\":\"x\""),
            ("&session=s", ",\"session\":\"s\""),
            ("&x=%", ",\"x\":tru"),
        ]);
        prop::collection::vec(piece, 0..3)
    }
}
