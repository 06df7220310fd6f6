//! What changed of the popups between two looks: which catalog there is, what operators have set
//! above it, and which popups are not as they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::input::moment_json;
use crate::service::Service;
use nudged_base::limits::LIVE_CHANGED_MAX;
use nudged_domain::catalog::overrides::OverridePlace;
use nudged_publish::publisher::{KnownPopup, Published};

/// Popups whose pauses and archives are on their way, with how far they are.
type Places = BTreeMap<String, OverridePlace>;

/// The popups at one moment.
#[derive(Debug)]
pub(super) struct CatalogLook {
    published: Published,
    places: Places,
    /// Rises by one with each change.
    pub(super) number: u64,
    /// Those that changed with it; none where they are more than are named.
    changed: Option<Vec<String>>,
    overridden: usize,
    /// Entries that the node's file, Redis and SQL do not have.
    waiting: [usize; 3],
}

impl CatalogLook {
    /// Looks at the popups; gives the look before where nothing has changed since.
    pub(super) fn after(before: Option<&Arc<CatalogLook>>, service: &Service) -> Arc<CatalogLook> {
        let publisher = &service.publisher;
        let (published, places) = (publisher.current(), publisher.stored_places());
        let (overridden, waiting) = publisher.with_overrides(|overrides| {
            let lacking = |place| overrides.not_in(place).count();
            let waiting = [OverridePlace::Node, OverridePlace::Redis, OverridePlace::Sql];
            (overrides.statuses().count(), waiting.map(lacking))
        });
        let waiting = match (service.redis.is_some(), waiting) {
            (true, waiting) => waiting,
            (false, [file, _, sql]) => [file, 0, sql],
        };
        let Some(before) = before else {
            let changed = Some(Vec::new());
            let look = CatalogLook { published, places, number: 1, changed, overridden, waiting };
            return Arc::new(look);
        };
        let is_same = before.published.snapshot.version == published.snapshot.version
            && before.published.stored_version == published.stored_version
            && (before.overridden, before.waiting) == (overridden, waiting)
            && before.places == places;
        if is_same {
            return Arc::clone(before);
        }
        let changed =
            changed_ids((&before.published.popups, &before.places), (&published.popups, &places));
        let number = before.number + 1;
        Arc::new(CatalogLook { published, places, number, changed, overridden, waiting })
    }

    /// As it is told; to who hears of it for the first time nothing has changed.
    pub(super) fn told(&self, is_first: bool) -> Value {
        let [file, redis, sql] = self.waiting;
        json!({
            "version": self.published.snapshot.version,
            "since": moment_json(self.published.at),
            "stored_version": self.published.stored_version,
            "overridden": self.overridden,
            "waiting": { "node": file, "redis": redis, "sql": sql },
            "changed": if is_first { json!([]) } else { json!(self.changed) },
        })
    }
}

/// The popups that are not as they were, which are sorted by id; `None` for more than are named.
fn changed_ids(
    (before, places_before): (&[KnownPopup], &Places),
    (after, places): (&[KnownPopup], &Places),
) -> Option<Vec<String>> {
    let (before, after) = (by_id(before), by_id(after));
    let mut changed = Vec::new();
    let new = after.keys().filter(|id| !before.contains_key(*id));
    for id in before.keys().chain(new) {
        let is_same = match (before.get(id), after.get(id)) {
            (Some(one), Some(other)) => {
                one.stored.version == other.stored.version
                    && one.status == other.status
                    && one.override_status == other.override_status
                    && one.stored.is_gone == other.stored.is_gone
            }
            _ => false,
        };
        if !is_same || places_before.get(*id) != places.get(*id) {
            if changed.len() == LIVE_CHANGED_MAX {
                return None;
            }
            changed.push((*id).to_owned());
        }
    }
    Some(changed)
}

fn by_id(popups: &[KnownPopup]) -> BTreeMap<&str, &KnownPopup> {
    popups.iter().map(|known| (known.stored.id.as_str(), known)).collect()
}
