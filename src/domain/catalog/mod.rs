//! The catalog: popups as people write them, compiled off the hot path into an immutable snapshot
//! that a decision reads from start to end. Knows nothing of users' state, requests or storage.
//!
//! `source` text → definitions, every error with file, line and range · `compile` definitions →
//! snapshot · `snapshot` what a decision reads · `target` rules · `code` rules as flat code ·
//! `pivot` what popups are found by · `placement` the live popups of a placement, by that ·
//! `version` what versions are and how they order · `schedule` windows and zones · `overrides` what
//! operators set above statuses · `lint` what can never be seen.

pub(crate) mod code;
pub mod compile;
pub mod lint;
pub mod overrides;
pub(crate) mod pivot;
pub(crate) mod placement;
pub mod schedule;
pub mod snapshot;
pub mod source;
pub mod target;
pub mod version;
