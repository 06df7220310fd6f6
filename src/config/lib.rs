//! Configuration: what an operator may set, from where, and what is wrong with it.
//!
//! Flags beat environment beats file beats defaults (docs/operations.md#settings). This module is
//! given text and pairs; it reads no file and no environment, and knows nothing of what the
//! settings do.
//!
//! `schema` the settings as values, with their defaults · `keys` the table of keys: name, reader,
//! when a change takes effect · `tree` a text as values with their places · `near` the name that
//! was meant · `value` what a key may hold · `expected` its range in words · `load` the layers, one
//! over the other, `layers` what they have set · `listener` addresses and the `word`s behind them ·
//! `network` networks · `relations` what keys can't mean together · `url`
//! where stores are · `origin` how browsers spell origins · `problem` everything that is wrong,
//! with file, line and range · `reload` which changes wait for a restart.

mod expected;
mod keys;
mod layers;
mod listener;
mod load;
pub mod near;
mod network;
mod origin;
mod problem;
mod relations;
mod reload;
mod schema;
pub mod tree;
mod url;
mod value;
mod word;

pub use expected::Expectation;
pub use keys::variable_of;
pub use layers::{File, UnknownVariable};
pub use load::{DEFAULT_FILE, Environment, Examined, Flag, Loaded, examine, load};
pub use network::Network;
pub use problem::{ProblemKind, Problems, SettingProblem, SettingSource};
pub use reload::{Difference, reloadable_difference};
pub use schema::{
    AckMode, AdminAddress, Config, ConsoleAccess, CorsSettings, Count, DataListener,
    JournalSettings, KeySettings, LimitSettings, LogFormat, LogSettings, MysqlSettings,
    ProxySettings, QueueMode, RedisSettings, SecretText, TlsSettings, TlsVersion,
};
pub use url::UrlProblem;
pub use value::{ElementProblem, ValueRefusal};
pub use word::WordProblem;

#[cfg(test)]
mod tests;
