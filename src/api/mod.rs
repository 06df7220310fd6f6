//! Requests to commands, outcomes to replies. `routes` paths, methods, keys, CORS · `json` bounded
//! strict JSON into scratch · `decide` and `events` requests and their replies · `token` the signed
//! identity of an impression · `health`.

pub mod token;
