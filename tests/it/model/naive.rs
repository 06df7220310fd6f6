//! A second model of docs/semantics.md, straight from its text: slow and obvious. It reads popups
//! as JSON, keeps every show and every event for ever, scans them for each question, and finds the
//! next opening of a window by trying minute after minute.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use nudged_base::{hash, time::parse_duration};
use serde_json::{Map, Value, json};

use super::rules;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
const GATES: [&str; 12] = [
    "status",
    "schedule",
    "window",
    "placement",
    "target",
    "rollout",
    "max_shows",
    "gap",
    "cap",
    "quiet",
    "day",
    "session",
];
const RANKS: [&str; 5] = ["shown", "ignored", "dismissed", "clicked", "converted"];

/// A show that took place, remembered by the users' state or not.
pub struct Shown {
    user: String,
    popup: String,
    at: i64,
    /// Of a popup that was not exempt.
    is_counted: bool,
    session: Option<String>,
    actions: BTreeSet<String>,
    /// Its popup was pushed out of the state since.
    is_forgotten: bool,
    /// Outcomes that were accepted between this show and the popup's next one: rank and time.
    outcomes: Vec<(usize, i64)>,
}

/// The model: settings, the current popups, and all that ever happened.
pub struct Model {
    pub settings: Value,
    pub popups: Vec<Value>,
    pub now: i64,
    shows: Vec<Shown>,
    /// Remembered popups per user, in the order in which they came.
    remembered: BTreeMap<String, Vec<String>>,
}

impl Model {
    pub fn new(settings: Value, popups: Vec<Value>) -> Model {
        Model { settings, popups, now: 0, shows: Vec::new(), remembered: BTreeMap::new() }
    }

    /// What a decide step must give.
    pub fn decide(&mut self, request: &Value) -> Value {
        let placement = request["placement"].as_str().unwrap_or("home");
        let mut live: Vec<Value> = self
            .popups
            .iter()
            .filter(|popup| {
                status(popup) == "live" && placements(popup).contains(&placement.into())
            })
            .cloned()
            .collect();
        live.sort_by_key(|popup| (-popup["priority"].as_i64().unwrap_or(0), id(popup)));
        let mut reason = None;
        let mut opens = Vec::new();
        for popup in &live {
            match self.gate(popup, request) {
                None => return self.show(popup, request),
                Some((gate, opens_at)) => {
                    reason = reason.max(GATES.iter().position(|name| *name == gate));
                    opens.extend(opens_at);
                }
            }
        }
        let next_in = opens.into_iter().min().map(|at| {
            let ms = at - self.now;
            ((ms + 999) / 1_000).clamp(1, 86_400)
        });
        json!({
            "popup": null, "variant": null, "content": null,
            "reason": reason.map_or("none", |index| GATES[index]), "next_in": next_in,
        })
    }

    /// What an event step must give.
    pub fn event(&mut self, event: &Value) -> Value {
        let rejected = |code: &str| json!({"accepted": 0, "duplicate": 0, "rejected": code});
        let action = event["action"].as_str().unwrap();
        let Some(rank) = RANKS.iter().position(|name| *name == action) else {
            return rejected("unknown_action");
        };
        let of_user: Vec<usize> = (0..self.shows.len())
            .filter(|index| self.shows[*index].user == event["user"].as_str().unwrap())
            .collect();
        let latest = of_user.last().map(|index| self.shows[*index].popup.clone());
        let Some(popup) = event["popup"].as_str().map(str::to_owned).or(latest) else {
            return rejected("bad_decision");
        };
        let of_popup: Vec<usize> =
            of_user.into_iter().filter(|index| self.shows[*index].popup == popup).collect();
        let back = usize::try_from(event["back"].as_u64().unwrap_or(0)).unwrap();
        let Some(index) = of_popup.iter().rev().nth(back).copied() else {
            return rejected("bad_decision");
        };
        let is_remembered = back < 16 && !self.shows[index].is_forgotten;
        let shown_at = self.shows[index].at;
        if self.now - shown_at > 7 * DAY || !is_remembered {
            return rejected("too_late");
        }
        if !self.shows[index].actions.insert(action.to_owned()) {
            return json!({"accepted": 0, "duplicate": 1, "rejected": null});
        }
        let acted_at = event["ts"].as_str().map_or(self.now, millisecond);
        let acted_at = acted_at.min(self.now).max(shown_at);
        if rank > 0 {
            self.shows[*of_popup.last().unwrap()].outcomes.push((rank, acted_at));
        }
        json!({"accepted": 1, "duplicate": 0, "rejected": null})
    }

    /// The first gate at which a live popup of the placement fails, and when that gate opens.
    fn gate(&self, popup: &Value, request: &Value) -> Option<(&'static str, Option<i64>)> {
        let moment = |key: &str| popup[key].as_str().map(millisecond);
        if let Some(starts_at) = moment("starts_at").filter(|at| self.now < *at) {
            return Some(("schedule", Some(starts_at)));
        }
        if moment("ends_at").is_some_and(|at| at <= self.now) {
            return Some(("schedule", None));
        }
        let zone = match popup["tz"].as_str().unwrap_or("UTC") {
            "user" => zone(request["tz"].as_str().unwrap_or("UTC")),
            name => zone(name),
        };
        if !is_inside(popup, &zone, self.now) {
            return Some(("window", Some(self.opening(popup, &zone))));
        }
        if let Some(target) = popup.get("target")
            && rules::holds(target, &request["attrs"]) != Some(true)
        {
            return Some(("target", None));
        }
        let rollout = popup["rollout"].as_u64().unwrap_or(100);
        let user = request["user"].as_str().unwrap();
        let place = u128::from(hash::rollout(user.as_bytes(), key(popup)));
        if place >= (u128::from(rollout) << 64) / 100 {
            return Some(("rollout", None));
        }
        self.gate_of_history(popup, user).or_else(|| {
            let is_exempt = popup["quiet_exempt"].as_bool().unwrap_or(false);
            if is_exempt { None } else { self.gate_of_user(user, request["session"].as_str()) }
        })
    }

    fn gate_of_history(&self, popup: &Value, user: &str) -> Option<(&'static str, Option<i64>)> {
        let shows = self.remembered_shows(popup, user);
        let latest = shows.last()?;
        let max_shows = popup["max_shows"].as_u64().unwrap_or(0);
        if max_shows > 0 && shows.len() as u64 >= max_shows {
            return Some(("max_shows", None));
        }
        let next_show_at = self.next_show_at(popup, latest);
        if next_show_at.is_none_or(|at| self.now < at) {
            return Some(("gap", next_show_at));
        }
        let none = Vec::new();
        let caps = popup["caps"].as_array().unwrap_or(&none);
        let last_16 = &shows[shows.len().saturating_sub(16)..];
        let are_open = |now: i64| {
            caps.iter().all(|cap| {
                let per = duration(&cap["per"]).unwrap();
                let count = last_16.iter().filter(|show| now - show.at < per).count();
                (count as u64) < cap["n"].as_u64().unwrap()
            })
        };
        if are_open(self.now) {
            return None;
        }
        // They open as some show leaves some cap: try all those moments.
        let leaves = caps
            .iter()
            .flat_map(|cap| last_16.iter().map(|show| show.at + duration(&cap["per"]).unwrap()));
        let opens_at = leaves.filter(|at| *at > self.now && are_open(*at)).min();
        Some(("cap", opens_at))
    }

    fn next_show_at(&self, popup: &Value, latest: &Shown) -> Option<i64> {
        let gap = |key: &str, default: &str| duration(popup.get(key).unwrap_or(&json!(default)));
        let mut next = vec![gap("after_shown", "24h").map(|gap| latest.at + gap)];
        let rank = latest.outcomes.iter().map(|(rank, _)| *rank).max();
        let ignored_at = latest.at + gap("ignore_after", "5m").unwrap();
        let outcome = match rank {
            Some(rank) => {
                let times = latest.outcomes.iter().filter(|outcome| outcome.0 == rank);
                Some((rank, times.map(|outcome| outcome.1).max().unwrap()))
            }
            None if ignored_at <= self.now => Some((1, latest.at)),
            None => None,
        };
        if let Some((rank, at)) = outcome {
            let defaults = ["", "24h", "7d", "never", "never"];
            let gap = gap(&format!("after_{}", RANKS[rank]), defaults[rank]);
            next.push(gap.map(|gap| at + gap));
        }
        next.into_iter().collect::<Option<Vec<i64>>>()?.into_iter().max()
    }

    fn gate_of_user(
        &self,
        user: &str,
        session: Option<&str>,
    ) -> Option<(&'static str, Option<i64>)> {
        let counted: Vec<&Shown> =
            self.shows.iter().filter(|show| show.user == user && show.is_counted).collect();
        let latest = counted.last()?;
        let quiet_until = latest.at + duration(&self.settings["quiet_time"]).unwrap_or(0);
        if self.now < quiet_until {
            return Some(("quiet", Some(quiet_until)));
        }
        let zone = zone(self.settings["tz"].as_str().unwrap_or("UTC"));
        let max_per_day = self.settings["max_per_day"].as_u64().unwrap_or(0);
        let today = local(&zone, self.now).date();
        let of_today = counted.iter().filter(|show| local(&zone, show.at).date() == today);
        if max_per_day > 0 && of_today.count() as u64 >= max_per_day {
            return Some(("day", Some(self.midnight(&zone))));
        }
        let max_per_session = self.settings["max_per_session"].as_u64().unwrap_or(0);
        let of_session = counted
            .iter()
            .rev()
            .filter_map(|show| show.session.as_deref())
            .take_while(|of_show| Some(*of_show) == session);
        if max_per_session > 0 && of_session.count() as u64 >= max_per_session {
            return Some(("session", None));
        }
        None
    }

    fn show(&mut self, popup: &Value, request: &Value) -> Value {
        let user = request["user"].as_str().unwrap().to_owned();
        let remembered = self.remembered.entry(user.clone()).or_default();
        if !remembered.contains(&id(popup)) {
            if remembered.len() == 64 {
                self.forget_one(&user);
            }
            self.remembered.get_mut(&user).unwrap().push(id(popup));
        }
        self.shows.push(Shown {
            user: user.clone(),
            popup: id(popup),
            at: self.now,
            is_counted: !popup["quiet_exempt"].as_bool().unwrap_or(false),
            session: request["session"].as_str().map(str::to_owned),
            actions: BTreeSet::new(),
            is_forgotten: false,
            outcomes: Vec::new(),
        });
        let (variant, source) = variant(popup, &user);
        let content = content(source, request["locale"].as_str().unwrap_or(""));
        json!({
            "popup": id(popup), "variant": variant, "content": content,
            "reason": null, "next_in": null,
        })
    }

    fn forget_one(&mut self, user: &str) {
        let latest_of = |popup: &String| {
            let of_popup =
                self.shows.iter().filter(|show| show.user == user && show.popup == *popup);
            of_popup.map(|show| show.at).max().unwrap()
        };
        let is_current = |popup: &String| {
            self.popups.iter().any(|known| id(known) == *popup && status(known) != "archived")
        };
        let remembered = &self.remembered[user];
        let gone: Vec<&String> = remembered.iter().filter(|popup| !is_current(popup)).collect();
        let candidates = if gone.is_empty() { remembered.iter().collect() } else { gone };
        let popup = candidates.into_iter().min_by_key(|popup| latest_of(popup)).unwrap().clone();
        self.remembered.get_mut(user).unwrap().retain(|other| *other != popup);
        for show in &mut self.shows {
            show.is_forgotten |= show.user == user && show.popup == popup;
        }
    }

    fn remembered_shows(&self, popup: &Value, user: &str) -> Vec<&Shown> {
        let id = id(popup);
        let of_popup = |show: &&Shown| show.user == user && show.popup == id && !show.is_forgotten;
        self.shows.iter().filter(of_popup).collect()
    }

    /// The next whole minute that is inside, or what is beyond the day that `next_in` looks ahead.
    fn opening(&self, popup: &Value, zone: &TimeZone) -> i64 {
        let mut minutes = (1..=1_440).map(|n| (self.now.div_euclid(MINUTE) + n) * MINUTE);
        minutes.find(|at| is_inside(popup, zone, *at)).unwrap_or(self.now + 2 * DAY)
    }

    fn midnight(&self, zone: &TimeZone) -> i64 {
        let today = local(zone, self.now).date();
        let mut minutes = (1..).map(|n| (self.now.div_euclid(MINUTE) + n) * MINUTE);
        minutes.find(|at| local(zone, *at).date() != today).unwrap()
    }
}

fn is_inside(popup: &Value, zone: &TimeZone, at: i64) -> bool {
    let Some(windows) = popup["windows"].as_array().filter(|windows| !windows.is_empty()) else {
        return true;
    };
    let local = local(zone, at);
    let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
    let yesterday = local.checked_sub(1.day()).unwrap();
    windows.iter().any(|window| {
        let on = |day: DateTime| {
            let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let index = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap();
            window["days"].as_array().is_none_or(|days| days.contains(&json!(names[index])))
        };
        let minutes = |key: &str| {
            let (hour, minute) = window[key].as_str().unwrap().split_once(':').unwrap();
            hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap()
        };
        let (from, to) = (minutes("from"), minutes("to"));
        if from < to {
            return on(local) && from <= minute && minute < to;
        }
        (on(local) && from <= minute) || (on(yesterday) && minute < to)
    })
}

fn variant<'p>(popup: &'p Value, user: &str) -> (Value, &'p Value) {
    let Some(variants) = popup["variants"].as_array() else {
        return (Value::Null, popup);
    };
    let weights: Vec<u128> =
        variants.iter().map(|variant| variant["weight"].as_u64().unwrap().into()).collect();
    let place = u128::from(hash::variant(user.as_bytes(), key(popup)));
    let place = place * weights.iter().sum::<u128>() / (1 << 64);
    let index =
        (0..variants.len()).find(|index| place < weights[..=*index].iter().sum::<u128>()).unwrap();
    (variants[index]["key"].clone(), &variants[index])
}

fn content(source: &Value, locale: &str) -> Value {
    let none = Map::new();
    let locales = source["locales"].as_object().unwrap_or(&none);
    let plain = |tag: &str| tag.replace('_', "-").to_lowercase();
    let wanted = plain(locale);
    let tags: Vec<&str> = wanted.split('-').collect();
    for count in (1..=tags.len()).rev() {
        let wanted = tags[..count].join("-");
        if let Some((_, content)) = locales.iter().find(|(tag, _)| plain(tag) == wanted) {
            return content.clone();
        }
    }
    source.get("content").cloned().unwrap_or(json!({}))
}

fn id(popup: &Value) -> String {
    popup["id"].as_str().unwrap().to_owned()
}

fn key(popup: &Value) -> u64 {
    hash::popup(id(popup).as_bytes())
}

fn status(popup: &Value) -> &str {
    popup["status"].as_str().unwrap_or("live")
}

fn placements(popup: &Value) -> Vec<Value> {
    popup["placement"].as_array().cloned().unwrap_or(vec![json!("home")])
}

/// Milliseconds of a gap; `None` for never, and for what is absent.
fn duration(gap: &Value) -> Option<i64> {
    let duration = parse_duration(gap.as_str()?).ok()?;
    Some(i64::try_from(duration.0).unwrap())
}

fn millisecond(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap_or(TimeZone::UTC)
}

fn local(zone: &TimeZone, at: i64) -> DateTime {
    zone.to_datetime(Timestamp::from_millisecond(at).unwrap())
}
