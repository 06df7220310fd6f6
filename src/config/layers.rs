//! What the layers have set so far, with where each value came from and what was wrong with it.

use std::sync::Arc;

use super::expected::Expectation;
use super::keys::{
    KEYS, OTHER_VARIABLES, PREFIX, is_section, position, suggestion, variable_suggestion,
};
use super::problem::{ProblemKind, SettingProblem, SettingSource};
use super::schema::Config;
use super::tree::{Member, SyntaxError, TreeValue, from_toml};
use super::value::{ElementProblem, ValueRefusal, elements};
use nudged_base::limits::SETTING_SHOWN_CHARS_MAX;

/// A configuration file that has been read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name, for error texts.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
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

/// Where a value stands, and where each element of a list in a file does.
struct SettingPlace {
    origin: SettingSource,
    elements: Vec<SettingSource>,
}

impl SettingPlace {
    fn whole(origin: SettingSource) -> SettingPlace {
        SettingPlace { origin, elements: Vec::new() }
    }

    fn of_element(&self, index: usize) -> SettingSource {
        self.elements.get(index).unwrap_or(&self.origin).clone()
    }
}

/// What has been read so far.
pub(super) struct Layers {
    pub(super) config: Config,
    /// By the positions of their keys.
    pub(super) origins: Vec<SettingSource>,
    pub(super) problems: Vec<SettingProblem>,
}

impl Layers {
    /// Nothing is set.
    pub(super) fn defaults() -> Layers {
        let origins = vec![SettingSource::Default; KEYS.len()];
        Layers { config: Config::default(), origins, problems: Vec::new() }
    }

    /// A flag that stands for a key.
    pub(super) fn read_flag(&mut self, name: &'static str, key: &str, value: &TreeValue) {
        let index = position(key).expect("a flag stands for a key");
        self.set(index, value, &SettingPlace::whole(SettingSource::Flag(name)));
    }

    fn set(&mut self, index: usize, value: &TreeValue, place: &SettingPlace) {
        let key = &KEYS[index];
        let refusal = match (key.set)(&mut self.config, value) {
            Ok(()) => {
                self.origins[index] = place.origin.clone();
                return;
            }
            Err(refusal) => refusal,
        };
        let show = |value: &TreeValue| (!key.is_secret()).then(|| shown(value));
        let origin = place.origin.clone();
        match refusal {
            ValueRefusal::Value(expected) => {
                self.refuse(origin, key.name, ProblemKind::Refused { expected, got: show(value) });
            }
            ValueRefusal::Url(problem) => self.refuse(origin, key.name, ProblemKind::Url(problem)),
            ValueRefusal::Word(problem) => {
                self.refuse(origin, key.name, ProblemKind::Word(problem));
            }
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
                        ElementProblem::Word(problem) => ProblemKind::Word(problem),
                        ElementProblem::Inside(network) => ProblemKind::Inside(network),
                    };
                    self.refuse(place.of_element(element), &name, kind);
                }
            }
        }
    }

    fn refuse(&mut self, origin: SettingSource, key: &str, kind: ProblemKind) {
        self.problems.push(SettingProblem { origin, key: key.to_owned(), kind });
    }

    /// Gives the variables that look like ours and are no keys, by name.
    pub(super) fn read_environment(
        &mut self,
        environment: &[(String, String)],
    ) -> Vec<UnknownVariable> {
        let mut unknown = Vec::new();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match KEYS.iter().position(|key| key.variable() == *name) {
                Some(index) => {
                    let place = SettingPlace::whole(SettingSource::Environment(name.clone()));
                    self.set(index, &TreeValue::Loose(value.as_str().into()), &place);
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

    pub(super) fn read_file(&mut self, file: File<'_>) {
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
                    TreeValue::List(nodes) => nodes.as_slice(),
                    _ => &[],
                };
                let elements = elements.iter().map(|node| at(node.line, node.column)).collect();
                self.set(index, &node.value, &SettingPlace { origin, elements });
            } else if section.is_empty() && is_section(&name) {
                match &node.value {
                    TreeValue::Table(members) => self.read_table(members, &name, file),
                    other => {
                        let got = Some(shown(other));
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
fn element_of(value: &TreeValue, index: usize) -> Option<TreeValue> {
    match value {
        TreeValue::List(nodes) => nodes.get(index).map(|node| node.value.clone()),
        value => elements(value)?.get(index)?.map(|text| TreeValue::Loose(text.into())),
    }
}

/// A value in an error: cut short, control characters escaped.
fn shown(value: &TreeValue) -> String {
    match value {
        TreeValue::Text(text) | TreeValue::Loose(text) => {
            let cut: String = text.chars().take(SETTING_SHOWN_CHARS_MAX).collect();
            let more = if cut.len() < text.len() { "…" } else { "" };
            format!("{cut:?}{more}")
        }
        TreeValue::Number(text) | TreeValue::Unreal(text) => match text.parse::<i64>() {
            Ok(number) => number.to_string(),
            Err(_) if text.contains(|letter| !matches!(letter, '0'..='9' | '-')) => {
                "a fraction".to_owned()
            }
            Err(_) => "a number out of range".to_owned(),
        },
        TreeValue::Boolean(boolean) => boolean.to_string(),
        TreeValue::List(nodes) => match nodes.as_slice() {
            [] => "an empty list".to_owned(),
            [one] => format!("[{}]", shown(&one.value)),
            [first, ..] => format!("[{}, …] ({} values)", shown(&first.value), nodes.len()),
        },
        TreeValue::Table(_) => "a section".to_owned(),
        TreeValue::Null | TreeValue::Time(_) => value.kind().to_owned(),
    }
}
