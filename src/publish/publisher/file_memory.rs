//! What this node's popups file was when it was imported last: a digest in the data directory. By
//! it a node that changes popups of the file knows whose they were: those that its own file had
//! set, which is a deployment, or those of another node's file, which that one will set again.
//! Must not know what is in a popup.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use nudged_base::hex;
use nudged_runtime::whole_file;
use nudged_store::{StoredCatalog, StoredPopup};

/// The file's name in the data directory.
const FILE_NAME: &str = "popups-digest";

/// The digest of what popups files have set, in hex.
fn digest(catalog: &StoredCatalog) -> String {
    let mut hasher = Sha256::new();
    for popup in catalog.popups.iter().filter(|popup| popup.is_in_file()) {
        for text in [&popup.id, &popup.text] {
            hasher.update(text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hex::encode(&hasher.finalize())
}

/// The ids that an import of this node's file has changed or archived, where another node's file
/// had set them; remembers the file. Where it can't be remembered, the next import asks once more.
pub(super) fn replaced(
    directory: &Path,
    before: &StoredCatalog,
    after: &StoredCatalog,
) -> Vec<String> {
    let own = std::fs::read_to_string(directory.join(FILE_NAME)).unwrap_or_default();
    let (found, now) = (digest(before), digest(after));
    if now != own {
        let _ = whole_file::write(directory, FILE_NAME, now.as_bytes());
    }
    if found == own {
        return Vec::new();
    }
    let is_replaced = |popup: &&StoredPopup| {
        let place = after.popups.binary_search_by(|other| other.id.cmp(&popup.id));
        let later = place.ok().map(|index| &after.popups[index]);
        later.is_none_or(|later| later.is_gone || later.text != popup.text)
    };
    let in_file = before.popups.iter().filter(|popup| popup.is_in_file());
    in_file.filter(is_replaced).map(|popup| popup.id.clone()).collect()
}

/// Whether popups files have set what this node's own file had set when it was imported last.
pub(super) fn is_own(directory: &Path, catalog: &StoredCatalog) -> bool {
    let own = std::fs::read_to_string(directory.join(FILE_NAME));
    own.is_ok_and(|own| own == digest(catalog))
}

/// This node has no popups file: what another one's sets is not its own, however alike they are.
pub(super) fn forget(directory: &Path) {
    // There mostly is none.
    let _ = std::fs::remove_file(directory.join(FILE_NAME));
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_store::PopupOrigin;

    /// A catalog of the file's popups, each (id, priority), and of one of the API.
    fn catalog(version: u64, file: &[(&str, u32)]) -> StoredCatalog {
        let popup = |id: &str, text: String, origin| StoredPopup {
            id: id.to_owned(),
            version: 1,
            text,
            origin,
            is_gone: false,
        };
        let file = file.iter().map(|(id, priority)| {
            popup(id, format!("{{\"id\":\"{id}\",\"priority\":{priority}}}"), PopupOrigin::File)
        });
        let of_api =
            popup("z", format!("{{\"id\":\"z\",\"priority\":{version}}}"), PopupOrigin::Api);
        StoredCatalog { version, popups: file.chain([of_api]).collect(), overrides: Vec::new() }
    }

    #[test]
    fn what_another_file_set_is_told_and_a_deployment_is_not() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (one.path(), other.path());
        let empty = catalog(1, &[]);
        let first = catalog(2, &[("a", 1), ("b", 1)]);
        let second = catalog(3, &[("a", 2), ("b", 1)]);
        let wrong = catalog(4, &[("a", 1)]);
        let none: [&str; 0] = [];
        assert_eq!(replaced(one, &empty, &first), none, "the first file of all");
        assert_eq!(replaced(other, &first, &first), none, "the same on another node");
        assert_eq!(replaced(one, &first, &second), none, "a deployment begins");
        assert_eq!(replaced(other, &second, &second), none, "and goes on");
        assert_eq!(replaced(other, &second, &catalog(9, &[("a", 2), ("b", 1), ("c", 1)])), none);
        // A node whose file was forgotten.
        let third = tempfile::tempdir().unwrap();
        assert_eq!(replaced(third.path(), &second, &wrong), ["a", "b"]);
        assert_eq!(replaced(one, &wrong, &second), ["a"], "and it is set again");
        assert_eq!(replaced(third.path(), &second, &wrong), ["a", "b"], "as often as it happens");
        assert!(is_own(third.path(), &wrong) && !is_own(third.path(), &second));
        forget(third.path());
        assert!(!is_own(third.path(), &wrong));
    }
}
