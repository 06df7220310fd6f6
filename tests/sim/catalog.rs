//! The popups of every run as a table, from which both their definitions and the oracle's rules
//! come: short gaps, caps, a limit for ever, one that the quiet time passes by, one alone in its
//! placement, and one that nodes may show from their own memory.

use std::fmt::Write;
use std::sync::Arc;

use nudged_base::time::DurationMs;
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::{Settings, Snapshot};
use nudged_domain::catalog::source::parse_toml;

use super::config::Config;

/// A time that never comes.
pub const NEVER: i64 = i64::MAX / 4;

/// What a popup allows, in milliseconds.
#[derive(Clone, Copy)]
pub struct Rules {
    pub id: &'static str,
    /// From a show.
    pub after_shown: i64,
    /// From a show to its being ignored.
    pub ignore_after: i64,
    /// From an outcome: ignored, dismissed, clicked, converted.
    pub after_outcome: [i64; 4],
    /// Sliding caps: so many shows in so long.
    pub caps: &'static [(usize, i64)],
    /// Shows for ever; 0 for no limit.
    pub max_shows: usize,
    /// Neither held back by quiet time and the day's limit, nor counted in them.
    pub is_exempt: bool,
    /// What else its definition says.
    more: &'static str,
}

const GAPS: Rules = Rules {
    id: "gaps",
    after_shown: 2_000,
    ignore_after: 1_000,
    after_outcome: [3_000, 6_000, 12_000, 30_000],
    caps: &[],
    max_shows: 0,
    is_exempt: false,
    more: "priority = 30",
};

const RULES: [Rules; 6] = [
    GAPS,
    Rules {
        id: "capped",
        after_shown: 200,
        ignore_after: 100,
        after_outcome: [200, 1_000, 2_000, NEVER],
        caps: &[(2, 4_000), (5, 30_000)],
        more: "priority = 20\n\
               variants = [{ key = 'a', content = { t = 1 } }, { key = 'b', content = { t = 2 } }]",
        ..GAPS
    },
    Rules {
        id: "thrice",
        after_shown: 100,
        ignore_after: 50,
        after_outcome: [100, 100, NEVER, NEVER],
        max_shows: 3,
        more: "priority = 15",
        ..GAPS
    },
    Rules {
        id: "exempt",
        after_shown: 5_000,
        after_outcome: [5_000; 4],
        is_exempt: true,
        more: "priority = 10\nquiet_exempt = true",
        ..GAPS
    },
    Rules {
        id: "solo",
        after_shown: 6_000,
        after_outcome: [6_000, 12_000, 25_000, 40_000],
        more: "placement = ['solo']",
        ..GAPS
    },
    Rules {
        id: "local",
        after_shown: 3_000,
        after_outcome: [3_000, 5_000, 8_000, 20_000],
        more: "placement = ['local']\non_failure = 'local'",
        ..GAPS
    },
];

/// First in the order of popups, and never shown: with it all others have other places.
const FILLER: &str = "[[popup]]\nid = 'filler'\npriority = 99\nstatus = 'draft'\n";

/// The rules of a popup.
pub fn rules_of(popup: &str) -> &'static Rules {
    RULES.iter().find(|rules| rules.id == popup).expect("a popup of ours")
}

impl Rules {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let gap = |ms: i64| if ms == NEVER { "'never'".to_owned() } else { format!("'{ms}ms'") };
        writeln!(out, "[[popup]]\nid = '{}'\n{}", self.id, self.more)?;
        writeln!(out, "after_shown = {}", gap(self.after_shown))?;
        writeln!(out, "ignore_after = {}", gap(self.ignore_after))?;
        for (name, ms) in
            ["ignored", "dismissed", "clicked", "converted"].iter().zip(self.after_outcome)
        {
            writeln!(out, "after_{name} = {}", gap(ms))?;
        }
        if self.max_shows > 0 {
            writeln!(out, "max_shows = {}", self.max_shows)?;
        }
        let caps = self.caps.iter().map(|(n, per)| format!("{{ n = {n}, per = {} }}", gap(*per)));
        writeln!(out, "caps = [{}]", caps.collect::<Vec<_>>().join(", "))
    }
}

/// The catalogs of a run, which allow the same. Popups have other places in each, and each popup's
/// version says in which it is.
pub fn snapshots(config: &Config) -> [Arc<Snapshot>; 2] {
    let mut popups = String::new();
    RULES.iter().try_for_each(|rules| rules.write(&mut popups)).expect("a text takes all");
    let filled = format!("{popups}{FILLER}");
    [snapshot(config, &popups, 1), snapshot(config, &filled, 2)]
}

fn snapshot(config: &Config, popups: &str, version: u32) -> Arc<Snapshot> {
    let definitions = parse_toml(popups).expect("the popups are well-formed");
    let entries: Vec<_> = definitions
        .iter()
        .map(|definition| CatalogEntry { definition, version, status: definition.status() })
        .collect();
    let settings = Settings {
        quiet_time: DurationMs(config.quiet_ms),
        max_per_day: config.max_per_day,
        ..Settings::default()
    };
    Arc::new(compile(&entries, settings, 1).expect("the popups go together"))
}
