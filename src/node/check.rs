//! `nudged check`: reads files of popups, prints every error and every warning.
//!
//! Knows files and what to print; what is right and wrong is the catalog's.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::{redis, settings};
use crate::admin::popups_file::{self, PopupsFileError};
use crate::admin::publisher;
use crate::catalog::compile::{Entry, compile};
use crate::catalog::lint::{Warning, lint};
use crate::catalog::snapshot::Settings;
use crate::catalog::source::{Definition, SourceError};
use crate::config::Config;
use crate::store::mysql;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// 0 where all files are right, with warnings or without; 2 where one is not.
    pub exit_code: u8,
    /// A line for each error and warning, and one for each file that is right.
    pub text: String,
}

/// Checks files of popups, each as a catalog of its own, with the default settings.
pub fn run(popups: &[PathBuf]) -> Report {
    let mut report = Report { exit_code: 0, text: String::new() };
    for path in popups {
        add_popups_file(path, &Settings::default(), &mut report);
    }
    report
}

/// Checks the configuration of this directory and environment, or of `config`, and the files of
/// popups: those given, else the configuration's own. Everything that is wrong is said, not only
/// the first.
pub fn run_with_config(config: Option<&Path>, popups: &[PathBuf]) -> Report {
    let mut report = Report { exit_code: 0, text: String::new() };
    let (loaded, settings) = match load_settings(config) {
        Ok(both) => both,
        Err(lines) => {
            writeln!(report.text, "{lines}").expect("a String takes all text");
            report.exit_code = 2;
            (None, Settings::default())
        }
    };
    let redis_problem = loaded.as_ref().and_then(|config| redis::address_of(config).err());
    let mysql_problem = loaded.as_ref().and_then(|config| {
        let urls = [&config.mysql.url, &config.mysql.replica].into_iter().flatten();
        let mut problems = urls.filter_map(|url| mysql::check_url(url.expose()).err());
        problems.next().map(Failure::from)
    });
    if let Some(problem) = redis_problem.or(mysql_problem) {
        writeln!(report.text, "{problem}").expect("a String takes all text");
        report.exit_code = 2;
    } else if loaded.is_some() {
        writeln!(report.text, "configuration: ok").expect("a String takes all text");
    }
    let own = loaded.and_then(|config| config.popups);
    let files = if popups.is_empty() { own.as_slice() } else { popups };
    for path in files {
        add_popups_file(path, &settings, &mut report);
    }
    report
}

fn load_settings(config: Option<&Path>) -> Result<(Option<Config>, Settings), String> {
    let config = settings::load(config, &[]).map_err(|failure| failure.to_string())?.config;
    let found = publisher::settings_of(&config);
    Ok((Some(config), found))
}

/// Adds what is to be said of one file of popups to a report.
pub fn add_popups_file(path: &Path, settings: &Settings, report: &mut Report) {
    let mut lines = Vec::new();
    let file = path.display();
    match check_popups_file(path, settings) {
        Ok(warnings) => {
            lines.extend(warnings.iter().map(|warning| format!("{file}: warning: {warning}")));
            lines.push(format!("{file}: ok"));
        }
        Err(errors) => {
            lines = errors;
            report.exit_code = 2;
        }
    }
    for line in lines {
        writeln!(report.text, "{line}").expect("a String takes all text");
    }
}

/// Checks one file of popups: its warnings where it is right.
///
/// # Errors
/// A line for each error, the file's name before it.
pub fn check_popups_file(path: &Path, settings: &Settings) -> Result<Vec<Warning>, Vec<String>> {
    let definitions = read_popups_file(path)?;
    let entry =
        |definition| Entry { definition, version: 1, status: Definition::status(definition) };
    let entries: Vec<_> = definitions.iter().map(entry).collect();
    let snapshot =
        compile(&entries, settings.clone(), 1).map_err(|errors| in_file(path, &errors))?;
    Ok(lint(&snapshot))
}

/// Reads one file of popups: JSON where its name ends in `.json`, else TOML.
///
/// # Errors
/// A line for each error, the file's name before it.
pub fn read_popups_file(path: &Path) -> Result<Vec<Definition>, Vec<String>> {
    popups_file::read(path).map_err(|error| match error {
        PopupsFileError::Unreadable(error) => vec![format!("{}: {error}", path.display())],
        PopupsFileError::Refused(errors) => in_file(path, &errors),
    })
}

fn in_file(path: &Path, errors: &[SourceError]) -> Vec<String> {
    let file = path.display().to_string();
    errors.iter().map(|error| error.in_file(&file)).collect()
}

#[cfg(test)]
mod tests;
