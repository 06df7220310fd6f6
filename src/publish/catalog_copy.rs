//! The last good copy of a catalog, for a start without the server that has the truth: as text, and
//! as a file in the data directory. Off the hot path. Must not know where else copies are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use nudged_base::limits::POPUPS_FILE_BYTES_MAX;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::{
    Override, OverrideId, OverrideKind, decode_all, encode_all,
};
use nudged_domain::catalog::snapshot::Status;
use nudged_runtime::whole_file;
use nudged_store::{PopupOrigin, StoredCatalog, StoredPopup};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "catalog.json";

#[derive(Serialize, Deserialize)]
struct Copy<'a> {
    version: u64,
    #[serde(borrow)]
    popups: Vec<CopiedPopup<'a>>,
    /// Absent from what an older version wrote.
    #[serde(borrow, default)]
    overrides: Option<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct CopiedPopup<'a> {
    id: String,
    version: u32,
    /// What an older version wrote of pauses and archives.
    #[serde(default, skip_serializing)]
    status_override: Option<String>,
    origin: String,
    is_gone: bool,
    #[serde(borrow)]
    definition: &'a RawValue,
}

/// A catalog as text.
pub fn encode<'a>(
    version: u64,
    popups: impl Iterator<Item = &'a StoredPopup>,
    overrides: &[Override],
) -> String {
    let copied = |popup: &'a StoredPopup| CopiedPopup {
        id: popup.id.clone(),
        version: popup.version,
        status_override: None,
        origin: popup.origin.word().to_owned(),
        is_gone: popup.is_gone,
        definition: serde_json::from_str(&popup.text).expect("what is stored is JSON"),
    };
    let overrides = RawValue::from_string(encode_all(overrides.iter())).expect("it is JSON");
    let popups = popups.map(copied).collect();
    let copy = Copy { version, popups, overrides: Some(&overrides) };
    serde_json::to_string(&copy).expect("our own values serialize")
}

/// A catalog of its text; `None` for any other text.
pub fn decode(text: &str) -> Option<StoredCatalog> {
    let copy: Copy<'_> = serde_json::from_str(text).ok()?;
    let mut popups = Vec::with_capacity(copy.popups.len());
    let mut overrides = copy.overrides.map_or(Some(Vec::new()), |text| decode_all(text.get()))?;
    for popup in copy.popups {
        if let Some(word) = popup.status_override.filter(|_| !popup.is_gone) {
            overrides.extend(entry_of(&popup.id, Status::of_word(&word)?));
        }
        popups.push(StoredPopup {
            id: popup.id,
            version: popup.version,
            text: popup.definition.get().to_owned(),
            origin: if popup.origin == PopupOrigin::Api.word() {
                PopupOrigin::Api
            } else {
                PopupOrigin::File
            },
            is_gone: popup.is_gone,
        });
    }
    popups.is_sorted_by(|one, other| one.id < other.id).then_some(())?;
    overrides.sort_by_key(|entry| entry.id);
    Some(StoredCatalog { version: copy.version, popups, overrides })
}

/// The entry of a status that a text without entries has of a popup: the same id each time.
pub fn entry_of(popup: &str, status: Status) -> Option<Override> {
    let kind = [OverrideKind::Pause, OverrideKind::Archive]
        .into_iter()
        .find(|kind| kind.status() == status)?;
    let digest = Sha256::digest(format!("nudged status {} of {popup}", kind.word()));
    let id = OverrideId(u128::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes")));
    let who = "an older version of nudged".into();
    Some(Override { id, popup: popup.into(), kind, at: WallMs(0), who, end: None })
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

    fn catalog() -> StoredCatalog {
        let popup = |id: &str, origin, is_gone| StoredPopup {
            id: id.to_owned(),
            version: 3,
            text: format!("{{\"id\":\"{id}\",\"content\":{{\"b\":1.50,\"a\":\"é\"}}}}"),
            origin,
            is_gone,
        };
        StoredCatalog {
            version: 7,
            popups: vec![
                popup("a", PopupOrigin::File, false),
                popup("b", PopupOrigin::File, true),
                popup("c", PopupOrigin::Api, false),
            ],
            overrides: vec![entry_of("c", Status::Paused).unwrap()],
        }
    }

    fn text_of(catalog: &StoredCatalog) -> String {
        encode(catalog.version, catalog.popups.iter(), &catalog.overrides)
    }

    #[test]
    fn what_an_older_version_wrote_keeps_its_pauses() {
        let catalog = catalog();
        let text = text_of(&StoredCatalog { overrides: Vec::new(), ..catalog.clone() });
        let older = text
            .replace(",\"overrides\":[]", "")
            .replace("\"version\":3", "\"version\":3,\"status_override\":\"archived\"")
            .replacen("\"archived\"", "\"live\"", 1)
            .replace(
                "{\"id\":\"c\",\"version\":3,\"status_override\":\"archived\"",
                "{\"id\":\"c\",\"version\":3,\"status_override\":\"paused\"",
            );
        assert_eq!(decode(&older), Some(catalog), "{older}");
    }

    #[test]
    fn a_copy_reads_back_to_the_byte_and_nothing_else_does() {
        let catalog = catalog();
        let text = text_of(&catalog);
        assert_eq!(decode(&text), Some(catalog));
        for end in 0..text.len() {
            assert_eq!(text.get(..end).and_then(decode), None, "cut at {end}");
        }
        assert_eq!(decode(&text.replace("\"pause\"", "\"live\"")), None);
    }

    #[test]
    fn the_file_is_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()), None);
        let catalog = catalog();
        write(directory.path(), &encode(1, std::iter::empty(), &[])).unwrap();
        write(directory.path(), &text_of(&catalog)).unwrap();
        assert_eq!(read(directory.path()), Some(catalog));
        std::fs::write(directory.path().join(FILE_NAME), "{\"version\":1").unwrap();
        assert_eq!(read(directory.path()), None);
    }
}
