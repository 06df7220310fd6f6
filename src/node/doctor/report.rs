//! What a doctor says: a line for each check, JSON for machines. Knows words and colours; must not
//! know what is checked.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde::Serialize;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// As it should be.
    Ok,
    /// A node runs, worse than it could, or until something happens.
    Warn,
    /// A node does not start, or does not keep what it promises.
    Fail,
}

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The check, a word for machines; a sysctl by its key.
    pub name: &'static str,
    /// How it went.
    pub status: Condition,
    /// What was found, with its figure.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// The command that mends it; empty where nothing is to be mended.
    pub mend: String,
}

/// A check by its name, and why it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Concern {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

impl Concern {
    /// Nothing is to be mended.
    pub(super) fn ok(&self, found: impl Into<String>) -> Diagnosis {
        self.diagnosis(Condition::Ok, found.into(), String::new())
    }

    /// It should be mended.
    pub(super) fn warn(&self, found: impl Into<String>, mend: impl Into<String>) -> Diagnosis {
        self.diagnosis(Condition::Warn, found.into(), mend.into())
    }

    /// It has to be mended.
    pub(super) fn fail(&self, found: impl Into<String>, mend: impl Into<String>) -> Diagnosis {
        self.diagnosis(Condition::Fail, found.into(), mend.into())
    }

    fn diagnosis(&self, status: Condition, found: String, mend: String) -> Diagnosis {
        assert_eq!(
            status == Condition::Ok,
            mend.is_empty(),
            "{}: what is wrong can be mended",
            self.name
        );
        Diagnosis { name: self.name, status, found, why: self.why, mend }
    }
}

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportStyle {
    /// Names in a column of their own, and what is right without why it matters.
    pub is_aligned: bool,
    /// The status in colour.
    pub is_coloured: bool,
}

impl ReportStyle {
    /// For standard output: aligned on a terminal, and coloured where `NO_COLOR` is not set.
    pub fn of_output() -> ReportStyle {
        let is_aligned = std::io::stdout().is_terminal();
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        ReportStyle { is_aligned, is_coloured: is_aligned && !is_plain }
    }
}

/// Everything that was found, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorReport {
    diagnoses: Vec<Diagnosis>,
}

impl DoctorReport {
    /// What the checks have found.
    pub fn new(diagnoses: Vec<Diagnosis>) -> DoctorReport {
        DoctorReport { diagnoses }
    }

    /// 1 where a check failed, else 0.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.count(Condition::Fail) > 0)
    }

    /// An array of objects, each with every key.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(&self.diagnoses);
        format!("{}\n", text.expect("texts are JSON"))
    }

    /// A line for each check, and one that counts them.
    pub fn text(&self, style: ReportStyle) -> String {
        let width = self.diagnoses.iter().map(|one| one.name.len()).max().unwrap_or(0) + 1;
        let width = if style.is_aligned { width } else { 0 };
        let mut text = String::new();
        for one in &self.diagnoses {
            let (word, colour) = match one.status {
                Condition::Ok => ("ok", 32),
                Condition::Warn => ("warn", 33),
                Condition::Fail => ("fail", 31),
            };
            let status = match style.is_coloured {
                true => format!("\x1b[{colour}m{word:<4}\x1b[0m"),
                false => format!("{word:<4}"),
            };
            let name = format!("{}:", one.name);
            write!(text, "{status}  {name:<width$} {}", shown(&one.found))
                .expect("a String takes all text");
            // On a terminal what is right is passed over.
            if !style.is_aligned || one.status != Condition::Ok {
                write!(text, "; {}", one.why).expect("a String takes all text");
            }
            if !one.mend.is_empty() {
                write!(text, "; mend: {}", shown(&one.mend)).expect("a String takes all text");
            }
            text.push('\n');
        }
        let [ok, warn, fail] =
            [Condition::Ok, Condition::Warn, Condition::Fail].map(|c| self.count(c));
        text.push_str(&format!("{ok} ok, {warn} warn, {fail} fail\n"));
        text
    }

    fn count(&self, status: Condition) -> usize {
        self.diagnoses.iter().filter(|one| one.status == status).count()
    }
}

/// A text on one line: what a server or a file says can't forge a line, nor move a cursor.
fn shown(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Concern = Concern { name: "open_files", why: "each connection is one" };
    const CLOCK: Concern = Concern { name: "clock", why: "gaps are times" };

    fn report() -> DoctorReport {
        DoctorReport::new(vec![
            OPEN.fail("20\nok    forged", "ulimit -n 65536"),
            CLOCK.ok("tsc"),
            CLOCK.warn("hpet", "reboot"),
        ])
    }

    #[test]
    fn a_check_is_a_line_and_the_last_line_counts() {
        let plain = report().text(ReportStyle { is_aligned: false, is_coloured: false });
        let wanted = "fail  open_files: 20 ok    forged; each connection is one; mend: ulimit -n \
                      65536\nok    clock: tsc; gaps are times\nwarn  clock: hpet; gaps are times; \
                      mend: reboot\n1 ok, 1 warn, 1 fail\n";
        assert_eq!(plain, wanted);
        assert_eq!((report().exit_code(), DoctorReport::default().exit_code()), (1, 0));
        assert_eq!(DoctorReport::new(vec![CLOCK.warn("hpet", "reboot")]).exit_code(), 0);
    }

    #[test]
    fn terminals_have_columns_and_colours() {
        let aligned = report().text(ReportStyle { is_aligned: true, is_coloured: false });
        assert!(aligned.contains("\nok    clock:      tsc\n"), "{aligned}");
        let coloured = report().text(ReportStyle { is_aligned: true, is_coloured: true });
        assert!(coloured.starts_with("\x1b[31mfail\x1b[0m  open_files: 20 "), "{coloured}");
    }

    #[test]
    fn every_key_is_always_there() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        for one in json.as_array().unwrap() {
            let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["name", "status", "found", "why", "mend"]);
        }
        assert_eq!((&json[0]["status"], &json[1]["mend"]), (&"fail".into(), &"".into()));
        assert_eq!(DoctorReport::default().json(), "[]\n");
    }
}
