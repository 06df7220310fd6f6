//! Property: a text of popups is either read whole, and reads back from its canonical text as
//! itself, or refused with each of its errors.

use super::*;

#[test]
fn smoke() {
    let toml = r#"
[[popup]]
id = "spring-sale"
placement = ["home"]
priority = 10
starts_at = 2026-03-01T00:00:00+01:00
ends_at   = 2026-04-01T00:00:00+02:00
windows = [{ days = ["mon","fri"], from = "09:00", to = "18:00" }]
tz = "Europe/Berlin"
caps = [{ n = 1, per = "24h" }]
rollout = 33.3
[popup.target]
all = [ { attr = "platform", op = "in", value = ["ios", "android"] },
        { any = [ { attr = "app_version", op = "semver_gte", value = "5.2.0" }, { attr = "beta", op = "eq", value = true } ] },
        { not = { attr = "country", op = "eq", value = "DE" } } ]
[popup.content]
title = "Spring sale"
a = 1
[popup.locales.de]
title = "Frühlingsangebote"
"#;
    let read = parse_toml(toml).unwrap();
    println!("{}", read[0].canonical_json());
    assert_eq!(parse_json_popup(&read[0].canonical_json()).unwrap(), read[0]);
    let bad = toml.replace("n = 1", "n = 17\n, m = 3").replace("\"mon\"", "\"mo\"");
    for e in parse_toml(&bad).unwrap_err() {
        println!("{}", e.in_file("popups.toml"));
    }
}
