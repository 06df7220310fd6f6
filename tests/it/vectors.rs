//! The published decision vectors hold for the real decision core. They are the semantics as data:
//! whoever writes another implementation has nothing else to go by.

use std::path::PathBuf;

use nudged::node::vectors::run;

#[test]
fn the_published_vectors_pass() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors"));
    let mut files: Vec<PathBuf> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        assert_eq!(run(std::slice::from_ref(&file)), 0, "{} has failures", file.display());
    }
}
