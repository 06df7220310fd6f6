//! Floor 0: values that every floor above speaks of. Knows nothing of the domain, of protocols or
//! of the operating system.

pub mod backoff;
pub mod clock;
pub mod event_kind;
pub mod hash;
pub mod hex;
pub mod ids;
pub mod limits;
pub mod mix;
pub mod rate;
pub mod sketch;
pub mod slab;
pub mod telemetry;
pub mod time;
pub mod word;
