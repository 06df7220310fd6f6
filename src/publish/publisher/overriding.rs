//! The kill switch: pause, archive and resume, taken whatever SQL, Redis and the disk do. What is
//! asked holds on every shard of this node when it is answered; the threads of `publish::overrides`
//! bring it to the node's file, to Redis and to SQL, and the answer says how far it is by then.
//!
//! Limit: [`OVERRIDES_TOLD_MS`] beside what the shards take.

use std::time::{Duration, Instant};

use super::change::EditContext;
use super::change::check_expected;
use super::published::{KnownPopup, Published};
use super::{PublishError, Publisher};
use crate::shards::ShardAnswered;
use nudged_base::limits::OVERRIDES_TOLD_MS;
use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind, OverridePlace};
use nudged_domain::catalog::snapshot::Status;
use nudged_domain::ended::Ended;
use nudged_runtime::clocks;

/// What an operator asks of a popup's overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideRequest {
    /// Set one.
    Set(OverrideKind),
    /// End those that this node knows.
    Resume,
}

/// A popup after it.
#[derive(Clone, Debug)]
pub struct Overridden {
    /// The popup.
    pub known: KnownPopup,
    /// The catalog that it is in.
    pub published: Published,
    /// How far it is stored.
    pub stored: OverridePlace,
    /// What the operator should know of it.
    pub warnings: Vec<String>,
    /// The shards that were told, in the order in which they answered; none where all was so
    /// already.
    pub shards: Vec<ShardAnswered>,
}

/// A popup that every shard of this node decides on as was asked, before anybody has looked how far
/// it is stored.
#[derive(Clone, Debug)]
pub struct HeldOverrides {
    request: OverrideRequest,
    known: KnownPopup,
    published: Published,
    shards: Vec<ShardAnswered>,
}

impl Publisher {
    /// Looks whether overrides of a popup could be asked for so.
    ///
    /// # Errors
    /// `NoSuchPopup`, `OtherVersion`.
    pub fn check_override(&self, context: EditContext<'_>) -> Result<(), PublishError> {
        let current = self.current();
        let found = current.find(context.id);
        check_expected(found, context.expected)?;
        found.map(drop).ok_or(PublishError::NoSuchPopup)
    }

    /// Sets or ends overrides of a popup; tells of each shard as it decides by it. Waits for no
    /// place where it is stored.
    ///
    /// # Errors
    /// As [`Publisher::override_popup`].
    pub fn hold_override(
        &self,
        context: EditContext<'_>,
        request: OverrideRequest,
        heard: &mut dyn FnMut(ShardAnswered),
    ) -> Result<HeldOverrides, PublishError> {
        let mut shards = Vec::new();
        let mut note = |answered: ShardAnswered| {
            shards.push(answered);
            heard(answered);
        };
        let (known, published, is_change) = self.override_now(context, request, &mut note)?;
        if is_change {
            self.log_changed(context, &known);
        }
        Ok(HeldOverrides { request, known, published, shards })
    }

    /// What is to be said of it once it has come so far.
    pub fn overridden(&self, held: HeldOverrides, stored: OverridePlace) -> Overridden {
        let HeldOverrides { request, known, published, shards } = held;
        let mut warnings: Vec<String> = self.warn_of_reach(stored).into_iter().collect();
        if request == OverrideRequest::Resume && known.status != Status::Live {
            warnings.push(self.where_own_status_is(&known));
        }
        Overridden { known, published, stored, warnings, shards }
    }

    /// Sets or ends overrides of a popup. Answers when every shard decides by it.
    ///
    /// # Errors
    /// `NoSuchPopup`, `OtherVersion`, `OwnStatus`, `TooManyOverrides`; nothing has changed. And
    /// `Unconfirmed`: it holds.
    pub fn override_popup(
        &self,
        context: EditContext<'_>,
        request: OverrideRequest,
    ) -> Result<Overridden, PublishError> {
        let until = Instant::now() + Duration::from_millis(OVERRIDES_TOLD_MS);
        let held = self.hold_override(context, request, &mut |_| {})?;
        let stored = self.await_stored(context.id, until);
        Ok(self.overridden(held, stored))
    }

    /// The popup and its catalog afterwards, and whether any entry was made or ended.
    pub(super) fn override_now(
        &self,
        context: EditContext<'_>,
        request: OverrideRequest,
        heard: &mut dyn FnMut(ShardAnswered),
    ) -> Result<(KnownPopup, Published, bool), PublishError> {
        let mut live = self.live.lock();
        let current = self.current();
        let found = current.find(context.id);
        check_expected(found, context.expected)?;
        let known = found.ok_or(PublishError::NoSuchPopup)?;
        let is_change = match request {
            OverrideRequest::Set(kind) => {
                let entry = Override {
                    id: fresh_id(),
                    popup: context.id.into(),
                    kind,
                    at: clocks::wall(),
                    who: context.who.into(),
                    end: None,
                };
                live.overrides.add(entry)?
            }
            OverrideRequest::Resume => {
                let end = Ended { at: clocks::wall(), who: context.who.into() };
                let count = live.overrides.end(context.id, &end);
                if count == 0 && known.own != Status::Live {
                    return Err(PublishError::OwnStatus(self.where_own_status_is(known)));
                }
                count > 0
            }
        };
        let shown = self.show_again(&live, heard);
        self.live.ring();
        let (published, _) = shown?;
        let known = published.find(context.id).expect("it was there before").clone();
        Ok((known, published, is_change))
    }

    /// Where a popup's own status is set, for who wonders why it is not live.
    fn where_own_status_is(&self, known: &KnownPopup) -> String {
        let id = &known.stored.id;
        let status = known.own.word();
        let file = self.config().popups.clone();
        let file = file.map_or("the popups file".to_owned(), |path| path.display().to_string());
        let is_out = known.own == Status::Archived && known.definition.status() != Status::Archived;
        if known.stored.is_gone {
            format!(
                "popup \"{id}\" is archived because it was deleted, or removed from {file}: add it \
                 there again, or PUT /v1/popups/{id}"
            )
        } else if !known.stored.is_in_file() {
            format!(
                "popup \"{id}\" is {status} by its own status, which is set in its definition: \
                 change it with PUT /v1/popups/{id}"
            )
        } else if is_out {
            format!(
                "popup \"{id}\" is archived because it was removed from {file}: add it there again"
            )
        } else {
            format!(
                "popup \"{id}\" is {status} by its own status, which is set in {file}: change it \
                 there and reload"
            )
        }
    }

    /// What is to be said where other nodes can't know yet.
    pub(super) fn warn_of_reach(&self, stored: OverridePlace) -> Option<String> {
        let config = self.config();
        let (has_sql, has_redis) = (config.mysql.url.is_some(), config.redis.url.is_some());
        if !has_sql || stored >= OverridePlace::Redis {
            return None;
        }
        Some(match has_redis {
            true => "Redis has not answered: other nodes do not know of this yet".to_owned(),
            false => "[redis] is not set: other nodes do not know of this".to_owned(),
        })
    }
}

fn fresh_id() -> OverrideId {
    let mut bytes = [0; 16];
    // The system's source fails only before it is seeded, early in a machine's start; what an id
    // then has is still the time.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&clocks::mono().0.to_le_bytes());
        bytes[8..].copy_from_slice(&clocks::wall().0.to_le_bytes());
    }
    OverrideId(u128::from_le_bytes(bytes))
}
