//! Drafts as those see them who only look: each in the place of its popup, in a catalog that shards
//! have beside the one they decide by. Nothing of it is stored, and no version rises.

use std::sync::Arc;

use super::Publisher;
use super::prepare::compile_all;
use super::published::{KnownPopup, Published};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::catalog::source::parse_json_popup;
use nudged_shard::control::ControlRequest;
use nudged_store::{PopupOrigin, StoredDraft, StoredPopup};

impl Publisher {
    /// Shows these drafts to those who only look, and nobody else. A shard that does not say so in
    /// time does it when it can.
    pub(crate) fn show_drafts(&self, drafts: &[StoredDraft]) {
        let current = self.current();
        let previewed = (!drafts.is_empty()).then(|| with_drafts(&current, drafts)).flatten();
        let previewed = previewed.map(Arc::new);
        let command = || ControlRequest::SwapPreview(previewed.clone());
        let _ = self.command_shards(command);
    }
}

/// A catalog with drafts in it; `None` where it could not stand so. What operators paused stays.
fn with_drafts(current: &Published, drafts: &[StoredDraft]) -> Option<Snapshot> {
    let mut popups = current.popups.to_vec();
    for draft in drafts {
        // Somebody else wrote it, if it can't be read.
        let Ok(definition) = parse_json_popup(&draft.text) else { continue };
        let place = popups.binary_search_by(|known| known.stored.id.as_str().cmp(&draft.id));
        let known = place.ok().map(|place| &popups[place]);
        // What the file took is the file's.
        if known.is_some_and(|known| known.stored.is_in_file()) {
            continue;
        }
        let own = definition.status();
        let override_status = known.and_then(|known| known.override_status);
        let drafted = KnownPopup {
            stored: Arc::new(StoredPopup {
                id: draft.id.clone(),
                // As it would be published.
                version: known.map_or(1, |known| known.stored.version.saturating_add(1)),
                text: draft.text.clone(),
                origin: PopupOrigin::Api,
                is_gone: false,
            }),
            definition: Arc::new(definition),
            own,
            override_status,
            status: override_status.unwrap_or(own),
        };
        match place {
            Ok(place) => popups[place] = drafted,
            Err(place) => popups.insert(place, drafted),
        }
    }
    let (settings, version) = (current.snapshot.settings.clone(), current.snapshot.version);
    compile_all(&popups, settings, version).ok()
}
