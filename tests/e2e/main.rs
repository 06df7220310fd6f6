//! Properties of the real thing: processes, sockets, signals, files. One module each; what they
//! share is `harness`, `client`, `cluster` and `database`.
//!
//! What needs more rights than a test has (mounts) says so and passes.

// A failed `unwrap` in a test is the test's failure.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod cluster;
mod database;
mod harness;

mod admin;
mod api;
mod backup;
mod balancers;
mod bare;
mod browser;
mod canary;
mod catalog;
mod console;
mod console_pages;
mod degradation;
mod disks;
mod doctor;
mod drain;
mod eviction;
mod first_minute;
mod former_versions;
mod growing;
mod http;
mod io_uring;
mod journal;
mod journal_command;
mod kill_loop;
mod limits;
mod live;
mod logs;
mod metrics;
mod moving;
mod mysql;
mod operators;
mod overrides;
mod preview_users;
mod rates;
mod readme;
mod redis;
mod redis_fit;
mod redis_memory;
mod reload;
mod requests;
mod retention;
mod retired;
mod shards;
mod signals;
mod signed_users;
mod snippet;
mod sources;
mod sql_away;
mod sql_rights;
mod threads;
mod tls;
mod tokens;
mod top;
mod two_vms;
mod typed_client;
mod unread;
mod upgrade;
mod vendor_balancers;
mod vendor_monitoring;
mod vendor_seccomp;
mod vendor_systemd;
mod withdrawn;
