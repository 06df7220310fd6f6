//! What is to be said of a popup's text before anybody stores it: every error of it, and what is
//! allowed beside all that is live and still can't be meant. Changes nothing and asks no store.

use std::sync::Arc;

use super::Publisher;
use super::prepare::{compile_aside, definitions_of};
use nudged_base::time::WallMs;
use nudged_domain::catalog::lint::{Warning, ended, lint};
use nudged_domain::catalog::source::{Definition, Format, SourceError, parse_sole};

/// A popup's text that was looked at.
#[derive(Clone, Debug, Default)]
pub struct CheckedPopup {
    /// Every error.
    pub errors: Vec<SourceError>,
    /// What is allowed in it, or in the catalog that it would be in, and still can't be meant.
    pub warnings: Vec<Warning>,
    /// What it says, where it is right.
    pub definition: Option<Arc<Definition>>,
    /// Whether it is right, and not what the popup is already.
    pub is_change: bool,
}

impl CheckedPopup {
    fn refused(errors: Vec<SourceError>) -> CheckedPopup {
        CheckedPopup { errors, ..CheckedPopup::default() }
    }
}

impl Publisher {
    /// Looks at the text of a popup, whose id may be in it alone, as it would be at a time.
    pub fn check_popup(
        &self,
        (text, format): (&str, Format),
        id: Option<&str>,
        now: WallMs,
    ) -> CheckedPopup {
        let definition = match parse_sole(text, format, id) {
            Ok(definition) => Arc::new(definition),
            Err(errors) => return CheckedPopup::refused(errors),
        };
        let (current, id) = (self.current(), definition.id().to_owned());
        let mut definitions = definitions_of(&current.popups);
        let known = current.find(&id).filter(|known| !known.stored.is_gone);
        let is_change = known.is_none_or(|known| known.definition != definition);
        definitions.insert(id.clone(), Arc::clone(&definition));
        let snapshot = match compile_aside(&definitions, &self.config()) {
            Ok(snapshot) => snapshot,
            Err(errors) => return CheckedPopup::refused(errors),
        };
        let mut warnings = lint(&snapshot);
        warnings.extend(ended(&snapshot, now));
        warnings.retain(|warning| warning.popup.as_deref().is_none_or(|of| of == id));
        CheckedPopup { errors: Vec::new(), warnings, definition: Some(definition), is_change }
    }
}
