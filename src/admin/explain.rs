//! `GET /v1/explain`: the real decision on the real state, at any moment, recorded nowhere.

use bumpalo::Bump;
use serde_json::{Value, json};

use super::answer::Answer;
use super::input::{self, BadInput, told};
use super::service::Service;
use super::users;
use crate::api::decide::read_query;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Snapshot;
use crate::decide::choose::{Decision, decide, explain};
use crate::decide::context::Context;
use crate::state::user::UserState;

/// Answers `user placement session locale tz attr.NAME at`, all as the data API reads them.
pub(super) fn answer(service: &Service, query: &str) -> Answer {
    let bump = Bump::new();
    let (context, at) = match read(query, &bump) {
        Ok(asked) => asked,
        Err(bad) => return bad.into(),
    };
    let state = match users::read(service, context.user) {
        Ok(state) => state,
        Err(answer) => return answer,
    };
    let at = at.unwrap_or_else(|| service.now());
    Answer::json(200, &explained(&service.publisher.snapshot(), &state, &context, at))
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
fn explained(snapshot: &Snapshot, state: &UserState, context: &Context<'_>, at: WallMs) -> Value {
    let mut gates = Vec::new();
    explain(snapshot, state, context, at, &mut gates);
    let popup_at = |index: u32| {
        let index = usize::try_from(index).expect("an index of a vector");
        &snapshot.popups[index]
    };
    let candidates: Vec<Value> = gates
        .iter()
        .map(|(index, gate)| {
            json!({ "id": popup_at(*index).id, "gate": gate.map(|gate| gate.as_str()) })
        })
        .collect();
    let (popup, variant, reason, next_in_s) = match decide(snapshot, state, context, at) {
        Decision::Show { popup, variant } => {
            let popup = popup_at(popup);
            let key = &popup.variants[variant].key;
            (Some(&popup.id), (!key.is_empty()).then_some(key), None, None)
        }
        Decision::Nothing { reason, next_in_s } => (None, None, Some(reason.as_str()), next_in_s),
    };
    json!({
        "user": context.user,
        "placement": context.placement,
        "at": told(at),
        "popup": popup,
        "variant": variant,
        "reason": reason,
        "next_in": next_in_s,
        "candidates": candidates,
    })
}
