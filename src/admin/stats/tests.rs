//! Property: rows are those of the hours, each counted once, by whichever span they are told; what
//! can't be told as it is asked says so.

use super::*;
use nudged_domain::catalog::compile::compile_unstored;
use nudged_domain::catalog::snapshot::Settings;
use nudged_domain::catalog::source::parse_json_popup;

const START: i64 = 1_767_225_600_000;

fn at(hours: i64) -> WallMs {
    WallMs(START + hours * 3_600_000)
}

fn row(hours: i64, is_day: bool, decided: u64, answered: Option<u64>) -> StatRow {
    let counts = [decided, 0, 0, 0, answered.unwrap_or(0), 0];
    let (popup, variant) = ("p".to_owned(), "a,b".to_owned());
    StatRow { popup, variant, hour: at(hours), is_day, counts, answered }
}

fn snapshot() -> Snapshot {
    let popup = parse_json_popup("{\"id\":\"p\",\"ignore_after\":\"1h\"}").unwrap();
    compile_unstored([&popup], Settings::default()).unwrap()
}

fn asked(by_day: Option<bool>, zone: &str) -> StatsQuery<'_> {
    StatsQuery { popup: None, from: at(0), to: at(100), by_day, zone }
}

/// Rows of as many users as decisions, whose names begin with the row's hour.
fn found(rows: &[StatRow]) -> StatsFound {
    let users = rows.iter().filter(|row| row.answered.is_some()).map(|row| {
        let names: Vec<String> =
            (0..row.counts[0]).map(|number| format!("{}-{number}", row.hour.0)).collect();
        let decided = names.iter().map(String::as_str).chain(["everywhere"]).collect();
        let by_kind = [Some(decided), Some(["everywhere"].into_iter().collect())];
        ((row.popup.clone(), row.variant.clone(), row.hour, row.is_day), StatUsers { by_kind })
    });
    let users = users.collect();
    StatsFound { rows: rows.to_vec(), users }
}

fn told(query: &StatsQuery<'_>, rows: &[StatRow], now: WallMs) -> Value {
    json(query, &report(query, &found(rows), &snapshot(), now))
}

#[test]
fn ranges_default_to_a_day_and_are_bounded() {
    let bump = Bump::new();
    let now = WallMs(START);
    let day_before = WallMs(now.0 - 86_400_000);
    let bad = || Err(BadInput::new("bad_range", "from"));
    let all = |from, to| StatsQuery { popup: None, from, to, by_day: None, zone: "UTC" };
    let cases = [
        ("".to_owned(), Ok(all(day_before, now))),
        ("popup=p&to=5&from=3".to_owned(), {
            Ok(StatsQuery { popup: Some("p"), ..all(WallMs(3), WallMs(5)) })
        }),
        (format!("from=0&to={STATS_RANGE_MAX_MS}"), {
            Ok(all(WallMs(0), WallMs(i64::try_from(STATS_RANGE_MAX_MS).unwrap())))
        }),
        (format!("from=0&to={}", STATS_RANGE_MAX_MS + 1), bad()),
        ("from=2&to=1".to_owned(), bad()),
        (format!("popup=p&from=0&to={}", STATS_RANGE_OF_ONE_MAX_MS + 1), bad()),
        ("by=day&tz=Europe/Berlin".to_owned(), {
            let from = day_of(&zone_of("Europe/Berlin"), day_before);
            Ok(StatsQuery { by_day: Some(true), zone: "Europe/Berlin", ..all(from, now) })
        }),
        ("tz=Asia/Tokyo".to_owned(), {
            let (by_day, zone) = (Some(false), "Asia/Tokyo");
            Ok(StatsQuery { by_day, zone, ..all(day_before, now) })
        }),
    ];
    for (query, want) in cases {
        assert_eq!(read(&query, now, &bump), want, "{query}");
    }
    // Berlin's first of January began an hour before that of UTC.
    let berlin = read("by=day&tz=Europe/Berlin&from=1767225600000&to=1767225600000", now, &bump);
    assert_eq!(berlin.unwrap().from, at(-1));
}

#[test]
fn days_are_those_of_the_zone() {
    let rows = [row(22, false, 1, Some(0)), row(23, false, 2, Some(1)), row(24, false, 4, Some(2))];
    let far = at(1_000);
    let utc = told(&asked(Some(true), "UTC"), &rows, far);
    let hours = |told: &Value| -> Vec<(String, u64)> {
        let rows = told["rows"].as_array().unwrap().iter();
        let one = |row: &Value| {
            (row["local"].as_str().unwrap().to_owned(), row["decided"].as_u64().unwrap())
        };
        rows.map(one).collect()
    };
    let want = [("2026-01-01T00:00:00+00:00", 3), ("2026-01-02T00:00:00+00:00", 4)];
    assert_eq!(hours(&utc), want.map(|(local, count)| (local.to_owned(), count)));
    let berlin = told(&asked(Some(true), "Europe/Berlin"), &rows, far);
    let want = [("2026-01-01T00:00:00+01:00", 1), ("2026-01-02T00:00:00+01:00", 6)];
    assert_eq!(hours(&berlin), want.map(|(local, count)| (local.to_owned(), count)));
    assert_eq!((&berlin["by"], &berlin["tz"]), (&json!("day"), &json!("Europe/Berlin")));
    assert_eq!((&berlin["totals"]["decided"], &berlin["warnings"]), (&json!(7), &json!([])));
    let hourly = told(&asked(Some(false), "Europe/Berlin"), &rows, far);
    assert_eq!(hours(&hourly)[0], ("2026-01-01T23:00:00+01:00".to_owned(), 1));
    let delhi = told(&asked(Some(true), "Asia/Kolkata"), &rows, far);
    assert!(delhi["warnings"][0].as_str().unwrap().contains("whole hours"), "{delhi}");
}

#[test]
fn where_utc_days_are_among_the_rows_all_are_by_utc_day_and_it_is_said() {
    let rows = [row(0, true, 5, Some(1)), row(24, false, 2, Some(0)), row(25, false, 2, Some(0))];
    for query in [asked(Some(true), "Europe/Berlin"), asked(Some(false), "UTC")] {
        let told = told(&query, &rows, at(1_000));
        assert_eq!((&told["by"], &told["tz"]), (&json!("day"), &json!("UTC")));
        assert!(told["warnings"][0].as_str().unwrap().contains("UTC day"), "{told}");
        assert_eq!(told["rows"].as_array().unwrap().len(), 2, "{told}");
        assert_eq!(told["rows"][1]["decided"], 4, "{told}");
    }
    let stored = told(&asked(None, "UTC"), &rows, at(1_000));
    assert_eq!((&stored["by"], &stored["warnings"]), (&json!("stored"), &json!([])));
    assert_eq!(stored["rows"][0]["span"], "day");
    let days = told(&asked(Some(true), "UTC"), &rows, at(1_000));
    assert_eq!(days["warnings"], json!([]), "as asked");
}

#[test]
fn ignored_is_what_was_not_answered_once_it_is_old_enough() {
    let rows = [row(0, false, 10, Some(4)), row(1, false, 3, Some(0))];
    let inferred = |now| {
        let told = told(&asked(None, "UTC"), &rows, now);
        let of = |index: usize| told["rows"][index]["ignored_inferred"].clone();
        (of(0), of(1), told["totals"]["ignored_inferred"].clone())
    };
    assert_eq!(inferred(WallMs(at(2).0 - 1)), (json!(0), json!(0), json!(0)));
    assert_eq!(inferred(at(2)), (json!(6), json!(0), json!(6)));
    assert_eq!(inferred(at(3)), (json!(6), json!(3), json!(9)));
    let unknown = [row(0, false, 10, None), row(1, false, 3, Some(0))];
    let told = told(&asked(None, "UTC"), &unknown, at(50));
    assert_eq!(told["rows"][0]["ignored_inferred"], json!(null), "an older version counted");
    assert_eq!(told["totals"]["answered"], json!(null));
}

#[test]
fn spreadsheets_have_a_head_and_a_line_a_row() {
    let query = asked(Some(true), "Europe/Berlin");
    let rows = [row(24, false, 2, None), row(48, false, 2, Some(0))];
    let text = csv(&report(&query, &found(&rows), &snapshot(), at(50)));
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "popup,variant,hour,local,span,decided,shown,ignored,dismissed,clicked,converted,answered,\
         ignored_inferred,uniques,uniques_clicked"
    );
    assert_eq!(
        lines[1],
        "p,\"a,b\",2026-01-01T23:00:00+00:00,2026-01-02T00:00:00+01:00,day,2,0,0,0,0,0,,,0,0"
    );
    assert_eq!(
        lines[2],
        "p,\"a,b\",2026-01-02T23:00:00+00:00,2026-01-03T00:00:00+01:00,day,2,0,0,0,0,0,0,2,3,1"
    );
    assert_eq!(lines[3..], [""]);
}

#[test]
fn csv_is_for_those_who_would_rather_have_it() {
    for (accept, want) in [
        ("", false),
        ("*/*", false),
        ("text/csv", true),
        ("Text/CSV; header=present", true),
        ("text/csv, */*;q=0.1", true),
        ("text/csv, */*", true),
        ("text/csv;q=0", false),
        ("text/csv;q=0, */*;q=0", false),
        ("text/csv;q=x", false),
        ("text/csvx", false),
        ("application/json, text/csv;q=0.1", false),
        ("text/csv;q=0.1,application/json", false),
        ("application/json;q=0.2, text/csv ; q=0.3", true),
        ("text/csv, application/json", true),
        ("application/json, text/csv", false),
        ("text/csv;q=0.5, application/*", false),
        ("text/html, application/xml;q=0.9, */*;q=0.8", false),
    ] {
        assert_eq!(is_csv_accepted(accept.as_bytes()), want, "{accept}");
    }
}

#[test]
fn users_count_once_in_a_day_and_once_in_the_totals() {
    let rows = [row(1, false, 5, Some(0)), row(2, false, 7, Some(0)), row(30, false, 1, Some(0))];
    let days = told(&asked(Some(true), "UTC"), &rows, at(1_000));
    assert_eq!((&days["rows"][0]["uniques"], &days["rows"][1]["uniques"]), (&json!(13), &json!(2)));
    assert_eq!(days["totals"]["uniques"], 14, "one of them is in every row");
    assert_eq!(days["totals"]["uniques_clicked"], 1);
    assert_eq!((&days["uniques_error"], &days["warnings"]), (&json!(0.023), &json!([])));
    let hours = told(&asked(None, "UTC"), &rows, at(1_000));
    assert_eq!((&hours["rows"][0]["uniques"], &hours["totals"]["uniques"]), (&json!(6), &json!(14)));
    let mut unknown = found(&rows);
    let (_, second) = unknown.users.iter_mut().nth(1).unwrap();
    second.by_kind[0] = None;
    let query = asked(Some(true), "UTC");
    let told = json(&query, &report(&query, &unknown, &snapshot(), at(1_000)));
    let of = |row: &Value| (row["uniques"].clone(), row["uniques_clicked"].clone());
    assert_eq!(of(&told["rows"][0]), (json!(null), json!(1)));
    assert_eq!(of(&told["rows"][1]), (json!(2), json!(1)));
    assert_eq!(of(&told["totals"]), (json!(null), json!(1)));
    assert!(told["warnings"][0].as_str().unwrap().contains("uniques"), "{told}");
}

#[test]
fn a_day_of_which_a_part_is_told_says_so() {
    let rows = [row(1, false, 5, Some(0)), row(25, false, 7, Some(0))];
    let ends = |to, now, zone| {
        let query = StatsQuery { to: at(to), ..asked(Some(true), zone) };
        let told = told(&query, &rows, at(now));
        told["warnings"].as_array().unwrap().iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(ends(48, 48, "UTC"), "", "a whole day");
    assert!(ends(40, 40, "UTC").contains("2026-01-02 is not over"));
    assert!(ends(40, 100, "UTC").contains("ends within 2026-01-02"));
    assert_eq!(ends(60, 60, "UTC"), "", "a day without a row");
    assert!(ends(48, 48, "Europe/Berlin").is_empty(), "its row is of the second");
    assert!(ends(47, 47, "Asia/Tokyo").is_empty(), "no row is of the third");
    let old = [row(24, true, 5, Some(0))];
    let from = StatsQuery { from: at(3), ..asked(None, "UTC") };
    let told = told(&from, &old, at(1_000));
    assert!(told["warnings"][0].as_str().unwrap().contains("2026-01-01"), "{told}");
}
