//! Floor 5: what operators see and do. `publisher` the one way by which popups and reloadable
//! settings change · `popups_file` the file they come from · `shards` commands to shards.

pub mod popups_file;
pub mod publisher;
pub mod shards;
