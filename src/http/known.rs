//! Fields that connections sent last: most send the same ones with each request, and what was
//! judged once need not be judged again. What fields mean depends on their bytes and on how large a
//! body may be, so those that are equal in both mean the same, whatever they frame.
//!
//! Fields that are asked for by a name ([`Kept`]) are found by where they stood. What is kept of a
//! connection is compared with bytes of that connection alone, and credentials are not kept: nobody
//! can find out by the time that an answer takes what somebody else has sent.
//!
//! Limits: [`HEADS_KNOWN_MAX`] connections, [`HEAD_KNOWN_BYTES_MAX`] bytes of each.

use super::fields::Fields;
use super::kept::{HeadFields, Kept, seen};
use nudged_base::limits::{HEAD_KNOWN_BYTES_MAX, HEADS_KNOWN_MAX};

const _: () = assert!(HEAD_KNOWN_BYTES_MAX <= u16::MAX as usize);

/// Where a value stands in its section: its begin and its end.
type ValuePlace = (u16, u16);
/// Of a field that is not there: no value begins behind its end.
const NOWHERE: ValuePlace = (1, 0);

/// The fields that one connection sent last, where they were good.
#[derive(Debug)]
pub struct KnownFields {
    /// As they stood, the empty line included; empty for none.
    section: Vec<u8>,
    body_bytes_max: usize,
    content_length: u64,
    seen: u16,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
    has_rare: bool,
    host: ValuePlace,
    content_type: ValuePlace,
    accept: ValuePlace,
    origin: ValuePlace,
    access_control_request_method: ValuePlace,
    access_control_request_headers: ValuePlace,
    nudge_who: ValuePlace,
    accept_encoding: ValuePlace,
}

impl KnownFields {
    /// None yet. Does not allocate.
    pub const NONE: KnownFields = KnownFields {
        section: Vec::new(),
        body_bytes_max: 0,
        content_length: 0,
        seen: 0,
        expects_continue: false,
        close: false,
        keep_alive: false,
        has_rare: false,
        host: NOWHERE,
        content_type: NOWHERE,
        accept: NOWHERE,
        origin: NOWHERE,
        access_control_request_method: NOWHERE,
        access_control_request_headers: NOWHERE,
        nudge_who: NOWHERE,
        accept_encoding: NOWHERE,
    };

    /// The fields that `bytes` start with, and how many bytes they take, where they are the known
    /// ones.
    #[inline]
    pub(super) fn find<'b>(
        &self,
        bytes: &'b [u8],
        body_bytes_max: usize,
    ) -> Option<(Kept<'b>, usize)> {
        let length = self.section.len();
        let section = bytes.get(..length)?;
        if length == 0 || section != self.section || body_bytes_max != self.body_bytes_max {
            return None;
        }
        let value = |(begin, end): ValuePlace| section.get(usize::from(begin)..usize::from(end));
        // What browsers send before they ask another origin, and consoles.
        let rare = |place| if self.has_rare { value(place) } else { None };
        let kept = Kept {
            seen: self.seen,
            fields: HeadFields(Fields::new(section)),
            content_length: self.content_length,
            host: value(self.host),
            authorization: None,
            content_type: value(self.content_type),
            accept: value(self.accept),
            origin: value(self.origin),
            access_control_request_method: rare(self.access_control_request_method),
            access_control_request_headers: rare(self.access_control_request_headers),
            nudge_who: rare(self.nudge_who),
            accept_encoding: value(self.accept_encoding),
            expects_continue: self.expects_continue,
            close: self.close,
            keep_alive: self.keep_alive,
        };
        Some((kept, length))
    }

    /// Knows the fields of a head that was good: `section` up to behind its empty line, and what
    /// was kept of it. Allocates only where its memory has to grow.
    pub(super) fn set(&mut self, section: &[u8], body_bytes_max: usize, kept: &Kept<'_>) {
        self.section.clear();
        if section.len() > HEAD_KNOWN_BYTES_MAX || kept.has(seen::AUTHORIZATION) {
            return;
        }
        self.section.extend_from_slice(section);
        let place = |value: Option<&[u8]>| value.map_or(NOWHERE, |value| place_in(section, value));
        self.body_bytes_max = body_bytes_max;
        self.content_length = kept.content_length;
        self.seen = kept.seen;
        self.expects_continue = kept.expects_continue;
        self.close = kept.close;
        self.keep_alive = kept.keep_alive;
        self.host = place(kept.host);
        self.content_type = place(kept.content_type);
        self.accept = place(kept.accept);
        self.origin = place(kept.origin);
        self.access_control_request_method = place(kept.access_control_request_method);
        self.access_control_request_headers = place(kept.access_control_request_headers);
        self.nudge_who = place(kept.nudge_who);
        self.accept_encoding = place(kept.accept_encoding);
        self.has_rare = kept.access_control_request_method.is_some()
            || kept.access_control_request_headers.is_some()
            || kept.nudge_who.is_some();
    }

    /// Knows none any more; their memory stays.
    pub fn forget(&mut self) {
        self.section.clear();
    }
}

/// Where a value stands that was cut out of a section; one that stands for no value, as that of a
/// list in parts does, stands at its begin and is empty.
fn place_in(section: &[u8], value: &[u8]) -> ValuePlace {
    let begin = if value.is_empty() { 0 } else { value.as_ptr().addr() - section.as_ptr().addr() };
    let place = |at: usize| u16::try_from(at).expect("within HEAD_KNOWN_BYTES_MAX");
    (place(begin), place(begin + value.len()))
}

/// What many connections sent last: each has a place, which it shares with others.
#[derive(Debug, Default)]
pub struct HeadMemory {
    /// By place: the connection whose fields these are.
    places: Vec<(u32, KnownFields)>,
}

impl HeadMemory {
    /// What a connection sent last: nothing where another one has its place since. Allocates only
    /// while there are fewer places than [`HEADS_KNOWN_MAX`].
    #[inline]
    pub fn of(&mut self, connection: u32) -> &mut KnownFields {
        let place = connection as usize % HEADS_KNOWN_MAX;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || (connection, KnownFields::NONE));
        }
        let (owner, known) = &mut self.places[place];
        if *owner != connection {
            *owner = connection;
            known.forget();
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whole;

    const MAX: usize = 1_000;

    /// A request with these fields, and what a connection knows after it.
    fn known_after(fields: &str, max: usize) -> (Vec<u8>, KnownFields) {
        let request = format!("POST /a HTTP/1.1\r\n{fields}\r\n").into_bytes();
        let mut known = KnownFields::NONE;
        assert!(whole::read(&request, max, Some(&mut known)).is_some(), "{fields}");
        (request, known)
    }

    #[test]
    fn what_is_known_is_what_would_be_read() {
        for fields in [
            "Host: a\r\n",
            "Host:\ta \r\nAccept: b\r\nORIGIN: c\r\nX: y\r\nConnection: close\r\n",
            "Accept-Encoding: gzip\r\nHost: a\r\naccept-encoding: br\r\nAccept:\r\n",
            "Host: a\r\nContent-Length: 12\r\nContent-Type: t\r\nNudge-Who: w\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
            "Access-Control-Request-Headers: h\r\nAccess-Control-Request-Method: m\r\nHost: a\r\n",
            "Connection: keep-alive\r\n",
        ] {
            let (mut request, mut known) = known_after(fields, MAX);
            let section = request.len() - fields.len() - 2;
            request.extend_from_slice(b"GET / ");
            let (found, length) = known.find(&request[section..], MAX).unwrap();
            let (_, read, end) = whole::read(&request, MAX, None).unwrap();
            let without_fields = |kept| Kept { fields: HeadFields::default(), ..kept };
            let (found, read) = (without_fields(found), without_fields(read));
            assert_eq!((section + length, format!("{found:?}")), (end, format!("{read:?}")));
            // Neither less of it, nor another byte in it, nor upon another bound.
            assert!(known.find(&request[section..end - 1], MAX).is_none());
            assert!(known.find(&request[section..], MAX + 1).is_none());
            for at in section..end {
                request[at] ^= 0x20;
                assert!(known.find(&request[section..], MAX).is_none(), "{at} of {fields}");
                request[at] ^= 0x20;
            }
            known.forget();
            assert!(known.find(&request[section..], MAX).is_none());
        }
    }

    #[test]
    fn credentials_and_long_heads_are_not_kept() {
        let long = |bytes: usize| format!("X: {}\r\n", "x".repeat(bytes - "X: \r\n\r\n".len()));
        for (fields, is_kept) in [
            ("Authorization: Bearer k\r\n", false),
            (&long(HEAD_KNOWN_BYTES_MAX), true),
            (&long(HEAD_KNOWN_BYTES_MAX + 1), false),
        ] {
            let (request, known) = known_after(fields, MAX);
            let section = &request[request.len() - fields.len() - 2..];
            assert_eq!(known.find(section, MAX).is_some(), is_kept, "{fields}");
        }
    }

    #[test]
    fn a_connection_finds_nothing_of_another_one() {
        let (request, known) = known_after("Host: a\r\n", MAX);
        let section = &request[request.len() - 11..];
        let mut memory = HeadMemory::default();
        *memory.of(3) = known;
        assert!(memory.of(3).find(section, MAX).is_some());
        assert!(memory.of(2).find(section, MAX).is_none());
        assert!(memory.of(3).find(section, MAX).is_some());
        let other = 3 + u32::try_from(HEADS_KNOWN_MAX).unwrap();
        assert!(memory.of(other).find(section, MAX).is_none());
        assert!(memory.of(3).find(section, MAX).is_none());
        assert!(memory.places.len() <= HEADS_KNOWN_MAX);
    }
}
