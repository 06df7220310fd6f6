//! `POST /v1/preview`: what a popup would put on screen, whatever its status, and what would hold
//! it back. The popup is one that is stored, its draft, or a definition that nobody has stored yet.
//! Records nothing: a user's state is read, and left as it is.

use std::sync::Arc;

use bumpalo::Bump;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::explain::reasons::{Explainer, HeldBack};
use super::explain::zone_of;
use super::input::{self, BadInput};
use super::service::Service;
use super::users;
use nudged_api::decide::read_attributes;
use nudged_base::limits::{NAME_BYTES_MAX, SESSION_BYTES_MAX};
use nudged_base::time::WallMs;
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::lint::lint;
use nudged_domain::catalog::snapshot::{Popup, Snapshot, Status};
use nudged_domain::catalog::source::{Definition, Format, parse_json_popup, parse_popup};
use nudged_domain::decide::bucket;
use nudged_domain::decide::choose::content;
use nudged_domain::decide::context::Context;
use nudged_domain::decide::facts;
use nudged_domain::decide::gates::{Gate, Visit};
use nudged_domain::state::user::UserState;
use nudged_publish::publisher::PublishError;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `popup`")]
struct PreviewRequest<'a> {
    /// An id, or a definition.
    #[serde(borrow)]
    popup: &'a RawValue,
    /// The popup's draft, and not what it is.
    #[serde(default)]
    draft: bool,
    /// The variant; without it the user's.
    variant: Option<String>,
    user: Option<String>,
    placement: Option<String>,
    session: Option<String>,
    locale: Option<String>,
    tz: Option<String>,
    #[serde(borrow)]
    attrs: Option<&'a RawValue>,
    /// RFC 3339, or milliseconds since 1970.
    at: Option<Value>,
}

/// The popup that is looked at.
struct PreviewSubject {
    definition: Arc<Definition>,
    /// None of what nobody has published.
    version: Option<u32>,
    status: Status,
}

/// What would be on screen.
#[derive(Serialize)]
struct PreviewedPopup<'a> {
    id: &'a str,
    version: Option<u32>,
    variant: Option<&'a str>,
    content: &'a RawValue,
}

/// The answer.
#[derive(Serialize)]
struct Preview<'a> {
    popup: PreviewedPopup<'a>,
    status: &'static str,
    /// Whether no gate would hold it back.
    would_pass: bool,
    /// Every gate that would.
    gates: Vec<Value>,
    warnings: Vec<String>,
}

/// Answers; records nothing.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn answer(service: &Service, body: &[u8]) -> Result<AdminAnswer, AdminAnswer> {
    let request = read(body)?;
    let at = moment(request.at.as_ref())?.unwrap_or_else(|| service.now());
    let state = match &request.user {
        Some(user) => users::read(service, user)?,
        None => UserState::default(),
    };
    let subject = subject(service, &request)?;
    let settings = service.publisher.snapshot().settings.clone();
    let entry = CatalogEntry {
        definition: &subject.definition,
        version: subject.version.unwrap_or(0),
        status: subject.status,
    };
    let snapshot = compile(&[entry], settings, 1).map_err(PublishError::Definition)?;
    let bump = Bump::new();
    let attributes = match request.attrs {
        Some(attrs) => read_attributes(attrs.get().as_bytes(), &bump).map_err(BadInput::from)?,
        None => &[],
    };
    let popup = &snapshot.popups[0];
    let context = Context {
        user: request.user.as_deref().unwrap_or_default(),
        placement: request.placement.as_deref().unwrap_or(&popup.placements[0]),
        session: request.session.as_deref(),
        locale: request.locale.as_deref(),
        tz: request.tz.as_deref(),
        attributes,
    };
    let (zone, mut warnings) = zone_of(context.tz);
    warnings.extend(lint(&snapshot).iter().map(ToString::to_string));
    let explainer =
        Explainer { context: &context, settings: &snapshot.settings, now: at, zone: &zone };
    let gates = gates(&snapshot, &subject, (&explainer, &state), request.user.is_some());
    let variant = variant_of(popup, &request)?;
    let shown = &popup.variants[variant];
    let content = content(shown, context.locale);
    let preview = Preview {
        popup: PreviewedPopup {
            id: &popup.id,
            version: subject.version,
            variant: (!shown.key.is_empty()).then_some(&shown.key),
            content: serde_json::from_str(&content.0).expect("content was read as JSON"),
        },
        status: subject.status.word(),
        would_pass: gates.is_empty(),
        gates,
        warnings,
    };
    Ok(AdminAnswer::json(200, &preview))
}

fn read(body: &[u8]) -> Result<PreviewRequest<'_>, AdminAnswer> {
    let read: Result<PreviewRequest<'_>, _> = serde_json::from_slice(body);
    let mut request = read.map_err(|error| {
        AdminAnswer::errors(400, "bad_json", Some("body"), &[error.to_string()])
    })?;
    if let Some(user) = &request.user {
        input::check_user(user)?;
    }
    let texts = [
        ("placement", &mut request.placement, NAME_BYTES_MAX),
        ("locale", &mut request.locale, NAME_BYTES_MAX),
        ("tz", &mut request.tz, NAME_BYTES_MAX),
        ("session", &mut request.session, SESSION_BYTES_MAX),
    ];
    for (field, text, bytes_max) in texts {
        // As requests for decisions have them: an empty one is none.
        text.take_if(|text| text.is_empty());
        if text.as_ref().is_some_and(|text| text.len() > bytes_max) {
            return Err(BadInput::new("too_long", field).into());
        }
    }
    Ok(request)
}

fn moment(at: Option<&Value>) -> Result<Option<WallMs>, BadInput> {
    match at {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => input::moment(text, "at").map(Some),
        Some(Value::Number(number)) => input::moment(&number.to_string(), "at").map(Some),
        Some(_) => Err(BadInput::new("bad_value", "at")),
    }
}

/// The popup that a request names, or has with it.
///
/// # Errors
/// 404 where there is none, and every error of a definition.
fn subject(service: &Service, request: &PreviewRequest<'_>) -> Result<PreviewSubject, AdminAnswer> {
    let Ok(id) = serde_json::from_str::<String>(request.popup.get()) else {
        if request.draft {
            return Err(BadInput::new("bad_value", "draft").into());
        }
        return unstored(request.popup.get());
    };
    let published = service.publisher.current();
    if request.draft {
        let draft = service.reader()?.draft(&id).map_err(|error| service.sql_failed(&error))?;
        let text = draft.ok_or(PublishError::NoDraft)?.text;
        let definition = Arc::new(parse_json_popup(&text).map_err(PublishError::Definition)?);
        let status = definition.status();
        return Ok(PreviewSubject { definition, version: None, status });
    }
    let known = published.find(&id).ok_or_else(AdminAnswer::not_found)?;
    let definition = Arc::clone(&known.definition);
    Ok(PreviewSubject { definition, version: Some(known.stored.version), status: known.status })
}

/// A definition that nobody has stored; without an id it has one for the while.
fn unstored(text: &str) -> Result<PreviewSubject, AdminAnswer> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
    }
    let named: Option<Named> = serde_json::from_str(text).ok();
    let id = named.and_then(|named| named.id).unwrap_or_else(|| "preview".to_owned());
    let definition = parse_popup(text, Format::Json, &id).map_err(PublishError::Definition)?;
    let status = definition.status();
    Ok(PreviewSubject { definition: Arc::new(definition), version: None, status })
}

/// The variant that is asked for, or the user's.
fn variant_of(popup: &Popup, request: &PreviewRequest<'_>) -> Result<usize, BadInput> {
    let Some(wanted) = &request.variant else {
        return Ok(bucket::variant(popup, request.user.as_deref().unwrap_or_default()));
    };
    let place = popup.variants.iter().position(|variant| *variant.key == **wanted);
    place.ok_or(BadInput::new("bad_value", "variant"))
}

/// Every gate that would hold the popup back.
fn gates<'a>(
    snapshot: &'a Snapshot,
    subject: &PreviewSubject,
    (explainer, state): (&Explainer<'a>, &'a UserState),
    has_user: bool,
) -> Vec<Value> {
    let popup = &snapshot.popups[0];
    let text = subject.definition.canonical_json();
    let definition: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut visit = Visit::new(snapshot, state, explainer.context, explainer.now);
    // Nobody is in no share of the users.
    let counts = |gate: Gate| has_user || gate != Gate::Rollout;
    let failures = visit.failures(popup).into_iter().filter(|failure| counts(failure.gate));
    let told = failures.map(|failure| {
        let fact = facts::of(popup, failure, state, explainer.context, explainer.now);
        let HeldBack { why, facts } = explainer.explain((popup, failure), &definition, &fact);
        json!({
            "gate": failure.gate.as_str(),
            "opens_at": failure.opens_at.map(|at| explainer.moment(at)),
            "why": why,
            "facts": facts,
        })
    });
    told.collect()
}
