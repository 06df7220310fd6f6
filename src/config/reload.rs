//! What a reload may change in a running node: the keys of which their table says `Reload`. Any
//! other changed key is named and waits for a restart.

use super::keys::{KEYS, When};
use super::schema::Config;

/// How a new configuration differs from the running one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What to run with: the new values of reloadable keys, the running values of all others.
    pub config: Config,
    /// Changed keys that take effect now.
    pub applied: Vec<&'static str>,
    /// Changed keys that wait for a restart.
    pub waiting: Vec<&'static str>,
}

/// Compares the running configuration with a new one, key by key.
pub fn reloadable_difference(running: &Config, new: &Config) -> Difference {
    let mut config = running.clone();
    let (mut applied, mut waiting) = (Vec::new(), Vec::new());
    for key in KEYS.iter().filter(|key| !(key.same)(running, new)) {
        match key.when {
            When::Reload => {
                (key.copy)(&mut config, new);
                applied.push(key.name);
            }
            When::Restart => waiting.push(key.name),
        }
    }
    Difference { config, applied, waiting }
}
