//! Property: one line for each popup, in words.

use super::*;

#[test]
fn each_popup_has_its_line() {
    let body = r#"{"user":"u","popup":"b","candidates":[{"id":"long-name","gate":"gap","why":"shown a minute ago"},
        {"id":"b","gate":null},{"id":"c","gate":null},{"id":"d","gate":"future"},
        {"id":"e","gate":"cap","why":"shown\u001b at 9"}],"warnings":["tz: none"]}"#;
    let explained: Explained = serde_json::from_str(body).unwrap();
    assert_eq!(explained.warnings, ["tz: none"]);
    let text = in_words(&explained);
    let asked = target(&[("user", "a b/é"), ("placement", "home")]);
    assert_eq!(asked, "/v1/explain?user=a%20b%2F%C3%A9&placement=home");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[4], "e          cap        (shown  at 9)");
    assert!(lines[0].starts_with("long-name  gap        (shown a minute ago)"), "{text}");
    assert!(lines[1].starts_with("b          shown      (it passes"), "{text}");
    assert_eq!(lines[2], "c          passes     (it would be shown, but b wins)");
    assert!(lines[3].contains("future     (the node gives no reason)"), "{text}");
}
