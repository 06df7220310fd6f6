//! What is wrong with Redis as the node needs it, gathered from all who ask it, by cause: reported
//! to the log each time, which makes an outage of each; and all of it together for `/v1/status`.
//! Must not know who is told.
//!
//! ```text
//! missing rights, a failed handshake, kinds of refusals, eviction -> causes -> reports
//! ```
//!
//! A kind of refusal is over when nobody was refused so for `REFUSES_FOR_MS`, or the
//! keeper could write since, and nobody was for `REFUSES_WRITTEN_MS`.

use std::collections::BTreeMap;
use std::sync::Arc;

use nudged_base::clock::Now;
use nudged_base::limits::{REFUSES_FOR_MS, REFUSES_WRITTEN_MS};
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_redis::refusal::RedisRefusal;

/// A trial has named a missing right this long after its refusal, in milliseconds.
const UNNAMED_MS: u64 = 2_000;

/// What was seen in a round.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Rights that are missing, in words.
    pub rights: Option<String>,
    /// Why a connection was not to be had, in words.
    pub handshake: Option<String>,
    /// Redis may evict users.
    pub is_evicting: bool,
    /// It is a replica.
    pub is_replica: bool,
    /// The keeper could write in this round, with what any write may be refused for.
    pub has_written: bool,
    /// Refusals since the node started, by kind.
    pub refused: [u64; RedisRefusal::COUNT],
}

/// What is wrong by its name for machines, with what it is and what mends it; `None` where it is
/// over.
type CauseReport = (&'static str, Option<Arc<str>>);

/// What is wrong.
#[derive(Debug)]
pub(super) struct Fitness {
    /// What it is and what mends it, by its name for machines.
    causes: BTreeMap<&'static str, Arc<str>>,
    refused: [u64; RedisRefusal::COUNT],
    refused_at: [Option<MonoNs>; RedisRefusal::COUNT],
    /// Since when rights are refused of which none is known to be missing.
    denied_since: Option<MonoNs>,
}

impl Fitness {
    /// Nothing is.
    pub(super) fn new() -> Fitness {
        let refused = [0; RedisRefusal::COUNT];
        Fitness {
            causes: BTreeMap::new(),
            refused,
            refused_at: [None; RedisRefusal::COUNT],
            denied_since: None,
        }
    }

    /// Takes what was seen, and logs all that is wrong, and what is over since the last call.
    pub(super) fn report(&mut self, log: &Log, now: Now, seen: &Seen) {
        for (cause, why) in self.take(now.mono, seen) {
            let message = if why.is_some() { Message::RedisUnfit } else { Message::RedisFit };
            let why = LogValue::Text(why.as_deref().unwrap_or_default());
            log.write(now, message, &[("cause", LogValue::Text(cause)), ("error", why)]);
        }
    }

    fn take(&mut self, now: MonoNs, seen: &Seen) -> Vec<CauseReport> {
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        wrong.extend(seen.rights.clone().map(|why| ("rights", why)));
        wrong.extend(seen.handshake.clone().map(|why| ("handshake", why)));
        if seen.is_evicting {
            wrong.push(("eviction", EVICTS.to_owned()));
        }
        if seen.is_replica {
            wrong.push(("replica", REPLICA.to_owned()));
        }
        let is_named = seen.rights.is_some() || seen.handshake.is_some();
        for (kind, name) in RedisRefusal::ALL {
            let refuses = self.refuses(now, kind, seen);
            let is_unnamed =
                kind != RedisRefusal::Denied || self.is_denied_unnamed(now, refuses, is_named);
            if let (true, true, Some(mend)) = (refuses, is_unnamed, kind.remedy()) {
                wrong.push((name, mend.to_owned()));
            }
        }
        self.compare(wrong)
    }

    /// Whether a right is refused again and again that no trial finds to be missing: the trial that
    /// follows a refusal names it otherwise.
    fn is_denied_unnamed(&mut self, now: MonoNs, refuses: bool, is_named: bool) -> bool {
        let since = *self.denied_since.get_or_insert(now);
        if !refuses || is_named {
            self.denied_since = None;
            return false;
        }
        let latest = self.refused_at[RedisRefusal::Denied.index()];
        latest.is_some_and(|latest| latest >= since.plus_ms(UNNAMED_MS))
    }

    fn refuses(&mut self, now: MonoNs, kind: RedisRefusal, seen: &Seen) -> bool {
        let place = kind.index();
        if seen.refused[place] > self.refused[place] {
            self.refused_at[place] = Some(now);
        }
        self.refused[place] = seen.refused[place];
        // What the keeper may write says nothing of a right that another command needs.
        let is_over_by_writing = seen.has_written && kind != RedisRefusal::Denied;
        let for_ms = if is_over_by_writing { REFUSES_WRITTEN_MS } else { REFUSES_FOR_MS };
        let until = self.refused_at[place].map(|at| at.plus_ms(for_ms));
        until.is_some_and(|until| now < until)
    }

    fn compare(&mut self, wrong: Vec<(&'static str, String)>) -> Vec<CauseReport> {
        let before = std::mem::take(&mut self.causes);
        self.causes = wrong.into_iter().map(|(cause, why)| (cause, why.into())).collect();
        let over = before.into_keys().filter(|cause| !self.causes.contains_key(cause));
        let wrong = self.causes.iter().map(|(cause, why)| (*cause, Some(Arc::clone(why))));
        over.map(|cause| (cause, None)).chain(wrong).collect()
    }

    /// Everything that is wrong, in words; `None` for nothing.
    pub(super) fn why(&self) -> Option<Arc<str>> {
        let whys: Vec<&str> = self.causes.values().map(|why| &**why).collect();
        (!whys.is_empty()).then(|| whys.join("; ").into())
    }
}

const EVICTS: &str = "Redis may evict users: set maxmemory-policy noeviction; until then users \
                      that are missing are read from SQL";
const REPLICA: &str = "Redis is a replica: set redis.url to its primary";

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::log::Level;

    fn at(ms: u64) -> MonoNs {
        MonoNs(0).plus_ms(ms)
    }

    /// What is reported, in short: whether each cause is wrong.
    fn said(lines: &[CauseReport]) -> Vec<(&'static str, bool)> {
        lines.iter().map(|(cause, why)| (*cause, why.is_some())).collect()
    }

    #[test]
    fn each_cause_is_reported_while_it_lasts_and_its_end_once() {
        let mut fitness = Fitness::new();
        assert_eq!(fitness.take(at(1), &Seen::default()), []);
        let wrong = || Seen {
            rights: Some("no +publish".to_owned()),
            is_evicting: true,
            ..Seen::default()
        };
        for ms in [2, 3, 60_002] {
            let lines = fitness.take(at(ms), &wrong());
            assert_eq!(said(&lines), [("eviction", true), ("rights", true)]);
        }
        let why = fitness.why().unwrap();
        assert!(why.contains("no +publish") && why.contains("noeviction"), "{why}");
        let other = Seen { rights: Some("no +set".to_owned()), ..Seen::default() };
        let lines = fitness.take(at(60_003), &other);
        assert_eq!(said(&lines), [("eviction", false), ("rights", true)]);
        assert_eq!(said(&fitness.take(at(60_004), &Seen::default())), [("rights", false)]);
        assert_eq!(fitness.take(at(60_005), &Seen::default()), []);
        assert_eq!(fitness.why(), None);
    }

    #[test]
    fn each_cause_is_an_outage_of_the_log() {
        let kinds = RedisRefusal::ALL.into_iter().map(|(_, name)| name);
        for cause in kinds.chain(["rights", "handshake", "eviction", "replica"]) {
            let log = Log::new(Level::Info, true, &[]);
            let fields = [("cause", LogValue::Text(cause)), ("error", LogValue::Text("why"))];
            log.write(Now::default(), Message::RedisUnfit, &fields);
            assert!(log.has_unsaid(), "{cause}");
        }
    }

    #[test]
    fn each_kind_of_refusal_is_a_cause_until_it_has_not_come_for_a_while() {
        for (kind, name) in
            RedisRefusal::ALL.into_iter().filter(|(kind, _)| *kind != RedisRefusal::Denied)
        {
            let mut fitness = Fitness::new();
            let mut seen = Seen::default();
            fitness.take(at(1), &seen);
            seen.refused[kind.index()] = 3;
            let expected: &[_] = if kind.remedy().is_some() { &[(name, true)] } else { &[] };
            assert_eq!(said(&fitness.take(at(2), &seen)), expected, "{name}");
            assert_eq!(said(&fitness.take(at(REFUSES_FOR_MS + 1), &seen)), expected, "{name}");
            let over = fitness.take(at(REFUSES_FOR_MS + 2), &seen);
            assert_eq!(over.len(), expected.len(), "{name}");
        }
    }

    #[test]
    fn a_refusal_is_over_soon_where_the_keeper_could_write_since() {
        let mut fitness = Fitness::new();
        let mut seen = Seen::default();
        seen.refused[RedisRefusal::OutOfMemory.index()] = 1;
        assert_eq!(said(&fitness.take(at(1), &seen)), [("out_of_memory", true)]);
        let still = fitness.take(at(REFUSES_WRITTEN_MS + 1), &seen);
        assert_eq!(said(&still), [("out_of_memory", true)]);
        seen.has_written = true;
        let over = fitness.take(at(REFUSES_WRITTEN_MS + 2), &seen);
        assert_eq!(said(&over), [("out_of_memory", false)]);
        seen.refused[RedisRefusal::OutOfMemory.index()] = 2;
        let again = fitness.take(at(REFUSES_WRITTEN_MS + 3), &seen);
        assert_eq!(said(&again), [("out_of_memory", true)]);
        let still = fitness.take(at(2 * REFUSES_WRITTEN_MS + 2), &seen);
        assert_eq!(said(&still), [("out_of_memory", true)]);
    }

    #[test]
    fn a_denial_is_said_by_itself_only_where_no_right_is_found_missing() {
        let mut fitness = Fitness::new();
        let mut seen = Seen { rights: Some("no +set".to_owned()), ..Seen::default() };
        seen.refused[RedisRefusal::Denied.index()] = 1;
        assert_eq!(said(&fitness.take(at(1), &seen)), [("rights", true)]);
        seen.rights = None;
        assert_eq!(said(&fitness.take(at(2), &seen)), [("rights", false)], "it was given back");
        assert_eq!(fitness.take(at(UNNAMED_MS + 2), &seen), []);
        seen.refused[RedisRefusal::Denied.index()] = 2;
        assert_eq!(said(&fitness.take(at(UNNAMED_MS + 3), &seen)), [("denied", true)]);
    }
}
