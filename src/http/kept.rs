//! The fields of a head that matter to anyone, each judged when its line has ended: whether it may
//! stand there again, beside the others, and with that value.

use super::authority::Authority;
use super::fields::{Field, Fields, is_disguised};
use super::refusal::HttpRefusal;
use super::scan::trim;
use nudged_base::limits::CONTENT_LENGTH_MAX;

/// Fields that have stood, and what the request line was: all that has to be known of the lines
/// above to judge the next one. One bit each.
pub(super) mod seen {
    pub(crate) const HOST: u16 = 1 << 0;
    pub(crate) const CONTENT_LENGTH: u16 = 1 << 1;
    pub(crate) const TRANSFER_ENCODING: u16 = 1 << 2;
    pub(crate) const AUTHORIZATION: u16 = 1 << 3;
    pub(crate) const CONTENT_TYPE: u16 = 1 << 4;
    pub(crate) const ORIGIN: u16 = 1 << 5;
    pub(crate) const REQUEST_METHOD: u16 = 1 << 6;
    pub(crate) const NUDGE_WHO: u16 = 1 << 7;
    /// The request line said HTTP/1.0.
    pub(crate) const HTTP_1_0: u16 = 1 << 8;
}

/// All fields of a head, as they stood: for those that few requests are asked for, which cost the
/// others nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadFields<'b>(pub(super) Fields<'b>);

impl<'b> HeadFields<'b> {
    /// The first line of a field, by its name in lower case. Reads the head anew.
    pub fn first(self, name: &'static str) -> Option<&'b [u8]> {
        self.lines(name).map(|lines| lines.first)
    }

    /// The lines of a field that may stand more than once, by its name in lower case. Reads the
    /// head anew.
    pub fn lines(mut self, name: &'static str) -> Option<Repeatable<'b>> {
        while let Ok(Some(field)) = self.0.next() {
            if field.name.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(Repeatable { name, first: field.value, rest: self.0 });
            }
        }
        None
    }
}

/// A field that may stand more than once (RFC 9110, 5.3): the lines of it together are one list.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable<'b> {
    name: &'static str,
    first: &'b [u8],
    /// The lines below the first one.
    rest: Fields<'b>,
}

impl<'b> Repeatable<'b> {
    /// The field's values, one for each of its lines, in order.
    pub fn values(self) -> impl Iterator<Item = &'b [u8]> {
        let (name, mut rest) = (self.name.as_bytes(), self.rest);
        let more = std::iter::from_fn(move || rest.next().ok().flatten());
        let more = more.filter(move |field| field.name.eq_ignore_ascii_case(name));
        std::iter::once(self.first).chain(more.map(|field| field.value))
    }
}

/// The fields that matter, as they stood.
#[derive(Debug, Default)]
pub(super) struct Kept<'b> {
    /// Bits of [`seen`], those of lines that were judged earlier among them.
    pub(super) seen: u16,
    /// All of them.
    pub(super) fields: HeadFields<'b>,
    pub(super) content_length: u64,
    pub(super) host: Option<&'b [u8]>,
    pub(super) authorization: Option<&'b [u8]>,
    pub(super) content_type: Option<&'b [u8]>,
    pub(super) accept: Option<&'b [u8]>,
    pub(super) origin: Option<&'b [u8]>,
    pub(super) access_control_request_method: Option<&'b [u8]>,
    pub(super) access_control_request_headers: Option<&'b [u8]>,
    pub(super) nudge_who: Option<&'b [u8]>,
    pub(super) accept_encoding: Option<&'b [u8]>,
    pub(super) expects_continue: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
}

impl<'b> Kept<'b> {
    /// Whether a field, or a fact of the request line, has been seen.
    pub(super) fn has(&self, bit: u16) -> bool {
        self.seen & bit != 0
    }

    /// Takes the fields of `section` up to its empty line, or to its end. `body_bytes_max` is what
    /// the listener takes; `authority` gives that of a target in absolute form, with its port.
    ///
    /// # Errors
    /// The first line that breaks a rule.
    pub(super) fn take_all<'a>(
        &mut self,
        section: &'b [u8],
        body_bytes_max: usize,
        authority: impl Fn() -> Option<(Authority<'a>, u16)>,
    ) -> Result<(), HttpRefusal> {
        let mut fields = Fields::new(section);
        while let Some(field) = fields.next()? {
            self.take(field, body_bytes_max, &authority)?;
        }
        Ok(())
    }

    /// Takes one field; the rest is as in [`Kept::take_all`]. The length picks the only name it can
    /// be, so that most fields cost one comparison.
    ///
    /// # Errors
    /// The rule that the field breaks.
    pub(super) fn take<'a>(
        &mut self,
        field: Field<'b>,
        body_bytes_max: usize,
        authority: &impl Fn() -> Option<(Authority<'a>, u16)>,
    ) -> Result<(), HttpRefusal> {
        let Field { name, value } = field;
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("host") => {
                self.once(seen::HOST)?;
                check_host(value, authority())?;
                self.host = Some(value);
            }
            6 if is("expect") => self.take_expect(value)?,
            6 if is("accept") => {
                self.accept.get_or_insert(value);
            }
            6 if is("origin") => self.origin = self.once(seen::ORIGIN).map(|()| Some(value))?,
            9 if is("nudge-who") => {
                self.nudge_who = self.once(seen::NUDGE_WHO).map(|()| Some(value))?;
            }
            10 if is("connection") => self.take_connection(value),
            12 if is("content-type") => {
                self.content_type = self.once(seen::CONTENT_TYPE).map(|()| Some(value))?;
            }
            13 if is("authorization") => {
                self.authorization = self.once(seen::AUTHORIZATION).map(|()| Some(value))?;
            }
            14 if is("content-length") => self.take_content_length(value, body_bytes_max)?,
            15 if is("accept-encoding") => {
                // A list may be sent in parts; no browser does, and in parts it takes plain bytes.
                let place = &mut self.accept_encoding;
                *place = Some(if place.is_some() { b"" } else { value });
            }
            17 if is("transfer-encoding") => self.take_transfer_encoding(value)?,
            29 if is("access-control-request-method") => {
                self.once(seen::REQUEST_METHOD)?;
                self.access_control_request_method = Some(value);
            }
            30 if is("access-control-request-headers") => {
                // A list may be sent in parts; no browser does, and in parts it names nothing.
                let place = &mut self.access_control_request_headers;
                *place = Some(if place.is_some() { b"" } else { value });
            }
            // The shorter of the two names has 14 bytes, and folding only shortens.
            14.. if is_disguised(name) => return Err(HttpRefusal::DisguisedField),
            _ => {}
        }
        Ok(())
    }

    fn once(&mut self, bit: u16) -> Result<(), HttpRefusal> {
        if self.has(bit) {
            return Err(HttpRefusal::RepeatedField);
        }
        self.seen |= bit;
        Ok(())
    }

    fn take_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = trim(option);
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// A list of expectations, of which we know one (RFC 9110, 10.1.1); empty elements are ignored,
    /// a list without any other is not. HTTP/1.0 knows no interim answers, so there it says
    /// nothing.
    fn take_expect(&mut self, value: &[u8]) -> Result<(), HttpRefusal> {
        if self.has(seen::HTTP_1_0) {
            return Ok(());
        }
        let mut elements = value.split(|byte| *byte == b',').map(trim);
        let is_known = |element: &[u8]| element.eq_ignore_ascii_case(b"100-continue");
        let is_any = elements.clone().any(is_known);
        if !is_any || !elements.all(|element| element.is_empty() || is_known(element)) {
            return Err(HttpRefusal::ExpectationFailed);
        }
        self.expects_continue = true;
        Ok(())
    }

    fn take_content_length(&mut self, value: &[u8], max: usize) -> Result<(), HttpRefusal> {
        self.once(seen::CONTENT_LENGTH)?;
        if self.has(seen::TRANSFER_ENCODING) {
            return Err(HttpRefusal::ConflictingLengths);
        }
        self.content_length = content_length(value)?;
        match usize::try_from(self.content_length) {
            Ok(length) if length <= max => Ok(()),
            _ => Err(HttpRefusal::BodyTooLarge),
        }
    }

    /// Exactly `chunked`: any other coding, a list of them, or one in HTTP/1.0 is refused.
    fn take_transfer_encoding(&mut self, value: &[u8]) -> Result<(), HttpRefusal> {
        self.once(seen::TRANSFER_ENCODING)?;
        if self.has(seen::CONTENT_LENGTH) {
            return Err(HttpRefusal::ConflictingLengths);
        }
        if self.has(seen::HTTP_1_0) || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HttpRefusal::TransferEncoding);
        }
        Ok(())
    }
}

fn check_host(value: &[u8], authority: Option<(Authority<'_>, u16)>) -> Result<(), HttpRefusal> {
    let host = Authority::parse(value).ok_or(HttpRefusal::MalformedHost)?;
    match authority {
        Some((authority, port)) if !authority.agrees(&host, port) => {
            Err(HttpRefusal::HostDisagrees)
        }
        _ => Ok(()),
    }
}

fn content_length(digits: &[u8]) -> Result<u64, HttpRefusal> {
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HttpRefusal::ContentLength);
    }
    let mut length: u64 = 0;
    for digit in digits {
        // The bound holds before each step, so the step does not overflow.
        length = length * 10 + u64::from(digit - b'0');
        if length > CONTENT_LENGTH_MAX {
            return Err(HttpRefusal::ContentLength);
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_list_are_all_kept() {
        let section = b"if-match: a\r\nX: y\r\nIf-Match: b, c\r\nIF-MATCH:\r\n\r\n";
        let fields = HeadFields(Fields::new(section));
        let values: Vec<&[u8]> = fields.lines("if-match").unwrap().values().collect();
        assert_eq!(values, [&b"a"[..], b"b, c", b""]);
        assert_eq!((fields.first("x"), fields.first("if-none-match")), (Some(&b"y"[..]), None));
    }
}
