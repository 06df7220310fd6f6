//! The journal on the dedicated core: `executor` drives the appender, `directory` has the files,
//! and `lanes` lead there from the shards and back. The only place that knows glommio.

pub mod directory;
pub mod executor;
pub mod lanes;
