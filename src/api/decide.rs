//! Requests of `/v1/decide`, from a query or from JSON. Owns their fields and what each may hold;
//! knows nothing of popups and users' state.
//!
//! Limits: user [`USER_BYTES_MAX`], session [`SESSION_BYTES_MAX`], the other names
//! [`NAME_BYTES_MAX`] bytes, [`ATTRIBUTES_MAX`] attributes, as many events as `events` takes.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::events::{self, Element, EventContext};
use super::ignored::{Ignored, Unknown};
use super::json::{self, Json, JsonCursor};
use super::query;
use super::refusal::{Code, RequestField, RequestRefusal};
use super::repeated::KnownWords;
use nudged_base::limits::{ATTRIBUTES_MAX, NAME_BYTES_MAX, SESSION_BYTES_MAX, USER_BYTES_MAX};
use nudged_base::word::{self, Word};
use nudged_domain::decide::context::{AttributeValue, Context};

#[cfg(test)]
mod tests;

/// The members of a body.
const MEMBERS: [&str; 9] =
    ["user", "sig", "placement", "session", "locale", "tz", "attrs", "events", "explain"];
/// Where a request's popup would appear if it does not say.
const PLACEMENT_DEFAULT: &str = "home";

/// A decision that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecideRequest<'a> {
    /// What the domain is told. Where `anonymous`, its user is empty until one is minted.
    pub context: Context<'a>,
    /// No user was given: the edge mints one, and the answer gives it back.
    pub anonymous: bool,
    /// The user only looks: nothing is remembered and nothing counts.
    pub is_preview: bool,
    /// The reply is to explain itself.
    pub explain: bool,
    /// Events that are applied first, in order; empty for a query.
    pub events: &'a [Element<'a>],
    /// What it says that nobody knows.
    pub ignored: Ignored<'a>,
}

impl<'a> DecideRequest<'a> {
    /// A request that says nothing but this.
    pub(super) fn of(context: Context<'a>) -> DecideRequest<'a> {
        DecideRequest {
            context,
            anonymous: false,
            is_preview: false,
            explain: false,
            events: &[],
            ignored: Ignored::default(),
        }
    }
}

impl DecideRequest<'_> {
    /// Makes it one of nobody: a user is minted for it.
    pub(super) fn forget_user(&mut self) {
        (self.anonymous, self.context.user) = (true, "");
    }
}

/// A decision that is asked for, with what proves who asks for it and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProvenRequest<'a> {
    /// The decision.
    pub request: DecideRequest<'a>,
    /// The access key, where it was read with the rest.
    pub key: Option<&'a str>,
    /// The user's signature.
    pub signature: Option<&'a str>,
    /// Which words these are, where they are kept.
    pub words: Option<KnownWords>,
}

/// Room for the first attributes: most requests have no more.
const ATTRIBUTES_EXPECTED: usize = 8;

/// Attributes as the domain takes them.
type Attributes<'a> = BumpVec<'a, (&'a str, AttributeValue<'a>)>;

/// What a request says, each field at most once; an empty one is there, and says nothing.
#[derive(Default)]
struct DecideFields<'a> {
    user: Option<&'a str>,
    placement: Option<&'a str>,
    session: Option<&'a str>,
    locale: Option<&'a str>,
    tz: Option<&'a str>,
    explain: Option<bool>,
    events: &'a [Element<'a>],
}

/// Reads `user placement session locale tz explain attr.NAME` from a query; other names are
/// ignored, so that a cache buster harms nothing, and told. Allocates in `bump`, for attributes,
/// unknown names and what has to be decoded.
///
/// # Errors
/// 400: what [`query::pairs`] refuses, `duplicate_field`, and each field's own rules.
pub fn read_query<'a>(query: &'a str, bump: &'a Bump) -> Result<DecideRequest<'a>, RequestRefusal> {
    read_proven_query(query, bump).map(|read| read.request)
}

/// As [`read_query`]; gives key and signature too, where there are any.
pub(super) fn read_proven_query<'a>(
    query: &'a str,
    bump: &'a Bump,
) -> Result<ProvenRequest<'a>, RequestRefusal> {
    let mut fields = DecideFields::default();
    let mut attributes = BumpVec::new_in(bump);
    let mut unknown = Unknown::new(bump);
    let (mut key, mut signature, mut repeated) = (None, None, None);
    for pair in query::pairs(query, bump) {
        let (name, value) = pair?;
        match name {
            "user" => once(&mut fields.user, user(value)?, RequestField::User)?,
            "placement" => {
                let value = text(value, RequestField::Placement)?;
                once(&mut fields.placement, value, RequestField::Placement)?;
            }
            "session" => once(&mut fields.session, session(value)?, RequestField::Session)?,
            "locale" => {
                once(&mut fields.locale, text(value, RequestField::Locale)?, RequestField::Locale)?
            }
            "tz" => once(&mut fields.tz, text(value, RequestField::Tz)?, RequestField::Tz)?,
            "explain" => once(&mut fields.explain, flag(value)?, RequestField::Explain)?,
            "key" => repeated = repeated.or(key.replace(value).map(|_| RequestField::Key)),
            "sig" => repeated = repeated.or(signature.replace(value).map(|_| RequestField::Sig)),
            _ => match name.strip_prefix("attr.") {
                Some(name) => push_query_attribute(&mut attributes, name, value)?,
                None => unknown.add(name),
            },
        }
    }
    if let Some(field) = repeated {
        return Err(RequestRefusal::new(Code::DuplicateField, field));
    }
    let request = finish(fields, attributes, unknown);
    Ok(ProvenRequest { request, key, signature, words: None })
}

fn once<T>(place: &mut Option<T>, value: T, field: RequestField) -> Result<(), RequestRefusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(RequestRefusal::new(Code::DuplicateField, field)),
    }
}

fn flag(value: &str) -> Result<bool, RequestRefusal> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(RequestRefusal::new(Code::BadValue, RequestField::Explain)),
    }
}

fn push_query_attribute<'a>(
    attributes: &mut Attributes<'a>,
    name: &'a str,
    value: &'a str,
) -> Result<(), RequestRefusal> {
    if attributes.iter().any(|(known, _)| *known == name) {
        return Err(RequestRefusal::new(Code::DuplicateField, RequestField::Attrs));
    }
    push_attribute(attributes, name, AttributeValue::Scalar(value))
}

fn push_attribute<'a>(
    attributes: &mut Attributes<'a>,
    name: &'a str,
    value: AttributeValue<'a>,
) -> Result<(), RequestRefusal> {
    if attributes.len() == ATTRIBUTES_MAX {
        return Err(RequestRefusal::new(Code::TooMany, RequestField::Attrs));
    }
    if attributes.capacity() == 0 {
        attributes.reserve_exact(ATTRIBUTES_EXPECTED);
    }
    attributes.push((name, value));
    Ok(())
}

/// Reads `{"user","sig","placement","session","locale","tz","attrs":{},"events":[],
/// "explain":false}`; null is absent, other members are ignored, and told beside what `unknown` has
/// already. Allocates in scratch alone.
///
/// # Errors
/// 400: what [`json::parse`] and [`events::read_list`] refuse, `wrong_type`, and each field's own
/// rules.
pub(crate) fn read_body<'a>(
    body: &'a [u8],
    reading: EventContext<'a, '_>,
    mut unknown: Unknown<'a>,
) -> Result<ProvenRequest<'a>, RequestRefusal> {
    let (mut read, mut refused) = (BodyFields::new(reading), None);
    let is_object = json::read_object(body, reading.bump, |name, cursor| {
        // What is no JSON is refused before what is not as it should be, wherever that stands.
        let taken = match name {
            "attrs" => read.take_attributes(cursor)?,
            name => read.take(name, cursor.member()?, &mut unknown),
        };
        refused = refused.or(taken.err());
        Ok(())
    })?;
    if !is_object {
        return Err(RequestRefusal::new(Code::WrongType, RequestField::Body));
    }
    match refused {
        Some(refusal) => Err(refusal),
        None => {
            let request = finish(read.fields, read.attributes, unknown);
            let signature = read.signature;
            Ok(ProvenRequest { request, key: None, signature, words: None })
        }
    }
}

/// What a body has said so far.
pub(super) struct BodyFields<'a, 'k> {
    fields: DecideFields<'a>,
    attributes: Attributes<'a>,
    signature: Option<&'a str>,
    reading: EventContext<'a, 'k>,
}

impl<'a, 'k> BodyFields<'a, 'k> {
    pub(super) fn new(reading: EventContext<'a, 'k>) -> BodyFields<'a, 'k> {
        let attributes = BumpVec::new_in(reading.bump);
        BodyFields { fields: DecideFields::default(), attributes, signature: None, reading }
    }

    /// Takes a member that is not `attrs`.
    pub(super) fn take(
        &mut self,
        name: &'a str,
        value: Json<'a>,
        unknown: &mut Unknown<'a>,
    ) -> Result<(), RequestRefusal> {
        let fields = &mut self.fields;
        match (name, value) {
            (name, Json::Null) if MEMBERS.contains(&name) => {}
            ("user", value) => fields.user = Some(user(text_of(value, RequestField::User)?)?),
            ("sig", value) => self.signature = Some(text_of(value, RequestField::Sig)?),
            ("placement", value) => {
                fields.placement = Some(name_of(value, RequestField::Placement)?)
            }
            ("session", value) => {
                fields.session = Some(session(text_of(value, RequestField::Session)?)?);
            }
            ("locale", value) => fields.locale = Some(name_of(value, RequestField::Locale)?),
            ("tz", value) => fields.tz = Some(name_of(value, RequestField::Tz)?),
            ("explain", Json::Boolean(explain)) => fields.explain = Some(explain),
            ("explain", _) => {
                return Err(RequestRefusal::new(Code::WrongType, RequestField::Explain));
            }
            ("events", Json::List(list)) => {
                let (reading, field) = (self.reading, RequestField::Events);
                fields.events = events::read_list(list, field, reading, unknown)?;
            }
            ("events", _) => {
                return Err(RequestRefusal::new(Code::WrongType, RequestField::Events));
            }
            (name, _) => unknown.add(name),
        }
        Ok(())
    }

    /// Takes the attributes, which the cursor stands before; the outer error is of no JSON.
    pub(super) fn take_attributes(
        &mut self,
        cursor: &mut JsonCursor<'a>,
    ) -> Result<Result<(), RequestRefusal>, Code> {
        let (attributes, bump) = (&mut self.attributes, self.reading.bump);
        let mut pushed = Ok(());
        let other = cursor.member_object(|name, value| {
            // An attribute that is null is an absent one.
            if !matches!(value, Json::Null) && pushed.is_ok() {
                let value = match value {
                    Json::Text(text) => AttributeValue::Scalar(text),
                    other => value_of(&other, bump),
                };
                pushed = push_attribute(attributes, name, value);
            }
        })?;
        Ok(match other {
            None => pushed,
            Some(Json::Null) => Ok(()),
            Some(_) => Err(RequestRefusal::new(Code::WrongType, RequestField::Attrs)),
        })
    }
}

impl<'a> BodyFields<'a, '_> {
    /// What it comes to, and whether it names a placement.
    pub(super) fn finish(self, unknown: Unknown<'a>) -> (DecideRequest<'a>, bool) {
        let has_placement = self.fields.placement.is_some_and(|placement| !placement.is_empty());
        (finish(self.fields, self.attributes, unknown), has_placement)
    }
}

/// Reads the object of attributes alone, as [`read_body`] reads its `attrs`.
///
/// # Errors
/// 400: what [`json::parse`] refuses, `wrong_type` and `too_many`.
pub fn read_attributes<'a>(
    json: &'a [u8],
    bump: &'a Bump,
) -> Result<&'a [(&'a str, AttributeValue<'a>)], RequestRefusal> {
    let mut attributes = BumpVec::new_in(bump);
    match json::parse(json, bump)? {
        Json::Object(attrs) => push_attributes(&mut attributes, attrs, bump)?,
        Json::Null => {}
        _ => return Err(RequestRefusal::new(Code::WrongType, RequestField::Attrs)),
    }
    Ok(attributes.into_bump_slice())
}

fn push_attributes<'a>(
    attributes: &mut Attributes<'a>,
    attrs: &'a [(&'a str, Json<'a>)],
    bump: &'a Bump,
) -> Result<(), RequestRefusal> {
    // An attribute that is null is an absent one.
    for (name, value) in attrs.iter().filter(|(_, value)| *value != Json::Null) {
        push_attribute(attributes, name, value_of(value, bump))?;
    }
    Ok(())
}

fn text_of(value: Json<'_>, field: RequestField) -> Result<&str, RequestRefusal> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(RequestRefusal::new(Code::WrongType, field)),
    }
}

fn name_of(value: Json<'_>, field: RequestField) -> Result<&str, RequestRefusal> {
    text(text_of(value, field)?, field)
}

/// An attribute's value. A member of a list is in its place even where it is null.
fn value_of<'a>(value: &Json<'a>, bump: &'a Bump) -> AttributeValue<'a> {
    match *value {
        Json::Text(text) | Json::Number(text) => AttributeValue::Scalar(text),
        Json::Boolean(boolean) => AttributeValue::Scalar(if boolean { "true" } else { "false" }),
        Json::List(list) => {
            let values = list.iter().map(|member| value_of(member, bump));
            AttributeValue::List(bump.alloc_slice_fill_iter(values))
        }
        Json::Null | Json::Object(_) => AttributeValue::Other,
    }
}

/// A user's id: 1 to 128 bytes without control characters.
pub(super) fn user(text: &str) -> Result<&str, RequestRefusal> {
    let text = bounded(text, USER_BYTES_MAX, RequestField::User)?;
    if text.is_empty() {
        return Err(RequestRefusal::new(Code::Empty, RequestField::User));
    }
    let unusual = |word: Word| word.below(b' ') | word.equal(0x7f) | word.not_ascii();
    let is_plain = word::position(text.as_bytes(), unusual) == text.len();
    if !is_plain && text.chars().any(char::is_control) {
        return Err(RequestRefusal::new(Code::ControlCharacter, RequestField::User));
    }
    Ok(text)
}

/// A placement, locale or zone: up to 128 bytes.
fn text(text: &str, field: RequestField) -> Result<&str, RequestRefusal> {
    bounded(text, NAME_BYTES_MAX, field)
}

/// A session: up to 1,024 bytes.
fn session(text: &str) -> Result<&str, RequestRefusal> {
    bounded(text, SESSION_BYTES_MAX, RequestField::Session)
}

fn bounded(text: &str, bytes_max: usize, field: RequestField) -> Result<&str, RequestRefusal> {
    if text.len() > bytes_max { Err(RequestRefusal::new(Code::TooLong, field)) } else { Ok(text) }
}

fn finish<'a>(
    fields: DecideFields<'a>,
    attributes: Attributes<'a>,
    unknown: Unknown<'a>,
) -> DecideRequest<'a> {
    // A template that leaves a place empty has nothing to say there.
    let said = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
    DecideRequest {
        context: Context {
            user: fields.user.unwrap_or(""),
            placement: said(fields.placement).unwrap_or(PLACEMENT_DEFAULT),
            session: said(fields.session),
            locale: said(fields.locale),
            tz: said(fields.tz),
            attributes: attributes.into_bump_slice(),
        },
        anonymous: fields.user.is_none(),
        is_preview: false,
        explain: fields.explain.unwrap_or(false),
        events: fields.events,
        ignored: unknown.finish(),
    }
}
