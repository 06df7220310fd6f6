//! A user's state: facts, not conclusions (docs/semantics.md#what-is-remembered). `user` its shape
//! and its compact encoding · `apply` the only functions that change it · `slice` a shard's bounded
//! table of them. Knows catalog ids; knows nothing of requests, journal or storage.

pub mod apply;
pub mod slice;
pub mod user;
