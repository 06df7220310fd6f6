//! Reads the layers of the configuration: the file, the environment, the flags. The only place that
//! looks at either.

use std::ffi::OsString;
use std::path::PathBuf;

use nudged_config::{
    self, DEFAULT_FILE, Environment, Examined, File, Flag, Loaded, ProblemKind, Problems,
    SettingProblem, SettingSource,
};

use super::arguments::SharedArguments;
use super::failure::Failure;

/// Names the configuration file where no flag does.
const FILE_VARIABLE: &str = "NUDGED_CONFIG";
/// What the names of our variables start with.
const PREFIX: &str = "NUDGED_";

/// The configuration of this process: the file of `--config`, else the one that the environment
/// names, else `nudged.toml` of the working directory if it is there. `flags` are the command's
/// own.
///
/// # Errors
/// Everything that is wrong, a line each.
pub fn load(shared: &SharedArguments, flags: &[Flag]) -> Result<Loaded, Failure> {
    let Examined { loaded, problems } = examine(shared, flags);
    if problems.is_empty() {
        return Ok(loaded);
    }
    Err(Failure::Configuration(Problems(problems).to_string()))
}

/// As [`load`], with what could be read beside everything that is wrong.
pub fn examine(shared: &SharedArguments, flags: &[Flag]) -> Examined {
    let (environment, mut problems) = environment(std::env::vars_os());
    let named = environment.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
    let named = named.map(|(_, value)| PathBuf::from(value));
    let path = shared.config.clone().or(named);
    let (path, is_optional) = match path {
        Some(path) => (path, false),
        None => (PathBuf::from(DEFAULT_FILE), true),
    };
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if is_optional && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let origin = SettingSource::File { name: name.as_str().into(), line: 0, column: 0 };
            let kind = ProblemKind::Unreadable(error.to_string());
            problems.push(SettingProblem { origin, key: String::new(), kind });
            None
        }
    };
    let file = text.as_deref().map(|text| File { name: &name, text });
    let mut examined =
        nudged_config::examine(file, &environment, &[&shared.flags(), flags].concat());
    examined.problems.splice(0..0, problems);
    examined
}

/// Says which variables look like ours and are none, on standard error: for commands that have no
/// log and no report.
pub fn print_unknown_variables() {
    let (environment, _) = environment(std::env::vars_os());
    for unknown in nudged_config::examine(None, &environment, &[]).loaded.unknown_variables {
        eprintln!(
            "nudged: warning: environment variable {} is unknown; the nearest is {}",
            unknown.name, unknown.nearest
        );
    }
}

/// Our variables as texts. One of ours that is no text is a problem, not passed over.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> (Environment, Vec<SettingProblem>) {
    let (mut texts, mut problems) = (Environment::new(), Vec::new());
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        if !name.starts_with(PREFIX) {
            continue;
        }
        match value.into_string() {
            Ok(value) => texts.push((name, value)),
            Err(_) => problems.push(SettingProblem {
                origin: SettingSource::Environment(name),
                key: String::new(),
                kind: ProblemKind::NotText,
            }),
        }
    }
    texts.sort();
    (texts, problems)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_variable_of_ours_that_is_no_text_is_named_and_others_are_not() {
        let bytes = OsString::from_vec(vec![0xff]);
        let pairs = [("NUDGED_DATA", bytes.clone()), ("OTHER", bytes), ("NUDGED_PIN", "x".into())];
        let pairs = pairs.into_iter().map(|(name, value)| (OsString::from(name), value));
        let (texts, problems) = environment(pairs);
        assert_eq!(texts, [("NUDGED_PIN".to_owned(), "x".to_owned())]);
        let said = Problems(problems).to_string();
        assert_eq!(said, "environment variable NUDGED_DATA: its value is not UTF-8");
    }

    #[test]
    fn a_file_that_is_named_and_missing_is_an_error_of_the_file() {
        let config = Some(PathBuf::from("/nowhere/nudged.toml"));
        let shared = SharedArguments { config, ..SharedArguments::default() };
        let said = load(&shared, &[]).unwrap_err().to_string();
        assert!(
            said.starts_with("/nowhere/nudged.toml: can't read the configuration file: "),
            "{said}"
        );
    }
}
