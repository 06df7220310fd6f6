//! `/v1/preview`: what one popup would put on screen, whatever its status, and what would hold it
//! back. Owns the request and what came of it. Nothing is recorded.

use bumpalo::Bump;

use super::decide::BodyFields;
use super::events::EventContext;
use super::ignored::{Ignored, Unknown};
use super::json::{self, Json};
use super::refusal::{Code, RequestField, RequestRefusal};
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::bucket;
use nudged_domain::decide::choose;
use nudged_domain::decide::context::Context;
use nudged_domain::decide::gates::{Gate, Visit};
use nudged_domain::state::user::UserState;

/// A popup that is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookRequest<'a> {
    /// The popup's id.
    pub popup: &'a str,
    /// For whom; an empty placement is the popup's own first one.
    pub context: Context<'a>,
    /// Whether a user is named, whose state counts.
    pub has_user: bool,
    /// What its query says that nobody knows.
    pub ignored: Ignored<'a>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked<'a> {
    /// The popup's place in the catalog; `None` where there is none of the id.
    pub popup: Option<u32>,
    /// The place of the user's variant.
    pub variant: usize,
    /// Which of the variant's locales would be shown; `None` for its own content.
    pub locale: Option<usize>,
    /// Every gate that holds it back, with when it opens; `None` for never, or not by time.
    pub gates: &'a [(Gate, Option<WallMs>)],
    /// The user's state could not be read: the gates are those of somebody never shown anything.
    pub is_degraded: bool,
    /// Names in the request that nobody knows.
    pub ignored: &'a [&'a str],
}

/// Reads `{"popup","user","placement","session","locale","tz","attrs":{}}`.
///
/// # Errors
/// 400: what a decision's body is refused for, and `popup` where it is missing or no text.
pub(super) fn read_body<'a>(
    body: &'a [u8],
    reading: EventContext<'a, '_>,
    mut unknown: Unknown<'a>,
) -> Result<LookRequest<'a>, RequestRefusal> {
    let (mut read, mut popup, mut refused) = (BodyFields::new(reading), None, None);
    let is_object = json::read_object(body, reading.bump, |name, cursor| {
        // What is no JSON is refused before what is not as it should be, wherever that stands.
        let taken = match name {
            "attrs" => read.take_attributes(cursor)?,
            "user" | "placement" | "session" | "locale" | "tz" => {
                read.take(name, cursor.member()?, &mut unknown)
            }
            "popup" => match cursor.member()? {
                Json::Text(id) => {
                    popup = Some(id);
                    Ok(())
                }
                _ => Err(RequestRefusal::new(Code::WrongType, RequestField::Popup)),
            },
            _ => {
                cursor.member()?;
                unknown.add(name);
                Ok(())
            }
        };
        refused = refused.or(taken.err());
        Ok(())
    })?;
    if !is_object {
        return Err(RequestRefusal::new(Code::WrongType, RequestField::Body));
    }
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    let popup = popup.filter(|popup| !popup.is_empty());
    let popup = popup.ok_or(RequestRefusal::new(Code::Empty, RequestField::Popup))?;
    let (request, has_placement) = read.finish(unknown);
    let placement = if has_placement { request.context.placement } else { "" };
    let context = Context { placement, ..request.context };
    Ok(LookRequest { popup, context, has_user: !request.anonymous, ignored: request.ignored })
}

impl<'a> LookRequest<'a> {
    /// What is seen of a popup of this catalog, by a user of this state. Allocates: rare enough.
    pub fn look(
        &self,
        snapshot: &Snapshot,
        state: &UserState,
        now: WallMs,
        bump: &'a Bump,
    ) -> Looked<'a> {
        let none = Looked {
            popup: None,
            variant: 0,
            locale: None,
            gates: &[],
            is_degraded: false,
            ignored: self.ignored.names,
        };
        let index = (0_u32..).zip(&snapshot.popups).find(|(_, popup)| *popup.id == *self.popup);
        let Some((index, popup)) = index else { return none };
        let placement = match self.context.placement {
            "" => &*popup.placements[0],
            named => named,
        };
        let context = Context { placement, ..self.context };
        let mut visit = Visit::new(snapshot, state, &context, now);
        let failures = visit.failures(popup).into_iter();
        // Nobody is in no share of the users.
        let counts = |gate: Gate| self.has_user || gate != Gate::Rollout;
        let failures = failures.filter(|failure| counts(failure.gate));
        let failures: Vec<_> = failures.map(|failure| (failure.gate, failure.opens_at)).collect();
        let variant = bucket::variant(popup, self.context.user);
        let locale = choose::locale(&popup.variants[variant], self.context.locale);
        let gates = bump.alloc_slice_copy(&failures);
        Looked { popup: Some(index), variant, locale, gates, ..none }
    }
}
