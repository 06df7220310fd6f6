//! `GET /v1/explain`: the real decision on the real state, at any moment, recorded nowhere; with
//! what stands behind each gate. `reasons` puts facts into words.

use bumpalo::Bump;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::input::{self, BadInput};
use super::service::Service;
use super::users;
use nudged_api::decide::read_query;
use nudged_base::time::WallMs;
use nudged_domain::catalog::schedule::zone_named;
use nudged_domain::catalog::snapshot::Popup;
use nudged_domain::decide::choose::{Decision, decide};
use nudged_domain::decide::context::Context;
use nudged_domain::decide::facts;
use nudged_domain::decide::gates::Visit;
use nudged_domain::decide::timetable::Timetable;
use nudged_domain::state::user::UserState;
use nudged_publish::publisher::Published;

pub(super) mod reasons;

use reasons::{Explainer, HeldBack};

/// Said of a user for whom this is not what is answered.
const PREVIEWED: &str = "this user is listed in [preview] users: named with a server key or a valid \
                         sig, they get drafts too, as if nothing had been shown yet; this explains \
                         what they would get without";

/// Answers `user placement session locale tz attr.NAME at`, all as the data API reads them.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, query: &str) -> Result<AdminAnswer, AdminAnswer> {
    let bump = Bump::new();
    let (context, at) = read(query, &bump)?;
    let state = users::read(service, context.user)?;
    let at = at.unwrap_or_else(|| service.now());
    let mut explained = explained(&service.publisher.current(), &state, &context, at);
    if service.publisher.config().preview.users.iter().any(|user| user == context.user) {
        let warnings = explained["warnings"].as_array_mut().expect("it is a list");
        warnings.push(json!(PREVIEWED));
    }
    Ok(AdminAnswer::json(200, &explained))
}

fn read<'a>(query: &'a str, bump: &'a Bump) -> Result<(Context<'a>, Option<WallMs>), BadInput> {
    let asked = read_query(query, bump)?;
    if asked.anonymous {
        return Err(BadInput::new("empty", "user"));
    }
    let [at] = input::fields(query, ["at"], bump)?;
    let at = at.map(|text| input::moment(text, "at")).transpose()?;
    Ok((asked.context, at))
}

/// What would be decided, and at which gate each popup of the catalog stands.
fn explained(published: &Published, state: &UserState, context: &Context<'_>, at: WallMs) -> Value {
    let snapshot = &*published.snapshot;
    let (zone, warnings) = zone_of(context.tz);
    let explainer = Explainer { context, settings: &snapshot.settings, now: at, zone: &zone };
    let mut visit = Visit::new(snapshot, state, context, at);
    let candidates: Vec<Value> = snapshot
        .popups
        .iter()
        .map(|popup| candidate(published, popup, &mut visit, (&explainer, state)))
        .collect();
    let (popup, variant, reason, next_in_s) =
        match decide(snapshot, &Timetable::default(), state, context, at) {
            Decision::Show { popup, variant } => {
                let popup = usize::try_from(popup).expect("an index of a vector");
                let popup = &snapshot.popups[popup];
                let key = &popup.variants[variant].key;
                (Some(&popup.id), (!key.is_empty()).then_some(key), None, None)
            }
            Decision::Nothing { reason, next_in_s } => {
                (None, None, Some(reason.as_str()), next_in_s)
            }
        };
    json!({
        "user": context.user,
        "placement": context.placement,
        "at": input::moment_json(at),
        "tz": zone.iana_name().unwrap_or("UTC"),
        "popup": popup,
        "variant": variant,
        "reason": reason,
        "next_in": next_in_s,
        "warnings": warnings,
        "candidates": candidates,
    })
}

/// The request's zone, and what is to be said where it is none.
pub(super) fn zone_of(name: Option<&str>) -> (TimeZone, Vec<String>) {
    match name.map(|name| (name, zone_named(name))) {
        None => (TimeZone::UTC, Vec::new()),
        Some((_, Some(zone))) => (zone.clone(), Vec::new()),
        Some((name, None)) => {
            let warning = format!(
                "tz: {name:?} is not a zone of the tz database, such as \"Europe/Berlin\": it \
                 counts as UTC"
            );
            (TimeZone::UTC, vec![warning])
        }
    }
}

fn candidate<'a>(
    published: &'a Published,
    popup: &'a Popup,
    visit: &mut Visit<'a>,
    (explainer, state): (&Explainer<'_>, &UserState),
) -> Value {
    let Some(failure) = visit.failure(popup) else {
        return json!({ "id": popup.id, "gate": null });
    };
    let definition: Value = published
        .find(&popup.id)
        .and_then(|known| serde_json::from_str(&known.stored.text).ok())
        .unwrap_or_default();
    let fact = facts::of(popup, failure, state, explainer.context, explainer.now);
    let HeldBack { why, facts } = explainer.explain((popup, failure), &definition, &fact);
    json!({
        "id": popup.id,
        "gate": failure.gate.as_str(),
        "opens_at": failure.opens_at.map(|at| explainer.moment(at)),
        "why": why,
        "facts": facts,
    })
}
