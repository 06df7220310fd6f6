//! Drafts: what a popup is to become, beside what it is. Checked as a whole when they are put, with
//! all that is live; published by [`PopupEdit::Publish`], which checks them once more. No node
//! decides by one.
//!
//! Limits: [`POPUPS_MAX`] drafts; [`CATALOG_TURN_MS`](nudged_base::limits::CATALOG_TURN_MS) until a
//! change begins.

use std::sync::Arc;

#[cfg(doc)]
use super::PopupEdit;
use super::change::{EditContext, ExpectedVersion};
use super::prepare::{compile_aside, definitions_of};
use super::published::warnings_in;
use super::{PublishError, Publisher};
use nudged_base::limits::POPUPS_MAX;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_domain::catalog::source::Definition;
use nudged_runtime::clocks;
use nudged_store::{DraftChange, StoredDraft};

/// A draft that is to be put.
#[derive(Clone, Debug)]
pub struct DraftPut {
    /// The definition.
    pub definition: Arc<Definition>,
    /// The popup's version that it was made from, 0 for none. Without it a first draft was made
    /// from what the popup is now, and a later one from what the one before was.
    pub base_version: Option<u32>,
}

/// A draft that was put.
#[derive(Clone, Debug)]
pub struct Drafted {
    /// As it is stored.
    pub draft: StoredDraft,
    /// Whether the popup had none before.
    pub is_new: bool,
    /// What is allowed in it and still can't be meant.
    pub warnings: Vec<String>,
}

impl Publisher {
    /// Keeps a draft of a popup, in the place of the one that it may have, where that one is
    /// expected.
    ///
    /// # Errors
    /// Where the definition can't stand with all that is live, the popup is the file's, it has
    /// another draft than is expected, or never had the version that this one was made from, there
    /// are too many drafts, or the store fails.
    pub fn put_draft(
        &self,
        context: EditContext<'_>,
        put: &DraftPut,
    ) -> Result<Drafted, PublishError> {
        let DraftPut { definition, base_version } = put;
        let mut changing = self.turn(self.turn_max).inspect_err(|error| self.count_late(error))?;
        self.catch_up(&mut changing)?;
        let current = self.current();
        let known = current.find(context.id);
        let live_version = known.map_or(0, |known| known.stored.version);
        if base_version.is_some_and(|base_version| base_version > live_version) {
            return Err(PublishError::BaseAhead);
        }
        if known.is_some_and(|known| known.stored.is_in_file()) {
            return Err(PublishError::in_file(&changing.config, vec![context.id.to_owned()]));
        }
        let mut definitions = definitions_of(&current.popups);
        definitions.insert(context.id.to_owned(), Arc::clone(definition));
        let compiled = compile_aside(&definitions, &changing.config);
        let compiled = compiled.map_err(PublishError::Definition)?;
        let before = changing.store.draft(context.id)?;
        let of_before = before.map_or(Some(live_version), |before| before.base_version);
        let draft = StoredDraft {
            id: context.id.to_owned(),
            text: definition.canonical_json(),
            base_version: base_version.or(of_before),
            at: clocks::wall(),
            who: context.who.to_owned(),
        };
        let is_expected = |present: Option<&StoredDraft>| is_expected(present, context.expected);
        match changing.store.put_draft(&draft, is_expected, POPUPS_MAX)? {
            DraftChange::Done { draft, is_new } => {
                self.log_draft(context, "put");
                Ok(Drafted { draft, is_new, warnings: warnings_in(&compiled, context.id) })
            }
            DraftChange::Other(present) => Err(PublishError::OtherRevision(present.map(Box::new))),
            DraftChange::TooMany => Err(PublishError::TooManyDrafts(POPUPS_MAX)),
        }
    }

    /// Takes a popup's draft away.
    ///
    /// # Errors
    /// `NoDraft`, or where the popup is the file's and has none; where it has another draft than is
    /// expected, and where the store fails.
    pub fn delete_draft(&self, context: EditContext<'_>) -> Result<(), PublishError> {
        let mut changing = self.turn(self.turn_max).inspect_err(|error| self.count_late(error))?;
        self.catch_up(&mut changing)?;
        let current = self.current();
        let known = current.find(context.id);
        let is_expected = |present: Option<&StoredDraft>| is_expected(present, context.expected);
        // One that was put before the file had the popup may go.
        let by = (context.who, clocks::wall());
        match changing.store.delete_draft(context.id, is_expected, by)? {
            Some(DraftChange::Other(present)) => {
                return Err(PublishError::OtherRevision(present.map(Box::new)));
            }
            Some(_) => {
                self.log_draft(context, "deleted");
                return Ok(());
            }
            None => {}
        }
        match known.is_some_and(|known| known.stored.is_in_file()) {
            true => Err(PublishError::in_file(&changing.config, vec![context.id.to_owned()])),
            false => Err(PublishError::NoDraft),
        }
    }

    fn log_draft(&self, context: EditContext<'_>, change: &str) {
        let fields = [
            ("popup", LogValue::Text(context.id)),
            ("change", LogValue::Text(change)),
            ("who", LogValue::Text(context.who)),
        ];
        self.log.write(clocks::now(), Message::DraftChanged, &fields);
    }
}

/// Whether a popup's draft is what a change of it is meant for.
pub(super) fn is_expected(
    present: Option<&StoredDraft>,
    expected: Option<ExpectedVersion>,
) -> bool {
    match (expected, present) {
        (None, _) | (Some(ExpectedVersion::Any), Some(_)) => true,
        (Some(ExpectedVersion::Absent), present) => present.is_none(),
        (Some(ExpectedVersion::Version(revision)), Some(present)) => present.revision() == revision,
        (Some(_), None) => false,
    }
}
