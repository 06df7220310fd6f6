//! Facts of an explanation as JSON and as a sentence: moments in the request's zone, rules as the
//! definition writes them. Must not know how a decision is made.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use nudged_base::limits::{EXPLAIN_RULES_MAX, EXPLAIN_TEXT_CHARS_MAX, EXPLAIN_WINDOWS_MAX};
use nudged_base::time::{Gap, WallMs};
use nudged_domain::catalog::schedule::Window;
use nudged_domain::catalog::snapshot::{Popup, Settings, Status};
use nudged_domain::decide::context::{AttributeValue, Context};
use nudged_domain::decide::facts::{CapFact, Fact, FailedRule, GapFact};
use nudged_domain::decide::gates::{Gate, GateFailure};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What is told of one popup that is held back.
pub(crate) struct HeldBack {
    /// Why, for people.
    pub(crate) why: String,
    /// Why, for machines.
    pub(crate) facts: Json,
}

/// What all popups of one explanation share.
pub(crate) struct Explainer<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) now: WallMs,
    /// The request's zone.
    pub(crate) zone: &'a TimeZone,
}

impl Explainer<'_> {
    /// A moment in the request's zone, as RFC 3339 with its offset.
    pub(crate) fn moment(&self, at: WallMs) -> String {
        match Timestamp::from_millisecond(at.0) {
            Ok(moment) => moment.display_with_offset(self.zone.to_offset(moment)).to_string(),
            Err(_) => at.0.to_string(),
        }
    }

    /// A popup that a gate holds back. `definition` is its text, as JSON.
    pub(crate) fn explain(
        &self,
        (popup, failure): (&Popup, GateFailure),
        definition: &Json,
        fact: &Fact<'_>,
    ) -> HeldBack {
        let mut held = match (failure.gate, fact) {
            (_, Fact::Target(rules)) => target(rules, definition),
            (_, Fact::Rollout(place)) => rollout(popup, *place),
            (_, Fact::Shows { count, last_at }) => self.max_shows(popup, (*count, *last_at)),
            (_, Fact::Gap(gap)) => self.gap(popup, gap),
            (_, Fact::Caps(caps)) => self.caps(caps),
            (gate, Fact::Clocks { last_at, day_shows, session_shows }) => {
                self.clocks(gate, *last_at, (*day_shows, *session_shows))
            }
            (gate, Fact::Definition) => self.definition(popup, gate),
        };
        if let Some(opens_at) = failure.opens_at {
            held.why.push_str(&format!("; this opens at {}", self.moment(opens_at)));
        }
        held
    }

    /// A gate that goes by the popup and the request alone. Each gate is named, so that a new one
    /// is thought of here.
    fn definition(&self, popup: &Popup, gate: Gate) -> HeldBack {
        match gate {
            Gate::Status => status(popup.status),
            Gate::Schedule => self.schedule(popup),
            Gate::Window => self.window(popup),
            Gate::Placement => self.placement(popup),
            // These have facts of their own.
            Gate::Target
            | Gate::Rollout
            | Gate::MaxShows
            | Gate::Gap
            | Gate::Cap
            | Gate::Quiet
            | Gate::Day
            | Gate::Session => HeldBack { why: gate.as_str().to_owned(), facts: json!({}) },
        }
    }

    fn schedule(&self, popup: &Popup) -> HeldBack {
        let moment = |at: Option<WallMs>| at.map(|at| self.moment(at));
        let (starts_at, ends_at) = (moment(popup.starts_at), moment(popup.ends_at));
        let why = match (&starts_at, &ends_at) {
            (Some(starts_at), _) if popup.starts_at.is_some_and(|at| self.now < at) => {
                format!("it starts at {starts_at}")
            }
            (_, ends_at) => format!("it ended at {}", ends_at.as_deref().unwrap_or("no time")),
        };
        HeldBack { why, facts: json!({ "starts_at": starts_at, "ends_at": ends_at }) }
    }

    fn window(&self, popup: &Popup) -> HeldBack {
        let zone = popup.zone.resolve(self.context.tz);
        let name = zone.iana_name().unwrap_or("UTC");
        let local = Timestamp::from_millisecond(self.now.0)
            .map(|at| at.to_zoned(zone.clone()).strftime("%a %H:%M").to_string());
        let local = local.unwrap_or_default().to_lowercase();
        let windows: Vec<Json> =
            popup.windows.iter().take(EXPLAIN_WINDOWS_MAX).map(window_json).collect();
        let texts: Vec<String> =
            popup.windows.iter().take(EXPLAIN_WINDOWS_MAX).map(window_text).collect();
        let more = popup.windows.len() - windows.len();
        HeldBack {
            why: format!("it is {local} in {name}, outside {}{}", texts.join(", "), and_more(more)),
            facts: json!({
                "tz": name, "local_time": local, "windows": windows, "windows_left_out": more,
            }),
        }
    }

    fn placement(&self, popup: &Popup) -> HeldBack {
        let names: Vec<&str> = popup.placements.iter().map(AsRef::as_ref).collect();
        let asked = self.context.placement;
        HeldBack {
            why: format!("it is for {}, not for {asked:?}", quoted(&names)),
            facts: json!({ "placement": names, "asked": asked }),
        }
    }

    fn max_shows(&self, popup: &Popup, (count, last_at): (u32, WallMs)) -> HeldBack {
        let last_at = self.moment(last_at);
        let max = popup.max_shows;
        HeldBack {
            why: format!("shown {count} times, the latest at {last_at}; max_shows is {max}"),
            facts: json!({ "max_shows": max, "shows": count, "last_shown_at": last_at }),
        }
    }

    fn gap(&self, popup: &Popup, gap: &GapFact) -> HeldBack {
        let shown_at = self.moment(gap.shown_at);
        let mut why = format!("shown at {shown_at}, after_shown is {}", length(gap.after_shown));
        let mut facts = json!({ "shown_at": shown_at, "after_shown": length(gap.after_shown), "outcome": null });
        if let Some(outcome) = gap.outcome {
            let word = outcome.outcome.word();
            let at = self.moment(outcome.at);
            why.push_str(&match outcome.is_inferred {
                true => format!("; ignored (no action within {})", popup.ignore_after),
                false => format!("; {word} at {at}"),
            });
            why.push_str(&format!(", after_{word} is {}", length(outcome.after)));
            facts["outcome"] = json!(word);
            facts["outcome_at"] = json!(at);
            facts["outcome_inferred"] = json!(outcome.is_inferred);
            facts[format!("after_{word}")] = json!(length(outcome.after));
        }
        HeldBack { why, facts }
    }

    fn caps(&self, caps: &[CapFact]) -> HeldBack {
        let mut texts = Vec::new();
        let mut members = Vec::new();
        for CapFact { index, cap, shows, opens_at } in caps {
            let shows: Vec<String> = shows.iter().map(|at| self.moment(*at)).collect();
            texts.push(format!(
                "caps[{index}] allows {} per {}, and it was shown at {}",
                cap.n,
                cap.per,
                shows.join(", ")
            ));
            members.push(json!({
                "index": index, "n": cap.n, "per": cap.per.to_string(), "shows": shows,
                "opens_at": self.moment(*opens_at),
            }));
        }
        HeldBack { why: texts.join("; "), facts: json!({ "caps": members }) }
    }

    fn clocks(&self, gate: Gate, last_at: WallMs, shows: (u32, u32)) -> HeldBack {
        let last_at = self.moment(last_at);
        let (settings, (of_day, of_session)) = (self.settings, shows);
        match gate {
            Gate::Quiet => HeldBack {
                why: format!(
                    "a popup was shown at {last_at}, and quiet_time is {}",
                    settings.quiet_time
                ),
                facts: json!({
                    "last_shown_at": last_at, "quiet_time": settings.quiet_time.to_string(),
                }),
            },
            Gate::Day => {
                let (max, tz) = (settings.max_per_day, settings.tz.iana_name().unwrap_or("UTC"));
                HeldBack {
                    why: format!(
                        "{of_day} popups were shown today in {tz}, the latest at {last_at}; \
                         max_per_day is {max}"
                    ),
                    facts: json!({
                        "max_per_day": max, "shows": of_day, "tz": tz, "last_shown_at": last_at,
                    }),
                }
            }
            _ => {
                let max = settings.max_per_session;
                HeldBack {
                    why: format!(
                        "{of_session} popups were shown in this session, the latest at {last_at}; \
                         max_per_session is {max}"
                    ),
                    facts: json!({
                        "max_per_session": max, "shows": of_session, "last_shown_at": last_at,
                    }),
                }
            }
        }
    }
}

fn status(status: Status) -> HeldBack {
    let word = status.word();
    HeldBack { why: format!("it is {word}"), facts: json!({ "status": word }) }
}

fn rollout(popup: &Popup, place: u64) -> HeldBack {
    let (percent, bucket) = (percent(popup.rollout_below), percent(u128::from(place)));
    HeldBack {
        why: format!("the user is at {bucket} % of all, and rollout is {percent} %"),
        facts: json!({ "rollout": percent, "bucket": bucket }),
    }
}

/// A fraction of 2^64 as a percentage with four digits, rounded down: who is outside never seems to
/// be inside.
fn percent(of_2_64: u128) -> f64 {
    let ten_thousandths = (of_2_64 * 1_000_000) >> 64;
    let small = u32::try_from(ten_thousandths).expect("at most a million");
    f64::from(small) / 10_000.0
}

fn target(rules: &[FailedRule<'_>], definition: &Json) -> HeldBack {
    let shown = &rules[..rules.len().min(EXPLAIN_RULES_MAX)];
    let more = rules.len() - shown.len();
    let explained: Vec<(String, Json)> =
        shown.iter().map(|rule| explain_rule(rule, definition)).collect();
    let texts: Vec<&str> = explained.iter().map(|(text, _)| text.as_str()).collect();
    HeldBack {
        why: format!("{}{}", texts.join("; "), and_more(more)),
        facts: json!({
            "rules": explained.iter().map(|(_, json)| json).collect::<Vec<_>>(),
            "rules_left_out": more,
        }),
    }
}

/// A rule as it is written, and what the request has for it.
fn explain_rule(rule: &FailedRule<'_>, definition: &Json) -> (String, Json) {
    let path = path_of(&rule.pointer);
    let Some(attribute) = rule.attribute else {
        let (what, result) = if rule.wanted { ("no rule", false) } else { ("nothing", true) };
        let text = format!("{path} has {what} in it that could hold");
        return (text, json!({ "path": path, "result": result }));
    };
    let written = definition.pointer(&rule.pointer);
    let member = |name: &str| written.and_then(|rule| rule.get(name)).unwrap_or(&Json::Null);
    let (op, value) = (member("op").as_str().unwrap_or("?"), cut(member("value")));
    let (state, has) = match (rule.value, rule.result) {
        (None, _) => ("absent", "it is absent".to_owned()),
        (Some(got), None) => {
            ("other_type", format!("it is {}, which is not of the rule's type", cut(&json_of(got))))
        }
        (Some(got), Some(_)) => ("differs", format!("it is {}", cut(&json_of(got)))),
    };
    let (state, text) = match (rule.wanted, rule.result) {
        (true, _) => (state, format!("{path}: {attribute} {op} {value}, but {has}")),
        (false, Some(true)) => {
            ("holds", format!("{path}: not {attribute} {op} {value}, but {has}"))
        }
        (false, _) => (state, format!("{path}: not {attribute} {op} {value} is unknown: {has}")),
    };
    let facts = json!({
        "path": path,
        "attr": attribute,
        "op": op,
        "value": shortened(member("value")),
        "negated": !rule.wanted,
        "got": rule.value.map(|got| shortened(&json_of(got))),
        "state": state,
    });
    (text, facts)
}

/// `target.all[0].not` of `/target/all/0/not`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        match step.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(step),
            Err(_) => path.push_str(&format!(".{step}")),
        }
    }
    path
}

fn json_of(value: AttributeValue<'_>) -> Json {
    match value {
        AttributeValue::Scalar(text) => json!(text),
        AttributeValue::List(values) => values.iter().map(|value| json_of(*value)).collect(),
        // A query holds texts alone.
        _ => Json::Null,
    }
}

/// A value with what is long of it left out.
fn shortened(value: &Json) -> Json {
    match value {
        Json::String(text) if text.chars().count() > EXPLAIN_TEXT_CHARS_MAX => {
            let start: String = text.chars().take(EXPLAIN_TEXT_CHARS_MAX).collect();
            json!(format!("{start}…"))
        }
        Json::Array(values) if values.len() > EXPLAIN_RULES_MAX => {
            let mut shown: Vec<Json> =
                values.iter().take(EXPLAIN_RULES_MAX).map(shortened).collect();
            shown.push(json!(format!("… ({} values)", values.len())));
            Json::Array(shown)
        }
        Json::Array(values) => values.iter().map(shortened).collect(),
        other => other.clone(),
    }
}

fn cut(value: &Json) -> String {
    shortened(value).to_string()
}

fn window_json(window: &Window) -> Json {
    json!({
        "days": days(*window), "from": minute(window.from_minute), "to": minute(window.to_minute),
    })
}

fn window_text(window: &Window) -> String {
    let (from, to) = (minute(window.from_minute), minute(window.to_minute));
    let days = days(*window);
    if days.len() == DAYS.len() {
        return format!("{from}-{to}");
    }
    format!("{} {from}-{to}", days.join(" "))
}

fn days(window: Window) -> Vec<&'static str> {
    let is_on = |(bit, _): &(usize, &&str)| window.days >> bit & 1 == 1;
    DAYS.iter().enumerate().filter(is_on).map(|(_, day)| *day).collect()
}

fn minute(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn length(gap: Gap) -> String {
    match gap {
        Gap::After(duration) => duration.to_string(),
        Gap::Never => "never".to_owned(),
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", and {count} more") }
}

#[cfg(test)]
mod tests;
