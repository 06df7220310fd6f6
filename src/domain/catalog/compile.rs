//! Definitions → [`Snapshot`]: order of winning, lists by placement, keys without collisions.
//!
//! Knows nothing of texts, and of where versions and overrides come from. Off the hot path.
//! Limits: [`POPUPS_MAX`].

use std::sync::Arc;

use hashbrown::HashMap;

use super::code::TargetCode;
use super::pivot::CatalogPivots;
use super::placement::placements;
use super::snapshot::{Popup, Settings, Snapshot, Status};
use super::source::{Definition, SourceError};
use nudged_base::ids::PopupKey;
use nudged_base::limits::POPUPS_MAX;

/// A definition with what the store knows of it beside its text.
#[derive(Clone, Copy, Debug)]
pub struct CatalogEntry<'a> {
    /// The popup as it is written.
    pub definition: &'a Definition,
    /// Rises by one with each changed definition, from 1.
    pub version: u32,
    /// The status after an operator's overrides.
    pub status: Status,
}

/// Compiles a catalog. Archived popups stay in it, for their history. Allocates.
///
/// # Errors
/// Every pair of ids that are the same or share a key, and more than [`POPUPS_MAX`] popups.
pub fn compile(
    entries: &[CatalogEntry<'_>],
    settings: Settings,
    version: u64,
) -> Result<Snapshot, Vec<SourceError>> {
    compile_keyed(entries, settings, version, PopupKey::of)
}

/// Compiles popups that nobody has stored: each at its first version, with the status that it says
/// itself. Allocates.
///
/// # Errors
/// As [`compile`].
pub fn compile_unstored<'a>(
    definitions: impl IntoIterator<Item = &'a Definition>,
    settings: Settings,
) -> Result<Snapshot, Vec<SourceError>> {
    let entry = |definition: &'a Definition| {
        let status = definition.status();
        CatalogEntry { definition, version: 1, status }
    };
    let entries: Vec<_> = definitions.into_iter().map(entry).collect();
    compile(&entries, settings, 1)
}

/// As [`compile`], with the hash as an argument, since no two texts are known that share a key.
fn compile_keyed(
    entries: &[CatalogEntry<'_>],
    settings: Settings,
    version: u64,
    key_of: impl Fn(&str) -> PopupKey,
) -> Result<Snapshot, Vec<SourceError>> {
    let mut errors = Vec::new();
    if entries.len() > POPUPS_MAX {
        let message = format!("has {} popups; the limit is {POPUPS_MAX}", entries.len());
        errors.push(error(None, "", message));
    }
    let mut popups: Vec<Popup> = entries.iter().map(|entry| compile_entry(*entry)).collect();
    popups.iter_mut().for_each(|popup| popup.key = key_of(&popup.id));
    popups.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.id.cmp(&b.id)));
    let mut by_key = HashMap::with_capacity(popups.len());
    for (popup, index) in popups.iter().zip(0u32..) {
        if let Some(other) = by_key.insert(popup.key, index) {
            let other = popups[other as usize].id.as_ref();
            let message = match other == &*popup.id {
                true => "appears twice".to_owned(),
                false => format!("has the same hash as \"{other}\": give one of them another id"),
            };
            errors.push(error(Some(&popup.id), "id", message));
        }
    }
    if errors.is_empty() {
        let targets = popups.iter().map(|popup| popup.target.as_deref());
        let targets = Arc::new(TargetCode::compile(targets));
        let listed = popups.iter().zip(0_u32..).map(|(popup, index)| {
            // A window in the user's own zone is asked before the target, whatever that says.
            let steps = if popup.is_in_user_zone() { &[] } else { targets.target(index).0 };
            (steps, popup.placements.len())
        });
        let pivots = Arc::new(CatalogPivots::choose(listed));
        let placements = placements(&popups, &pivots);
        Ok(Snapshot { version, settings, popups, targets, pivots, placements, by_key })
    } else {
        Err(errors)
    }
}

fn compile_entry(entry: CatalogEntry<'_>) -> Popup {
    Popup { version: entry.version, status: entry.status, ..entry.definition.popup.clone() }
}

fn error(popup: Option<&str>, field: &str, message: String) -> SourceError {
    SourceError { line: None, popup: popup.map(str::to_owned), field: field.to_owned(), message }
}

#[cfg(test)]
mod tests;
