//! Pause, archive and resume, followed: each shard, each place and each node is told of as it has
//! the change, and at the end what is answered without that.
//!
//! ```text
//! shards ─ a thread that waits for them ─► shard ┐
//! file, Redis, SQL ──────────────────────► stored ├─► events ─► done
//! other nodes, by what they say ─────────► node  ┘
//! ```
//!
//! Limit: [`OVERRIDES_FOLLOWED_MS`].

use std::sync::{Arc, mpsc};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::answer::AdminAnswer;
use super::events::EventWriter;
use super::nodes::{seen, seen_json};
use super::popups::popup_json;
use super::service::Service;
use super::stream::AdminStream;
use nudged_base::limits::{ADMIN_CLOCK_PERIOD_MS, OVERRIDES_FOLLOWED_MS};
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_publish::publisher::{
    EditContext, ExpectedVersion, HeldOverrides, Overridden, OverrideRequest, PublishError,
};
use nudged_publish::shards::ShardAnswered;

/// What is to be followed.
#[derive(Debug)]
pub(super) struct FollowedOverride {
    /// The popup's id.
    pub(super) id: String,
    /// Whom it is put down to.
    pub(super) who: String,
    /// The version that the popup must have.
    pub(super) expected: Option<ExpectedVersion>,
    /// What is asked.
    pub(super) asked: OverrideRequest,
}

/// Whom it is told to. Who has gone is not told any more; what he asked for is done all the same.
struct Told<'s>(Option<EventWriter<'s, AdminStream>>);

impl Told<'_> {
    fn send(&mut self, name: &str, data: &impl Serialize) {
        let lost = self.0.as_mut().is_some_and(|events| events.send(name, data).is_err());
        if lost {
            self.0 = None;
        }
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

/// Answers with the head of what tells how far it is.
pub(super) fn answer(service: &Arc<Service>, followed: FollowedOverride) -> AdminAnswer {
    let service = Arc::clone(service);
    AdminAnswer::events(move |stream| run(&service, followed, stream))
}

/// What came of a pause, an archive or a resume.
pub(super) fn override_answer(service: &Service, overridden: &Overridden) -> AdminAnswer {
    let Overridden { known, published, stored, warnings, shards } = overridden;
    let mut body = popup_json(published, known, *stored);
    body.shards = Some(shards.iter().map(shard_json).collect());
    body.nodes = Some(seen(service).iter().map(seen_json).collect());
    body.warnings = (!warnings.is_empty()).then(|| warnings.clone());
    AdminAnswer::json(200, &body).with_tag(known.stored.version)
}

/// A shard that decides by a change, and after how long.
fn shard_json(answered: &ShardAnswered) -> Value {
    json!({ "shard": answered.shard.0, "after_ms": duration_json(answered.after) })
}

/// Carries it out and tells how far it is.
fn run(service: &Service, followed: FollowedOverride, stream: &mut AdminStream) {
    let begun = Instant::now();
    let mut told = Told(EventWriter::on(stream).ok());
    let _followed = service.publisher.follow_nodes();
    match hold(service, &followed, &mut told) {
        Ok(held) => {
            let stored = follow(service, (&followed.id, begun), &mut told);
            let answer = override_answer(service, &service.publisher.overridden(held, stored));
            told.send("done", &body_of(&answer));
        }
        Err(error) => {
            let answer = AdminAnswer::from(error);
            let mut body = body_of(&answer);
            body["status"] = json!(answer.status);
            told.send("error", &body);
        }
    }
}

/// Has every shard decide by it. Whoever waits for shards holds up all other changes, so that he
/// must not wait for a client: a thread of its own does.
fn hold(
    service: &Service,
    followed: &FollowedOverride,
    told: &mut Told<'_>,
) -> Result<HeldOverrides, PublishError> {
    let FollowedOverride { id, who, expected, asked } = followed;
    let context = EditContext { id, who, expected: *expected };
    let publisher = &service.publisher;
    let (sender, heard) = mpsc::channel::<ShardAnswered>();
    let held = thread::scope(|scope| {
        let wait = move || {
            publisher.hold_override(context, *asked, &mut |answered| {
                // Somebody receives until this thread ends.
                let _ = sender.send(answered);
            })
        };
        let waiting = Builder::new().name("admin-override".to_owned()).spawn_scoped(scope, wait);
        let waiting = waiting.ok()?;
        for answered in heard {
            told.send("shard", &shard_json(&answered));
        }
        // A thread that panicked has aborted the process.
        waiting.join().ok()
    });
    // Where the system gives no thread, all shards are told of at once.
    held.unwrap_or_else(|| {
        let mut answers = Vec::new();
        let held = publisher.hold_override(context, *asked, &mut |told| answers.push(told));
        answers.iter().for_each(|answered| told.send("shard", &shard_json(answered)));
        held
    })
}

/// Tells of places and nodes as they have it; how far it is stored at the end.
fn follow(service: &Service, (id, begun): (&str, Instant), told: &mut Told<'_>) -> OverridePlace {
    let until = begun + Duration::from_millis(OVERRIDES_FOLLOWED_MS);
    let mut known: Option<OverridePlace> = None;
    let mut told_nodes: Vec<String> = Vec::new();
    loop {
        let place = service.publisher.await_stored(id, Instant::now());
        if known.is_none_or(|known| known < place) {
            told.send("stored", &json!({ "stored": place.word(), "after_ms": after_ms(begun) }));
            known = Some(place);
        }
        let nodes = seen(service);
        for seen in nodes.iter().filter(|(_, is_seen)| *is_seen) {
            if !told_nodes.contains(&seen.0.node) {
                let mut event = seen_json(seen);
                event["after_ms"] = after_ms(begun);
                told.send("node", &event);
                told_nodes.push(seen.0.node.clone());
            }
        }
        let is_everywhere = place == OverridePlace::Sql && nodes.iter().all(|(_, is)| *is);
        let left = until.saturating_duration_since(Instant::now());
        if is_everywhere || left.is_zero() || !told.is_there() || service.are_streams_over() {
            return place;
        }
        // A stop is looked for now and then; nobody rings for it here.
        let limit = left.min(Duration::from_millis(ADMIN_CLOCK_PERIOD_MS));
        service.publisher.await_further(id, place, limit);
    }
}

/// Milliseconds since something began, to the microsecond.
fn after_ms(begun: Instant) -> Value {
    duration_json(begun.elapsed())
}

/// A duration in milliseconds, to the microsecond.
fn duration_json(duration: Duration) -> Value {
    let us = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    json!(f64::from(us) / 1_000.0)
}

fn body_of(answer: &AdminAnswer) -> Value {
    serde_json::from_slice(&answer.body).expect("an answer is JSON")
}
