//! What all admin routes share: who may ask, the node's time, and the ways to shards and SQL. Turns
//! a request into an answer on the thread of its connection, which may block.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::answer::AdminAnswer;
use super::arbiter::RedisMetrics;
use super::changes::{self, ChangeRequest};
use super::routes::AdminRoute;
use super::token::AdminToken;
use super::unread::Unread;
use super::{AdminSetup, explain, history, metrics, popups, stats, status, store_refusal, users};
use nudged_base::clock::NodeClock;
use nudged_base::limits::{ADMIN_REFUSAL_DELAY_MS, ADMIN_REFUSALS_MAX, ADMIN_SQL_SILENCE_MS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::overrides::OverrideKind;
use nudged_http::head::{Method, Request};
use nudged_publish::publisher::{OverrideRequest, PublishError, Publisher, Reloaded};
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::threads::log_writer::stamp_now;
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_runtime::topology::Topology;
use nudged_store::{StoreError, StoreReader};

/// The description of both APIs.
const OPENAPI: &str = include_str!("openapi.json");

/// The admin side of a node.
pub(super) struct Service {
    pub(super) topology: Topology,
    pub(super) connections_max: u32,
    pub(super) mesh: Arc<Mesh>,
    pub(super) counters: Vec<Arc<ShardCounters>>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) figures: Arc<WriterFigures>,
    pub(super) redis: Option<RedisMetrics>,
    /// When this process took up its service.
    pub(super) started: (MonoNs, WallMs),
    pub(super) log: Log,
    token: Option<AdminToken>,
    /// The one connection that reads rows for people, while nobody has it.
    readers: (Sender<StoreReader>, Receiver<StoreReader>),
    clock: Mutex<NodeClock>,
    clock_ahead_ms: AtomicI64,
    ready: Arc<AtomicBool>,
    refusals: PendingRefusals,
    pub(super) unread: Unread,
}

/// Requests that wait for their refusal, at most [`ADMIN_REFUSALS_MAX`].
#[derive(Debug, Default)]
struct PendingRefusals(AtomicUsize);

/// A place among them, until it is dropped.
struct RefusalSlot<'r>(&'r PendingRefusals);

/// The connection that reads, until it is dropped.
pub(super) struct ReaderLease<'s> {
    reader: Option<StoreReader>,
    free: &'s Sender<StoreReader>,
}

impl std::ops::Deref for ReaderLease<'_> {
    type Target = StoreReader;

    fn deref(&self) -> &StoreReader {
        self.reader.as_ref().expect("it goes when this is dropped")
    }
}

impl Drop for ReaderLease<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            let is_back = self.free.try_send(reader).is_ok();
            debug_assert!(is_back, "there is room for the one that was taken");
        }
    }
}

impl PendingRefusals {
    /// A place, where one is free.
    fn enter(&self) -> Option<RefusalSlot<'_>> {
        let step = |waiting| (waiting < ADMIN_REFUSALS_MAX).then_some(waiting + 1);
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, step)
            .ok()
            .map(|_| RefusalSlot(self))
    }
}

impl Drop for RefusalSlot<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Service {
    pub(super) fn new(mut setup: AdminSetup, token: Option<AdminToken>) -> Service {
        setup.reader.answer_within(Duration::from_millis(ADMIN_SQL_SILENCE_MS));
        let readers = bounded(1);
        readers.0.try_send(setup.reader).expect("there is room for one");
        Service {
            topology: setup.topology,
            connections_max: setup.connections_max,
            mesh: setup.mesh,
            counters: setup.counters,
            publisher: setup.publisher,
            figures: setup.figures,
            redis: setup.redis,
            started: (clocks::mono(), clocks::wall()),
            log: setup.log,
            token,
            readers,
            clock: Mutex::new(setup.clock),
            clock_ahead_ms: AtomicI64::new(0),
            ready: Arc::new(AtomicBool::new(true)),
            refusals: PendingRefusals::default(),
            unread: Unread::default(),
        }
    }

    /// Whether the node takes traffic; false from the moment it stops.
    pub(super) fn ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ready)
    }

    /// Whether the node takes traffic: not where Redis can't be used as it is set up, which asks
    /// for an operator, and not while its own disk takes nothing.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
            && self.mesh.redis_status.takes_traffic()
            && self.mesh.journal.lack().is_none()
    }

    /// Looks at the wall clock, as each shard does.
    pub(super) fn observe_clock(&self) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead_ms = clock.observe(clocks::mono(), clocks::wall());
        self.clock_ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// The node's time.
    pub(super) fn now(&self) -> WallMs {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).at(clocks::mono())
    }

    /// How far the node's time is ahead of the wall clock, in milliseconds.
    pub(super) fn clock_ahead_ms(&self) -> i64 {
        -self.clock_ahead_ms.load(Ordering::Relaxed)
    }

    /// The connection that reads rows for people; others may have it for a while.
    ///
    /// # Errors
    /// 503 where they have it for longer than SQL may be silent.
    pub(super) fn reader(&self) -> Result<ReaderLease<'_>, AdminAnswer> {
        let (free, readers) = &self.readers;
        let reader = readers.recv_timeout(Duration::from_millis(ADMIN_SQL_SILENCE_MS));
        let reader = reader.map_err(|_| AdminAnswer::unavailable("sql_busy"))?;
        Ok(ReaderLease { reader: Some(reader), free })
    }

    /// Logs a message, now.
    pub(super) fn log(&self, message: Message, fields: &[LogField<'_>]) {
        self.log.write(stamp_now(), message, fields);
    }

    /// Answers where SQL failed.
    pub(super) fn sql_failed(&self, error: &StoreError) -> AdminAnswer {
        self.log_read_failed(error);
        let (status, code) = store_refusal::status_of(error);
        AdminAnswer::errors(status, code, None, &[error.to_string()])
    }

    /// Logs that SQL could not be read.
    pub(super) fn log_read_failed(&self, error: &StoreError) {
        let text = error.to_string();
        self.log(Message::ReadFailed, &[("error", LogValue::Text(&text))]);
    }

    /// Answers a request of `peer`.
    pub(super) fn answer(&self, request: &Request<'_>, peer: &str) -> AdminAnswer {
        match self.admit(request, peer) {
            Ok(route) if request.method == Method::Options => AdminAnswer::options(route.allow()),
            Ok(route) => self.dispatch(route, request, peer),
            Err(refused) => refused,
        }
    }

    /// The route of a request, unless its head says that it is refused.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(super) fn admit<'r>(
        &self,
        request: &Request<'r>,
        peer: &str,
    ) -> Result<AdminRoute<'r>, AdminAnswer> {
        let route = AdminRoute::of(request.path);
        // Balancers ask so whatever path they are told, and mean the server.
        if request.method == Method::Options {
            return Ok(route.unwrap_or(AdminRoute::Any));
        }
        let is_open = route.is_some_and(AdminRoute::is_open);
        if !is_open && !self.is_authorized(request) {
            return Err(self.refuse(peer));
        }
        let Some(route) = route else { return Err(AdminAnswer::not_found()) };
        if !route.takes(request.method) {
            return Err(AdminAnswer::method_not_allowed(route.allow()));
        }
        // Browsers say from where a page writes; no page has business here, and one that an
        // operator happens to visit must not reach a listener on loopback.
        let is_write = matches!(request.method, Method::Post | Method::Put | Method::Delete);
        if is_write && request.origin.is_some() {
            return Err(AdminAnswer::error(403, "cross_origin", None));
        }
        Ok(route)
    }

    fn dispatch(&self, route: AdminRoute<'_>, request: &Request<'_>, peer: &str) -> AdminAnswer {
        let change =
            |asked: ChangeRequest, id: &str| changes::answer(self, (asked, id), request, peer);
        match route {
            AdminRoute::Health => AdminAnswer::text("application/json", "{\"status\":\"ok\"}"),
            AdminRoute::Readyz => status::readiness(self),
            AdminRoute::OpenApi => AdminAnswer::text("application/json", OPENAPI),
            AdminRoute::Metrics => metrics::answer(self),
            AdminRoute::Status => status::answer(self),
            AdminRoute::Popups => popups::list(self),
            AdminRoute::Popup(id) => match request.method {
                Method::Put => change(ChangeRequest::Put, id),
                Method::Delete => change(ChangeRequest::Delete, id),
                _ => popups::one(self, id),
            },
            AdminRoute::History(id) => history::answer(self, id, request.query),
            AdminRoute::Pause(id) => {
                change(ChangeRequest::Override(OverrideRequest::Set(OverrideKind::Pause)), id)
            }
            AdminRoute::Resume(id) => change(ChangeRequest::Override(OverrideRequest::Resume), id),
            AdminRoute::Archive(id) => {
                change(ChangeRequest::Override(OverrideRequest::Set(OverrideKind::Archive)), id)
            }
            AdminRoute::Rollback(id) => change(ChangeRequest::RollBack, id),
            AdminRoute::User(user) if request.method == Method::Delete => users::erase(self, user),
            AdminRoute::User(user) => users::one(self, user),
            AdminRoute::Explain => explain::answer(self, request.query),
            AdminRoute::Stats => stats::answer(self, request.query),
            AdminRoute::Reload => match changes::author(request.nudge_who, peer) {
                Ok(author) => reloaded(&self.publisher.reload(&author)),
                Err(bad) => bad.into(),
            },
            AdminRoute::Any => AdminAnswer::not_found(),
        }
    }

    fn is_authorized(&self, request: &Request<'_>) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_in(request.authorization))
    }

    /// Refuses late, so that trying tokens is slow; only some may wait at once, so that those who
    /// try do not take every connection.
    fn refuse(&self, peer: &str) -> AdminAnswer {
        self.log(Message::AdminRefused, &[("peer", LogValue::Text(peer))]);
        let Some(_place) = self.refusals.enter() else {
            return AdminAnswer::error(429, "too_many_refusals", None);
        };
        std::thread::sleep(Duration::from_millis(ADMIN_REFUSAL_DELAY_MS));
        AdminAnswer::error(401, "wrong_token", None)
    }
}

/// The answer to a reload.
fn reloaded(outcome: &Result<Reloaded, PublishError>) -> AdminAnswer {
    match outcome {
        Ok(reloaded) => AdminAnswer::json(
            200,
            &serde_json::json!({
                "version": reloaded.version,
                "applied": reloaded.applied,
                "waiting_for_restart": reloaded.waiting,
                "changed": reloaded.is_changed,
                "warnings": reloaded.warnings,
            }),
        ),
        Err(error) => refused(error),
    }
}

/// The answer to a change that was not made, or not confirmed.
pub(super) fn refused(error: &PublishError) -> AdminAnswer {
    let (status, code) = match error {
        PublishError::NoSuchPopup => return AdminAnswer::not_found(),
        PublishError::NoSuchVersion => {
            return AdminAnswer::error(404, "not_found", Some("version"));
        }
        PublishError::Definition(_) => (400, "bad_popup"),
        PublishError::OtherVersion => (412, "other_version"),
        PublishError::Exists => (412, "exists"),
        PublishError::NoEarlierVersion => (409, "no_earlier_version"),
        PublishError::Busy => (503, "busy"),
        PublishError::Archived => (409, "archived"),
        PublishError::OwnStatus(_) => (409, "own_status"),
        PublishError::InOtherFile(_) => (409, "in_popups_file"),
        PublishError::TooManyOverrides(_) => (409, "too_many_overrides"),
        PublishError::Config(_) => (422, "bad_config"),
        PublishError::File { .. } | PublishError::Popups { .. } => (422, "bad_popups"),
        PublishError::Store(error) => store_refusal::status_of(error),
        PublishError::Unconfirmed(_) => (504, "unconfirmed"),
    };
    AdminAnswer::errors(status, code, error.field(), &error.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait_for_their_refusal() {
        let refusals = PendingRefusals::default();
        let mut places: Vec<_> = (0..ADMIN_REFUSALS_MAX).map(|_| refusals.enter()).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(refusals.enter().is_none());
        places.pop();
        assert!(refusals.enter().is_some());
    }
}
