//! The layers, one over the other: defaults, file, environment, flags. Every layer is read whole,
//! so that one run names every error, also those in values that a higher layer would replace.

use super::keys::position;
use super::layers::{File, Layers, UnknownVariable};
use super::problem::{Problems, SettingProblem, SettingSource};
use super::relations;
use super::schema::Config;
use super::tree::TreeValue;

/// The file that is read where no other is named, if it is there.
pub const DEFAULT_FILE: &str = "nudged.toml";

/// The environment, as pairs of name and value; names that are not ours are passed over.
pub type Environment = Vec<(String, String)>;

/// A flag that stands for a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// The flag as people type it: `--shards`.
    pub name: &'static str,
    /// The key that it sets.
    pub key: &'static str,
    /// Its value: `Loose`, or a list of them where it may be given more than once.
    pub value: TreeValue,
}

/// A configuration without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Variables that look like ours and are no keys, by name. They are told, not refused:
    /// Kubernetes sets such names (`NUDGED_PORT`) for a service called nudged.
    pub unknown_variables: Vec<UnknownVariable>,
    /// The configuration file that was read; `None` where there is none.
    pub file: Option<String>,
    origins: Vec<SettingSource>,
}

impl Loaded {
    /// Where the value of a key came from; `None` for a key that does not exist.
    pub fn origin(&self, key: &str) -> Option<&SettingSource> {
        position(key).map(|index| &self.origins[index])
    }
}

/// A configuration with whatever is wrong with it: a key that could not be read has its default.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The settings and where they come from.
    pub loaded: Loaded,
    /// Everything that is wrong, in all layers; empty where nothing is.
    pub problems: Vec<SettingProblem>,
}

impl Examined {
    /// Whether none of these keys has a problem of its own.
    pub fn are_right(&self, keys: &[&str]) -> bool {
        !self.problems.iter().any(|problem| keys.contains(&problem.key_of_table()))
    }
}

/// Lays file, environment and flags over the defaults. Allocates; to be called at start and
/// reload.
///
/// # Errors
/// Everything that is wrong, in all layers.
pub fn load(
    file: Option<File<'_>>,
    environment: &[(String, String)],
    flags: &[Flag],
) -> Result<Loaded, Problems> {
    let Examined { loaded, problems } = examine(file, environment, flags);
    if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems)) }
}

/// As [`load`], with what could be read where something is wrong: who looks for everything that is
/// wrong goes on from it.
pub fn examine(
    file: Option<File<'_>>,
    environment: &[(String, String)],
    flags: &[Flag],
) -> Examined {
    let mut layers = Layers::defaults();
    if let Some(file) = file {
        layers.read_file(file);
    }
    let unknown_variables = layers.read_environment(environment);
    for flag in flags {
        layers.read_flag(flag.name, flag.key, &flag.value);
    }
    relations::check(&mut layers);
    let Layers { config, origins, problems } = layers;
    let file = file.map(|file| file.name.to_owned());
    Examined { loaded: Loaded { config, unknown_variables, file, origins }, problems }
}
