//! The last good copy of a catalog, for a start without the server that has the truth: as text, and
//! as a file in the data directory. Off the hot path. Must not know where else copies are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::base::limits::POPUPS_FILE_BYTES_MAX;
use crate::runtime::whole_file;
use crate::store::{Origin, StoredCatalog, StoredPopup, status_of, status_word};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "catalog.json";

#[derive(Serialize, Deserialize)]
struct Copy<'a> {
    version: u64,
    #[serde(borrow)]
    popups: Vec<CopiedPopup<'a>>,
}

#[derive(Serialize, Deserialize)]
struct CopiedPopup<'a> {
    id: String,
    version: u32,
    status_override: Option<String>,
    origin: String,
    is_gone: bool,
    #[serde(borrow)]
    definition: &'a RawValue,
}

/// A catalog as text.
pub fn encode<'a>(version: u64, popups: impl Iterator<Item = &'a StoredPopup>) -> String {
    let copied = |popup: &'a StoredPopup| CopiedPopup {
        id: popup.id.clone(),
        version: popup.version,
        status_override: popup.status_override.map(|status| status_word(status).to_owned()),
        origin: popup.origin.word().to_owned(),
        is_gone: popup.is_gone,
        definition: serde_json::from_str(&popup.text).expect("what is stored is JSON"),
    };
    let copy = Copy { version, popups: popups.map(copied).collect() };
    serde_json::to_string(&copy).expect("our own values serialize")
}

/// A catalog of its text; `None` for any other text.
pub fn decode(text: &str) -> Option<StoredCatalog> {
    let copy: Copy<'_> = serde_json::from_str(text).ok()?;
    let mut popups = Vec::with_capacity(copy.popups.len());
    for popup in copy.popups {
        let status_override = match popup.status_override {
            Some(word) => Some(status_of(&word)?),
            None => None,
        };
        popups.push(StoredPopup {
            id: popup.id,
            version: popup.version,
            status_override,
            text: popup.definition.get().to_owned(),
            origin: if popup.origin == Origin::Api.word() { Origin::Api } else { Origin::File },
            is_gone: popup.is_gone,
        });
    }
    popups.is_sorted_by(|one, other| one.id < other.id).then_some(())?;
    Some(StoredCatalog { version: copy.version, popups })
}

/// Writes the file, whole.
///
/// # Errors
/// What the system says.
pub fn write(directory: &Path, text: &str) -> io::Result<()> {
    whole_file::write(directory, FILE_NAME, text.as_bytes())
}

/// Reads the file; `None` where there is none that can be read.
pub fn read(directory: &Path) -> Option<StoredCatalog> {
    let file = File::open(directory.join(FILE_NAME)).ok()?;
    let mut text = String::new();
    file.take(POPUPS_FILE_BYTES_MAX.saturating_mul(2)).read_to_string(&mut text).ok()?;
    decode(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::snapshot::Status;

    fn catalog() -> StoredCatalog {
        let popup = |id: &str, status_override, origin, is_gone| StoredPopup {
            id: id.to_owned(),
            version: 3,
            status_override,
            text: format!("{{\"id\":\"{id}\",\"content\":{{\"b\":1.50,\"a\":\"é\"}}}}"),
            origin,
            is_gone,
        };
        StoredCatalog {
            version: 7,
            popups: vec![
                popup("a", None, Origin::File, false),
                popup("b", Some(Status::Archived), Origin::File, true),
                popup("c", Some(Status::Paused), Origin::Api, false),
            ],
        }
    }

    #[test]
    fn a_copy_reads_back_to_the_byte_and_nothing_else_does() {
        let catalog = catalog();
        let text = encode(catalog.version, catalog.popups.iter());
        assert_eq!(decode(&text), Some(catalog));
        for end in 0..text.len() {
            assert_eq!(text.get(..end).and_then(decode), None, "cut at {end}");
        }
        assert_eq!(decode(&text.replace("paused", "on")), None);
    }

    #[test]
    fn the_file_is_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()), None);
        let catalog = catalog();
        write(directory.path(), &encode(1, std::iter::empty())).unwrap();
        write(directory.path(), &encode(7, catalog.popups.iter())).unwrap();
        assert_eq!(read(directory.path()), Some(catalog));
        std::fs::write(directory.path().join(FILE_NAME), "{\"version\":1").unwrap();
        assert_eq!(read(directory.path()), None);
    }
}
