//! The popups of runs of several nodes, and what they allow at the least, said a second time for
//! the oracle: one that nodes may show from their own memory, and one alone in its placement.

use std::sync::Arc;

use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::{Settings, Snapshot};
use nudged_domain::catalog::source::parse_toml;

const POPUPS: &str = r#"
[[popup]]
id = "gaps"
priority = 30
after_shown = "2s"
ignore_after = "1s"
after_ignored = "2s"
after_dismissed = "5s"
after_clicked = "9s"
after_converted = "20s"

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
id = "solo"
placement = ["solo"]
after_shown = "6s"
ignore_after = "1s"
after_ignored = "6s"
after_dismissed = "12s"
after_clicked = "25s"
after_converted = "40s"

[[popup]]
id = "local"
placement = ["local"]
on_failure = "local"
after_shown = "3s"
ignore_after = "1s"
after_ignored = "3s"
after_dismissed = "5s"
after_clicked = "8s"
after_converted = "20s"
"#;

/// What a popup allows at the least, in milliseconds.
pub struct Rules {
    /// Its id.
    pub id: &'static str,
    /// From a show to the next.
    pub after_shown: i64,
    /// Sliding caps: so many shows in so long.
    pub caps: &'static [(usize, i64)],
    /// Shows for ever; 0 for no limit.
    pub max_shows: usize,
}

/// The rules of every popup above.
pub const RULES: [Rules; 5] = [
    Rules { id: "gaps", after_shown: 2_000, caps: &[], max_shows: 0 },
    Rules { id: "capped", after_shown: 200, caps: &[(2, 4_000), (5, 30_000)], max_shows: 0 },
    Rules { id: "thrice", after_shown: 100, caps: &[], max_shows: 3 },
    Rules { id: "solo", after_shown: 6_000, caps: &[], max_shows: 0 },
    Rules { id: "local", after_shown: 3_000, caps: &[], max_shows: 0 },
];

/// The rules of a popup.
pub fn rules_of(popup: &str) -> &'static Rules {
    RULES.iter().find(|rules| rules.id == popup).expect("a popup of ours")
}

/// The compiled catalog.
pub fn snapshot() -> Arc<Snapshot> {
    let definitions = parse_toml(POPUPS).expect("the popups are well-formed");
    let entries: Vec<_> = definitions
        .iter()
        .map(|definition| CatalogEntry { definition, version: 1, status: definition.status() })
        .collect();
    Arc::new(compile(&entries, Settings::default(), 1).expect("the popups go together"))
}
