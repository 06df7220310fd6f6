//! `nudged check`: the configuration, what this host says of it, and popups; every error and every
//! warning of each, not only of the first that fails.
//!
//! `host` what only this host can tell · `directory` the data directory · `report` what was found.
//! Knows files and what to print; what is right and wrong is the configuration's and the catalog's.

use std::path::{Path, PathBuf};

use self::report::{Finding, Report, Severity};
use super::arguments::CheckArguments;
use super::settings;
use crate::admin::popups_file::{self, PopupsFileError};
use crate::admin::publisher;
use crate::catalog::compile::{Entry, compile};
use crate::catalog::lint::{Warning, lint};
use crate::catalog::snapshot::Settings;
use crate::catalog::source::Definition;
use crate::config::Kind;

mod directory;
mod host;
pub mod report;

/// Checks files of popups, each as a catalog of its own, with the default settings.
pub fn run(popups: &[PathBuf]) -> Report {
    let mut report = Report::default();
    for path in popups {
        add_popups_file(path, &Settings::default(), &mut report);
    }
    report
}

/// Checks the configuration of this directory, environment and flags, and the files of popups:
/// those given, else the configuration's own.
pub fn run_with_config(arguments: &CheckArguments) -> Report {
    let mut report = Report::default();
    let examined = settings::examine(arguments.config.as_deref(), &arguments.flags());
    for problem in &examined.problems {
        report.add(Finding::of_config(problem));
    }
    for unknown in &examined.loaded.unknown_variables {
        let message = format!("is not known; the nearest is {}", unknown.nearest);
        let finding = Finding::new(Severity::Warning, "", "unknown_variable", message);
        report.add(Finding { source: Some(unknown.name.clone()), ..finding });
    }
    let is_unread = |kind: &Kind| matches!(kind, Kind::Unreadable(_) | Kind::Syntax(_));
    // Of a file that could not be read, nothing says that the defaults are meant.
    if !examined.problems.iter().any(|problem| is_unread(&problem.kind)) {
        host::check(&examined, &mut report);
    }
    if report.count(Severity::Error) == 0 {
        report.add_right("configuration".to_owned());
    }
    let config = examined.loaded.config;
    let files =
        if arguments.popups.is_empty() { config.popups.as_slice() } else { &arguments.popups };
    let settings = publisher::settings_of(&config);
    for path in files {
        add_popups_file(path, &settings, &mut report);
    }
    report
}

/// Adds what is to be said of one file of popups to a report.
pub fn add_popups_file(path: &Path, settings: &Settings, report: &mut Report) {
    let file = path.display().to_string();
    match check_popups_file(path, settings) {
        Ok(warnings) => {
            for Warning { popup, problem } in warnings {
                let finding = Finding::new(Severity::Warning, "", "lint", problem.to_string());
                report.add(Finding { file: Some(file.clone()), popup, ..finding });
            }
            report.add_right(file);
        }
        Err(PopupsFileError::Unreadable(error)) => {
            let message = format!("can't be read: {error}");
            let finding = Finding::new(Severity::Error, "", "unreadable", message);
            report.add(Finding { file: Some(file), ..finding });
        }
        Err(PopupsFileError::Refused(errors)) => {
            errors.iter().for_each(|error| report.add(Finding::of_popups(&file, error)));
        }
    }
}

/// Checks one file of popups: its warnings where it is right.
///
/// # Errors
/// Every error of it.
pub fn check_popups_file(
    path: &Path,
    settings: &Settings,
) -> Result<Vec<Warning>, PopupsFileError> {
    let definitions = popups_file::read(path)?;
    let entry =
        |definition| Entry { definition, version: 1, status: Definition::status(definition) };
    let entries: Vec<_> = definitions.iter().map(entry).collect();
    let snapshot = compile(&entries, settings.clone(), 1).map_err(PopupsFileError::Refused)?;
    Ok(lint(&snapshot))
}

#[cfg(test)]
mod tests;
