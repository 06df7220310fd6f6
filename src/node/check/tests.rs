//! Property: a check says all that is wrong with a file, and its exit code says whether.

use std::fs;

use super::*;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-config/popups.toml")
}

#[test]
fn the_sample_is_right_and_shows_its_first_popup_to_anybody() {
    assert_eq!(check_popups_file(&sample(), &Settings::default()), Ok(Vec::new()));
    let definitions = read_popups_file(&sample()).unwrap();
    assert_eq!(definitions[0].id(), "welcome");
    let expected = concat!(
        r#"{"id":"welcome","content":{"title":"Welcome","text":"Three things to try first.","#,
        r#""link":"https://example.com/start"}}"#
    );
    assert_eq!(definitions[0].canonical_json(), expected);
    let at_home = definitions.iter().filter(|popup| !popup.canonical_json().contains("placement"));
    assert_eq!(at_home.count(), 1);
}

#[test]
fn the_sample_names_every_field() {
    let text = fs::read_to_string(sample()).unwrap();
    let mentioned = |field: &&str| {
        let line = |line: &str| line.trim_start().starts_with(&format!("{field} ="));
        text.lines().any(line)
            || text.contains(&format!("[popup.{field}"))
            || text.contains(&format!("[[popup.{field}"))
    };
    let missing: Vec<_> =
        crate::catalog::source::FIELDS.iter().filter(|field| !mentioned(field)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}

#[test]
fn says_all_that_is_wrong_with_each_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let bad =
        file("bad.toml", "[[popup]]\nid = \"x\"\ncaps = [{ n = 17, per = \"1h\" }]\nnew = 1\n");
    let warned = file("warned.json", r#"[{"id":"y","rollout":0}]"#);
    let missing = directory.path().join("missing.toml");
    let report = run(&[bad.clone(), warned.clone(), missing.clone()]);
    assert_eq!(report.exit_code, 2);
    let lines: Vec<_> = report.text.lines().collect();
    let (bad, warned) = (bad.display(), warned.display());
    assert!(lines[1].starts_with(&format!("{bad}:4: popup \"x\": new: unknown key")), "{lines:?}");
    assert_eq!(lines[0], format!("{bad}:3: popup \"x\": caps[0].n: 17 is not in 1 to 16"));
    let warning = "warning: popup \"y\": rollout: no user is within it";
    assert_eq!(lines[2], format!("{warned}: {warning}"));
    assert_eq!(lines[3], format!("{warned}: ok"));
    assert!(lines[4].starts_with(&format!("{}: ", missing.display())), "{lines:?}");
    assert_eq!(lines.len(), 5);

    assert_eq!(run(&[sample()]).exit_code, 0);
}

#[test]
fn the_way_to_redis_is_checked_and_its_password_not_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nudged.toml");
    let mysql = "[mysql]\nurl = \"mysql://u:p@h/d\"\n";
    for (url, exit_code) in [("redis://:canary@h:6379", 0), ("redis://:canary@h:0", 2)] {
        fs::write(&path, format!("{mysql}[redis]\nurl = \"{url}\"\n")).unwrap();
        let report = run_with_config(Some(&path), &[]);
        assert_eq!(report.exit_code, exit_code, "{}", report.text);
        assert_eq!(report.text.contains("redis.url: "), exit_code == 2, "{}", report.text);
        assert!(!report.text.contains("canary"), "{}", report.text);
    }
}
