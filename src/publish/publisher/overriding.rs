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
use nudged_base::limits::OVERRIDES_TOLD_MS;
use nudged_domain::catalog::overrides::{
    Override, OverrideEnd, OverrideId, OverrideKind, OverridePlace,
};
use nudged_domain::catalog::snapshot::Status;
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
}

impl Publisher {
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
        let (known, published, is_change) = self.override_now(context, request)?;
        if is_change {
            self.log_changed(context, &known);
        }
        let stored = self.await_stored(context.id, until);
        let mut warnings: Vec<String> = self.warn_of_reach(stored).into_iter().collect();
        if request == OverrideRequest::Resume && known.status != Status::Live {
            warnings.push(self.where_own_status_is(&known));
        }
        Ok(Overridden { known, published, stored, warnings })
    }

    /// The popup and its catalog afterwards, and whether any entry was made or ended.
    pub(super) fn override_now(
        &self,
        context: EditContext<'_>,
        request: OverrideRequest,
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
                let end = OverrideEnd { at: clocks::wall(), who: context.who.into() };
                let count = live.overrides.end(context.id, &end);
                if count == 0 && known.own != Status::Live {
                    return Err(PublishError::OwnStatus(self.where_own_status_is(known)));
                }
                count > 0
            }
        };
        let shown = self.show_again(&live);
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
