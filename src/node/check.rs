//! `nudged check`: the configuration, what this host says of it, and popups; every error and every
//! warning of each, not only of the first that fails.
//!
//! `host` what only this host can tell · `directory` the data directory · `report` what was found.
//! Knows files and what to print; what is right and wrong is the configuration's and the catalog's.

use std::path::Path;

use self::report::{CheckReport, Finding, Severity};
use super::arguments::{CheckArguments, SharedArguments};
use super::settings;
use nudged_base::time::WallMs;
use nudged_config::ProblemKind;
use nudged_domain::catalog::compile::compile_unstored;
use nudged_domain::catalog::lint::{Warning, ended, lint};
use nudged_domain::catalog::snapshot::Settings;
use nudged_domain::catalog::source::{Definition, Parsed, SourceError};
use nudged_publish::popups_file;
use nudged_publish::publisher;
use nudged_runtime::{clocks, process_limits};

pub(super) mod directory;
mod host;
pub mod report;

/// Checks the configuration of this directory, environment and flags, and the files of popups:
/// those given, else the configuration's own.
pub fn run(shared: &SharedArguments, arguments: &CheckArguments) -> CheckReport {
    // As a start does, so that what fits there fits here.
    process_limits::raise();
    let mut report = CheckReport::default();
    let examined = settings::examine(shared, &[]);
    for problem in &examined.problems {
        report.add(Finding::of_config(problem));
    }
    for unknown in &examined.loaded.unknown_variables {
        let message = format!("is unknown; the nearest is {}", unknown.nearest);
        let finding = Finding::new(Severity::Warning, "", "unknown_variable", message);
        report.add(Finding { source: Some(unknown.name.clone()), ..finding });
    }
    let is_unread =
        |kind: &ProblemKind| matches!(kind, ProblemKind::Unreadable(_) | ProblemKind::Syntax(_));
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
        add_popups_file(path, &settings, clocks::wall(), &mut report);
    }
    report
}

/// Adds what is to be said of one file of popups at a time to a report: its errors, and the
/// warnings of those popups that have none.
fn add_popups_file(path: &Path, settings: &Settings, now: WallMs, report: &mut CheckReport) {
    let file = path.display().to_string();
    let Parsed { definitions, errors } = match popups_file::examine(path) {
        Ok(parsed) => parsed,
        Err(error) => {
            let message = format!("can't read the popups file: {error}");
            let finding = Finding::new(Severity::Error, "", "unreadable", message);
            return report.add(Finding { file: Some(file), ..finding });
        }
    };
    let (warnings, errors_together) = match warnings_of(&definitions, settings, now) {
        Ok(warnings) => (warnings, Vec::new()),
        Err(errors) => (Vec::new(), errors),
    };
    let is_right = errors.is_empty() && errors_together.is_empty();
    for error in errors.iter().chain(&errors_together) {
        report.add(Finding::of_popups(&file, error));
    }
    for Warning { popup, problem } in warnings {
        let finding = Finding::new(Severity::Warning, "", problem.code(), problem.to_string());
        report.add(Finding { file: Some(file.clone()), popup, ..finding });
    }
    if is_right {
        report.add_right(file);
    }
}

/// What is allowed in these popups at a time, and still can't be meant.
fn warnings_of(
    definitions: &[Definition],
    settings: &Settings,
    now: WallMs,
) -> Result<Vec<Warning>, Vec<SourceError>> {
    let snapshot = compile_unstored(definitions, settings.clone())?;
    let mut warnings = lint(&snapshot);
    warnings.extend(ended(&snapshot, now));
    Ok(warnings)
}

#[cfg(test)]
mod tests;
