//! Reads the layers of the configuration: the file, the environment, the flags. The only place that
//! looks at either.

use std::path::{Path, PathBuf};

use crate::config::{self, DEFAULT_FILE, File, Flag, Loaded};

use super::failure::Failure;

/// Names the configuration file where no flag does.
const FILE_VARIABLE: &str = "NUDGED_CONFIG";

/// The configuration of this process. `file` is that of `--config`; without it the environment may
/// name one, else `nudged.toml` of the working directory is read if it is there.
///
/// # Errors
/// Everything that is wrong, a line each.
pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Loaded, Failure> {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let named = environment.iter().find(|(name, _)| name == FILE_VARIABLE);
    let named = named.map(|(_, value)| PathBuf::from(value));
    let path = file.map(Path::to_path_buf).or(named);
    let (path, is_optional) = match path {
        Some(path) => (path, false),
        None => (PathBuf::from(DEFAULT_FILE), true),
    };
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if is_optional && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::Configuration(format!("{name}: {error}"))),
    };
    let file = text.as_deref().map(|text| File { name: &name, text });
    config::load(file, &environment, flags)
        .map_err(|problems| Failure::Configuration(problems.to_string()))
}
