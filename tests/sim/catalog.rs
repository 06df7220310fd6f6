//! The popups of every run, and what they allow, said a second time for the oracle: short gaps,
//! caps, a limit for ever, one that the quiet time passes by.

use std::sync::Arc;

use nudged_base::time::DurationMs;
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::{Settings, Snapshot};
use nudged_domain::catalog::source::parse_toml;

use super::config::Config;

const POPUPS: &str = r#"
[[popup]]
id = "gaps"
priority = 30
after_shown = "2s"
ignore_after = "1s"
after_ignored = "3s"
after_dismissed = "6s"
after_clicked = "12s"
after_converted = "30s"

[[popup]]
id = "capped"
priority = 20
after_shown = "200ms"
ignore_after = "100ms"
after_ignored = "200ms"
after_dismissed = "1s"
after_clicked = "2s"
after_converted = "never"
caps = [{ n = 2, per = "4s" }, { n = 5, per = "30s" }]
variants = [{ key = "a", content = { t = 1 } }, { key = "b", content = { t = 2 } }]

[[popup]]
id = "thrice"
priority = 15
max_shows = 3
after_shown = "100ms"
ignore_after = "50ms"
after_ignored = "100ms"
after_dismissed = "100ms"
after_clicked = "never"

[[popup]]
id = "exempt"
priority = 10
quiet_exempt = true
after_shown = "5s"
ignore_after = "1s"
after_ignored = "5s"
after_dismissed = "5s"
after_clicked = "5s"
after_converted = "5s"
"#;

/// First in the order of popups, and never shown: with it all others have other places.
const FILLER: &str = r#"
[[popup]]
id = "filler"
priority = 99
status = "draft"
"#;

/// A time that never comes.
pub const NEVER: i64 = i64::MAX / 4;

/// What a popup allows, in milliseconds.
pub struct Rules {
    /// Its id.
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
}

/// The rules of every popup above.
pub const RULES: [Rules; 4] = [
    Rules {
        id: "gaps",
        after_shown: 2_000,
        ignore_after: 1_000,
        after_outcome: [3_000, 6_000, 12_000, 30_000],
        caps: &[],
        max_shows: 0,
        is_exempt: false,
    },
    Rules {
        id: "capped",
        after_shown: 200,
        ignore_after: 100,
        after_outcome: [200, 1_000, 2_000, NEVER],
        caps: &[(2, 4_000), (5, 30_000)],
        max_shows: 0,
        is_exempt: false,
    },
    Rules {
        id: "thrice",
        after_shown: 100,
        ignore_after: 50,
        after_outcome: [100, 100, NEVER, NEVER],
        caps: &[],
        max_shows: 3,
        is_exempt: false,
    },
    Rules {
        id: "exempt",
        after_shown: 5_000,
        ignore_after: 1_000,
        after_outcome: [5_000, 5_000, 5_000, 5_000],
        caps: &[],
        max_shows: 0,
        is_exempt: true,
    },
];

/// The catalogs of a run, which allow the same. Popups have other places in each, and each popup's
/// version says in which it is.
pub fn snapshots(config: &Config) -> [Arc<Snapshot>; 2] {
    let filled = format!("{POPUPS}{FILLER}");
    [snapshot(config, POPUPS, 1), snapshot(config, &filled, 2)]
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
