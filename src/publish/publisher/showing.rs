//! Makes catalogs current: here and on every shard, with what wins over them. Everything that
//! becomes current goes through [`Publisher::show`], which waits for nobody but the shards: a pause
//! must hold while SQL, or a change that waits for SQL, takes its time.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::live::Live;
use super::prepare::compile_all;
use super::published::{KnownPopup, Published};
use super::{PublishError, Publisher};
use crate::shards::{self, ShardAnswered};
use nudged_base::ids::PopupKey;
use nudged_domain::catalog::overrides::{Override, OverridePlace, Overrides};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_runtime::clocks;
use nudged_shard::control::ControlRequest;

impl Publisher {
    /// Makes a catalog current that no shard is told of: they start with it.
    pub(super) fn begin_with(
        &self,
        published: &Published,
        entries: impl Iterator<Item = (Override, OverridePlace)>,
    ) {
        let mut live = self.live.lock();
        for (entry, place) in entries {
            live.overrides.take(&entry, place);
        }
        let popups: Arc<[KnownPopup]> =
            published.popups.iter().map(|known| live.applied(known)).collect();
        let snapshot = Arc::new(with_statuses(&published.snapshot, &popups, 1));
        let shown = Published { snapshot, popups, ..published.clone() };
        self.mesh.retention.set_catalog(Arc::clone(&shown.snapshot));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// Makes a catalog current here and on every shard, with what wins over it: what the popups
    /// file says no more, where `has_file`. Gives it as it is shown, and whether decisions go by
    /// anything else than before. Where they don't, no shard is told and the version stays.
    pub(super) fn show(
        &self,
        published: Published,
        has_file: bool,
    ) -> Result<(Published, bool), PublishError> {
        let mut live = self.live.lock();
        if has_file {
            live.file_statuses.clear();
        }
        for entry in published.overrides.iter() {
            live.overrides.take(entry, OverridePlace::Sql);
        }
        let shown = self.show_locked(&live, published, &mut |_| {});
        self.live.ring();
        shown
    }

    /// Shows what is current once more, after a change of what wins over it; tells of each shard
    /// that has it.
    pub(super) fn show_again(
        &self,
        live: &Live,
        heard: &mut dyn FnMut(ShardAnswered),
    ) -> Result<(Published, bool), PublishError> {
        self.show_locked(live, self.current(), heard)
    }

    fn show_locked(
        &self,
        live: &Live,
        published: Published,
        heard: &mut dyn FnMut(ShardAnswered),
    ) -> Result<(Published, bool), PublishError> {
        let current = self.current();
        let popups: Arc<[KnownPopup]> =
            published.popups.iter().map(|known| live.applied(known)).collect();
        let is_text_same = is_same(&current.popups, &popups, |one, other| {
            one.stored.version == other.stored.version && one.stored.text == other.stored.text
        }) && current.snapshot.settings == published.snapshot.settings;
        let is_status_same =
            is_same(&current.popups, &popups, |one, other| one.status == other.status);
        let version = current.snapshot.version + 1;
        let (snapshot, at) = match (is_text_same, is_status_same) {
            (true, true) => (Arc::clone(&current.snapshot), current.at),
            (true, false) => {
                (Arc::new(with_statuses(&current.snapshot, &popups, version)), clocks::wall())
            }
            _ => {
                let settings = published.snapshot.settings.clone();
                let snapshot = compile_all(&popups, settings, version).map_err(|errors| {
                    PublishError::Popups { path: self.config().data.clone(), errors }
                })?;
                (Arc::new(snapshot), clocks::wall())
            }
        };
        let is_changed = !Arc::ptr_eq(&snapshot, &current.snapshot);
        let shown = Published { snapshot: Arc::clone(&snapshot), popups, at, ..published };
        self.mesh.retention.set_catalog(Arc::clone(&shown.snapshot));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = shown.clone();
        if is_changed {
            let swap = || ControlRequest::SwapCatalog(Arc::clone(&snapshot));
            let told = shards::ask_all(&self.mesh, swap, heard);
            self.retire(current.snapshot);
            told.map_err(PublishError::Unconfirmed)?;
        }
        Ok((shown, is_changed))
    }

    /// A catalog is no longer current.
    fn retire(&self, snapshot: Arc<Snapshot>) {
        self.former.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot);
        self.catalogs();
    }

    /// Gives every shard a command, and waits for its answer.
    pub(super) fn command_shards(
        &self,
        command: impl Fn() -> ControlRequest,
    ) -> Result<(), PublishError> {
        shards::ask_all(&self.mesh, command, &mut |_| {}).map_err(PublishError::Unconfirmed)
    }

    /// Takes in what a place knows of pauses and archives, and shows what comes of it; gives the
    /// entries that stand since then, or have ended by it. One that was over before it was heard of
    /// changes nothing here.
    ///
    /// # Errors
    /// `Unconfirmed`; it holds all the same.
    pub fn take_overrides(
        &self,
        entries: &[Override],
        from: OverridePlace,
    ) -> Result<Vec<Override>, PublishError> {
        let mut live = self.live.lock();
        let mut news = Vec::new();
        for entry in entries {
            let stood = live.overrides.stands(entry.id);
            live.overrides.take(entry, from);
            if live.overrides.stands(entry.id) != stood {
                news.push(entry.clone());
            }
        }
        let shown =
            if news.is_empty() { Ok(()) } else { self.show_again(&live, &mut |_| {}).map(drop) };
        self.live.ring();
        shown.map(|()| news)
    }

    /// What is known of pauses and archives, as `look` sees it.
    pub fn with_overrides<T>(&self, look: impl FnOnce(&mut Overrides) -> T) -> T {
        let looked = look(&mut self.live.lock().overrides);
        self.live.ring();
        looked
    }

    /// Waits until `is_due` of what is known, for `limit` at most; what it was then.
    pub(crate) fn await_overrides(
        &self,
        limit: Duration,
        mut is_due: impl FnMut(&Overrides) -> bool,
    ) -> bool {
        let live = self.live.lock();
        let mut live = self.live.wait(live, limit, |live| !is_due(&live.overrides));
        is_due(&mut live.overrides)
    }

    /// Wakes who waits for what is known: it is to end.
    pub fn ring(&self) {
        self.live.ring();
    }

    /// How far what was set of a popup is stored; waits until `until` for SQL to have it.
    pub fn await_stored(&self, popup: &str, until: Instant) -> OverridePlace {
        let live = self.live.lock();
        let limit = until.saturating_duration_since(Instant::now());
        let live =
            self.live.wait(live, limit, |live| live.overrides.stored(popup) < OverridePlace::Sql);
        live.overrides.stored(popup)
    }

    /// Waits until what was set of a popup is stored further than `place`, or other nodes say
    /// something, for `limit` at most.
    pub fn await_further(&self, popup: &str, place: OverridePlace, limit: Duration) {
        let said = self.nodes_said();
        let is_awaited =
            |live: &mut Live| live.overrides.stored(popup) <= place && self.nodes_said() == said;
        drop(self.live.wait(self.live.lock(), limit, is_awaited));
    }

    /// How far the pauses and archives of each popup that has any are stored; all others' are.
    pub fn stored_places(&self) -> BTreeMap<String, OverridePlace> {
        let live = self.live.lock();
        let places = live.overrides.all_stored().into_iter();
        places.map(|(popup, place)| (popup.to_owned(), place)).collect()
    }
}

fn is_same(
    before: &[KnownPopup],
    after: &[KnownPopup],
    is_one_same: impl Fn(&KnownPopup, &KnownPopup) -> bool,
) -> bool {
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|(one, other)| one.stored.id == other.stored.id && is_one_same(one, other))
}

/// The same popups with these statuses.
fn with_statuses(snapshot: &Snapshot, popups: &[KnownPopup], version: u64) -> Snapshot {
    let statuses =
        popups.iter().map(|known| (PopupKey::of(&known.stored.id), known.status)).collect();
    snapshot.with_statuses(version, &statuses)
}
