//! The layers, one over the other: defaults, file, environment, flags. Every layer is read whole,
//! so that one run names every error, also those in values that a higher layer would replace.

use std::sync::Arc;

use super::expected::Expectation;
use super::keys::{KEYS, PREFIX, is_section, position, suggestion, variable_suggestion};
use super::problem::{ProblemKind, Problems, SettingProblem, SettingSource};
use super::relations;
use super::schema::Config;
use super::tree::{self, Member, SyntaxError, from_toml};
use super::value::{ElementProblem, SettingValue, ValueRefusal, elements};
use nudged_base::limits::SETTING_SHOWN_CHARS_MAX;

/// The file that is read where no other is named, if it is there.
pub const DEFAULT_FILE: &str = "nudged.toml";

/// Variables that start with `NUDGED_` and are no keys: the name of the file itself.
pub(super) const OTHER_VARIABLES: [&str; 1] = ["NUDGED_CONFIG"];

/// A configuration file that has been read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name, for error texts.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// The environment, as pairs of name and value; names that are not ours are passed over.
pub type Environment = Vec<(String, String)>;

/// A flag that stands for a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// The flag as people type it: `--shards`.
    pub name: &'static str,
    /// The key that it sets.
    pub key: &'static str,
    /// Its value: `Loose`, or a list of them where it was given more than once.
    pub value: SettingValue,
}

/// An environment variable that looks like ours and is no key. It is told, not refused: Kubernetes
/// sets such names (`NUDGED_PORT`) for a service called nudged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The name that comes nearest to it.
    pub nearest: String,
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
    let mut layers = Layers {
        config: Config::default(),
        origins: vec![SettingSource::Default; KEYS.len()],
        problems: Vec::new(),
    };
    if let Some(file) = file {
        layers.read_file(file);
    }
    let unknown_variables = layers.read_environment(environment);
    for flag in flags {
        let index = position(flag.key).expect("a flag stands for a key");
        layers.set(index, &flag.value, &Place::whole(SettingSource::Flag(flag.name)));
    }
    relations::check(&mut layers);
    let Layers { config, origins, problems } = layers;
    let file = file.map(|file| file.name.to_owned());
    Examined { loaded: Loaded { config, unknown_variables, file, origins }, problems }
}

/// Where a value stands, and where each element of a list in a file does.
struct Place {
    origin: SettingSource,
    elements: Vec<SettingSource>,
}

impl Place {
    fn whole(origin: SettingSource) -> Place {
        Place { origin, elements: Vec::new() }
    }

    fn of_element(&self, index: usize) -> SettingSource {
        self.elements.get(index).unwrap_or(&self.origin).clone()
    }
}

pub(super) struct Layers {
    pub(super) config: Config,
    origins: Vec<SettingSource>,
    problems: Vec<SettingProblem>,
}

impl Layers {
    fn set(&mut self, index: usize, value: &SettingValue, place: &Place) {
        let key = &KEYS[index];
        let refusal = match (key.set)(&mut self.config, value) {
            Ok(()) => {
                self.origins[index] = place.origin.clone();
                return;
            }
            Err(refusal) => refusal,
        };
        let show = |value: &SettingValue| (!key.is_secret()).then(|| shown(value));
        let origin = place.origin.clone();
        match refusal {
            ValueRefusal::Value(expected) => {
                self.refuse(origin, key.name, ProblemKind::Refused { expected, got: show(value) });
            }
            ValueRefusal::Url(problem) => self.refuse(origin, key.name, ProblemKind::Url(problem)),
            ValueRefusal::Elements(problems) => {
                for (element, problem) in problems {
                    let name = format!("{}[{element}]", key.name);
                    let kind = match problem {
                        ElementProblem::Refused(expected) => {
                            let got = element_of(value, element).as_ref().and_then(show);
                            ProblemKind::Refused { expected, got }
                        }
                        ElementProblem::Repeats(other) => {
                            ProblemKind::Repeats(format!("{}[{other}]", key.name))
                        }
                        ElementProblem::Misspelled(right) => {
                            let got = element_of(value, element).as_ref().and_then(show);
                            ProblemKind::Misspelled { right, got }
                        }
                        ElementProblem::NotAlone => ProblemKind::NotAlone,
                    };
                    self.refuse(place.of_element(element), &name, kind);
                }
            }
        }
    }

    fn refuse(&mut self, origin: SettingSource, key: &str, kind: ProblemKind) {
        self.problems.push(SettingProblem { origin, key: key.to_owned(), kind });
    }

    fn read_environment(&mut self, environment: &[(String, String)]) -> Vec<UnknownVariable> {
        let mut unknown = Vec::new();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match KEYS.iter().position(|key| key.variable() == *name) {
                Some(index) => {
                    let place = Place::whole(SettingSource::Environment(name.clone()));
                    self.set(index, &SettingValue::Loose(value.clone()), &place);
                }
                None if OTHER_VARIABLES.contains(&name.as_str()) => {}
                None => {
                    let nearest = variable_suggestion(name);
                    unknown.push(UnknownVariable { name: name.clone(), nearest });
                }
            }
        }
        unknown.sort_by(|a, b| a.name.cmp(&b.name));
        unknown
    }

    fn read_file(&mut self, file: File<'_>) {
        let name: Arc<str> = Arc::from(file.name);
        match from_toml(file.text) {
            Ok(members) => self.read_table(&members, "", &name),
            // Where the text is not TOML, what else was read of it may not be what was meant.
            Err(errors) => {
                for SyntaxError { line, column, message } in errors {
                    let origin = SettingSource::File { name: name.clone(), line, column };
                    self.refuse(origin, "", ProblemKind::Syntax(message));
                }
            }
        }
        self.problems.sort_by_key(|problem| match problem.origin {
            SettingSource::File { line, .. } => line,
            _ => 0,
        });
    }

    fn read_table(&mut self, members: &[Member], section: &str, file: &Arc<str>) {
        let at = |line, column| SettingSource::File { name: file.clone(), line, column };
        for Member { key, line, column, node } in members {
            let name = match section {
                "" => key.to_string(),
                _ => format!("{section}.{key}"),
            };
            let origin = at(*line, *column);
            if let Some(index) = position(&name) {
                let elements = match &node.value {
                    tree::TreeValue::List(nodes) => nodes.as_slice(),
                    _ => &[],
                };
                let elements = elements.iter().map(|node| at(node.line, node.column)).collect();
                self.set(index, &SettingValue::of(&node.value), &Place { origin, elements });
            } else if section.is_empty() && is_section(&name) {
                match &node.value {
                    tree::TreeValue::Table(members) => self.read_table(members, &name, file),
                    other => {
                        let got = Some(shown(&SettingValue::of(other)));
                        let kind = ProblemKind::Refused { expected: Expectation::Section, got };
                        self.refuse(origin, &name, kind);
                    }
                }
            } else {
                self.refuse(origin, &name, ProblemKind::Unknown(suggestion(&name)));
            }
        }
    }

    /// Whether none of these keys has a problem of its own: an error that follows from another one
    /// helps nobody.
    pub(super) fn all_read(&self, keys: &[&str]) -> bool {
        debug_assert!(keys.iter().all(|key| position(key).is_some()));
        !self.problems.iter().any(|problem| keys.contains(&problem.key_of_table()))
    }

    /// Refuses a key, or an element of it, where its value came from.
    pub(super) fn refuse_key(&mut self, key: &str, kind: ProblemKind) {
        let of_table = key.split('[').next().unwrap_or(key);
        let index = position(of_table).expect("a key of the table");
        self.refuse(self.origins[index].clone(), key, kind);
    }
}

/// An element of a list, as it was written.
fn element_of(value: &SettingValue, index: usize) -> Option<SettingValue> {
    match value {
        SettingValue::List(values) => values.get(index).cloned(),
        value => elements(value)?.get(index)?.map(|text| SettingValue::Loose(text.to_owned())),
    }
}

/// A value in an error: cut short, control characters escaped.
fn shown(value: &SettingValue) -> String {
    match value {
        SettingValue::Text(text) | SettingValue::Loose(text) => {
            let cut: String = text.chars().take(SETTING_SHOWN_CHARS_MAX).collect();
            let more = if cut.len() < text.len() { "…" } else { "" };
            format!("{cut:?}{more}")
        }
        SettingValue::Whole(number) => number.to_string(),
        SettingValue::Boolean(boolean) => boolean.to_string(),
        SettingValue::List(values) => match values.as_slice() {
            [] => "an empty list".to_owned(),
            [one] => format!("[{}]", shown(one)),
            [first, ..] => format!("[{}, …] ({} values)", shown(first), values.len()),
        },
        SettingValue::Other(name) => (*name).to_owned(),
    }
}
