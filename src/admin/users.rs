//! One user for people: what is remembered of them, and how to have it forgotten.

use serde_json::{Value, json};

use super::access::AdminAsker;
use super::answer::AdminAnswer;
use super::input::{self, moment_json};
use super::service::Service;
use nudged_base::ids::UserKey;
use nudged_base::limits::USER_RECORDS_TOLD;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::{ShowOutcome, Snapshot};
use nudged_domain::decide::gates::{NextShow, next_show_at};
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::{self, PopupState, Show, UserState};
use nudged_publish::shards;
use nudged_shard::control::{ControlOutcome, ControlRequest};
use nudged_store::StoredEvent;

/// Asks the shard that owns a user for what it remembers.
pub(super) fn read(service: &Service, user: &str) -> Result<UserState, AdminAnswer> {
    let mut state = UserState::default();
    match ask(service, user, ControlRequest::ReadUser { user: user.into() })? {
        ControlOutcome::State(bytes) if user::decode(&bytes, &mut state).is_ok() => Ok(state),
        _ => Err(AdminAnswer::unavailable("user_unavailable")),
    }
}

fn ask(
    service: &Service,
    user: &str,
    command: ControlRequest,
) -> Result<ControlOutcome, AdminAnswer> {
    let home = UserKey::of(user.as_bytes()).home(service.topology.shards);
    shards::ask(&service.mesh, home, command)
        .map_err(|_| AdminAnswer::unavailable("shard_unavailable"))
}

/// `GET /v1/users/{user}`; `segment` is not decoded yet. Without SQL there are no records, which
/// are null then. `asker` is told tokens of decisions where it may
/// see them.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn one(
    service: &Service,
    segment: &str,
    asker: &AdminAsker,
) -> Result<AdminAnswer, AdminAnswer> {
    let user = input::user(segment)?;
    let state = read(service, &user)?;
    let events = service.reader().map(|reader| reader.user_events(&user, USER_RECORDS_TOLD));
    let records = match events {
        Ok(Ok(events)) => {
            let told = events.iter().map(|event| event_json(event, asker));
            json!(told.collect::<Vec<Value>>())
        }
        // What decisions go by is known all the same, and is what an operator asks for at such
        // times.
        Ok(Err(error)) => {
            service.log_read_failed(&error);
            Value::Null
        }
        Err(_busy) => Value::Null,
    };
    let snapshot = service.publisher.snapshot();
    let now = service.now();
    let popups: Vec<Value> =
        state.popups.iter().map(|entry| entry_json(&snapshot, entry, now)).collect();
    let clocks = &state.clocks;
    let value = json!({
        "user": user,
        "shard": UserKey::of(user.as_bytes()).home(service.topology.shards).0,
        "revision": { "epoch": state.revision.epoch, "counter": state.revision.counter },
        "clocks": {
            "last_counted_at": clocks.last_counted_at.map(moment_json),
            "day_shows": clocks.day_shows,
            "session_shows": clocks.session_shows,
        },
        "popups": popups,
        "records": records,
    });
    Ok(AdminAnswer::json(200, &value))
}

/// `DELETE /v1/users/{user}`: answered when the record of it is acknowledged.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn erase(service: &Service, segment: &str) -> Result<AdminAnswer, AdminAnswer> {
    let user = input::user(segment)?;
    let command = ControlRequest::EraseUser { user: user.as_str().into() };
    let ControlOutcome::Erased { at } = ask(service, &user, command)? else {
        return Err(AdminAnswer::unavailable("user_unavailable"));
    };
    service.log(Message::UserErased, &[("user", LogValue::User(&user))]);
    let config = service.publisher.config();
    let value = json!({
        "erased": true,
        "at": moment_json(at),
        "journal_until": moment_json(at.plus(config.journal.retention)),
        "remains_in": remains_in(config.mysql.url.is_some()),
    });
    Ok(AdminAnswer::json(200, &value))
}

/// Where an erased user's id still is, for those who have to see to it.
fn remains_in(has_server: bool) -> Vec<&'static str> {
    let mut places = vec!["journal segments, until journal_until", "backups made earlier"];
    if has_server {
        places.push("MySQL binary logs, until the server purges them");
    }
    places
}

fn entry_json(snapshot: &Snapshot, entry: &PopupState, now: WallMs) -> Value {
    let popup = snapshot.popup(entry.popup);
    let next_show = popup.map(|popup| match next_show_at(popup, entry, now) {
        NextShow::At(at) => moment_json(at),
        NextShow::Never => json!("never"),
    });
    let shows: Vec<Value> = entry.shows().iter().map(show_json).collect();
    json!({
        // An id that no catalog knows any more is known by its key alone.
        "id": popup.map_or_else(|| format!("{:016x}", entry.popup.0), |popup| popup.id.to_string()),
        "shows": entry.shows_total,
        "last_shows": shows,
        "outcome": entry.outcome.map(ShowOutcome::word),
        "outcome_at": entry.outcome.map(|_| moment_json(entry.outcome_at)),
        "next_show_at": next_show,
    })
}

fn show_json(show: &Show) -> Value {
    let had = |action: &&Action| show.actions & (1 << **action as u8) != 0;
    let actions: Vec<&str> = Action::ALL.iter().filter(had).map(|action| action.as_str()).collect();
    json!({ "number": show.number, "at": moment_json(show.at), "actions": actions })
}

fn event_json(event: &StoredEvent, asker: &AdminAsker) -> Value {
    let mut told = json!({
        "stream": event.stream,
        "seq": event.sequence.0,
        "action": event.action,
        "at": moment_json(event.at),
        "acted_at": moment_json(event.acted_at),
        "popup": event.popup,
        "version": event.version,
        "variant": (!event.variant.is_empty()).then_some(&event.variant),
    });
    if asker.sees_decisions() {
        told["decision"] = json!(event.decision);
    }
    told
}
