//! Drafts: what a popup is to become, beside what it is. Checked as a whole when they are put, with
//! all that is live; published by [`PopupEdit::Publish`], which checks them once more. No node
//! decides by one.
//!
//! Limits: [`POPUPS_MAX`] drafts; [`CATALOG_TURN_MS`](nudged_base::limits::CATALOG_TURN_MS) until a
//! change begins.

use std::sync::Arc;

#[cfg(doc)]
use super::PopupEdit;
use super::change::{EditContext, check_expected};
use super::prepare::{compile_aside, definitions_of};
use super::published::warnings_in;
use super::{PublishError, Publisher};
use nudged_base::limits::POPUPS_MAX;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_domain::catalog::source::Definition;
use nudged_runtime::clocks;
use nudged_store::StoredDraft;

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
    /// Keeps a draft of a popup, in the place of the one that it may have.
    ///
    /// # Errors
    /// Where the definition can't stand with all that is live, the popup is the file's, it has
    /// another version than is asked for, there are too many drafts, or the store fails.
    pub fn put_draft(
        &self,
        context: EditContext<'_>,
        definition: &Arc<Definition>,
    ) -> Result<Drafted, PublishError> {
        let mut changing = self.turn(self.turn_max).inspect_err(|error| self.count_late(error))?;
        self.catch_up(&mut changing)?;
        let current = self.current();
        let known = current.find(context.id);
        check_expected(known, context.expected)?;
        if known.is_some_and(|known| known.stored.is_in_file()) {
            return Err(PublishError::in_file(&changing.config, vec![context.id.to_owned()]));
        }
        let mut definitions = definitions_of(&current.popups);
        definitions.insert(context.id.to_owned(), Arc::clone(definition));
        let compiled = compile_aside(&definitions, &changing.config);
        let compiled = compiled.map_err(PublishError::Definition)?;
        let draft = StoredDraft {
            id: context.id.to_owned(),
            text: definition.canonical_json(),
            at: clocks::wall(),
            who: context.who.to_owned(),
        };
        let is_new = changing.store.put_draft(&draft, POPUPS_MAX)?;
        let is_new = is_new.ok_or(PublishError::TooManyDrafts(POPUPS_MAX))?;
        self.log_draft(context, "put");
        Ok(Drafted { draft, is_new, warnings: warnings_in(&compiled, context.id) })
    }

    /// Takes a popup's draft away.
    ///
    /// # Errors
    /// `NoDraft`, or where the popup is the file's and has none; where it has another version than
    /// is asked for, and where the store fails.
    pub fn delete_draft(&self, context: EditContext<'_>) -> Result<(), PublishError> {
        let mut changing = self.turn(self.turn_max).inspect_err(|error| self.count_late(error))?;
        self.catch_up(&mut changing)?;
        let current = self.current();
        let known = current.find(context.id);
        check_expected(known, context.expected)?;
        // One that was put before the file had the popup may go.
        if changing.store.delete_draft(context.id)? {
            self.log_draft(context, "deleted");
            return Ok(());
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
