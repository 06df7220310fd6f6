//! What lies in the data directory, by name and size.

use std::path::Path;

use serde_json::{Map, Value, json};

use nudged_base::limits::STATUS_FILES_MAX;
use nudged_runtime::journal::directory::free_bytes;

/// The directory's files and the room on its disk; files of the journal are told with it.
pub(super) fn files_json(data: &Path) -> Value {
    let mut files = Map::new();
    let mut names: Vec<_> = std::fs::read_dir(data).into_iter().flatten().flatten().collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names.into_iter().take(STATUS_FILES_MAX) {
        // One that has just gone is not there.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, json!(metadata.len()));
        }
    }
    json!({
        "directory": data.display().to_string(),
        "free_bytes": free_bytes(data).ok(),
        "files": files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_with_their_sizes_and_directories_are_not() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("nudged.db"), b"abc").unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        let value = files_json(directory.path());
        assert_eq!(value["files"], json!({ "nudged.db": 3 }));
        assert!(value["free_bytes"].as_u64().unwrap() > 0);
        assert_eq!(files_json(Path::new("/nowhere"))["files"], json!({}));
    }
}
