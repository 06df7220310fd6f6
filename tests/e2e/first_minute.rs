//! Property: what the first minute with nudged promises, it does. A popup is shown once, the answer
//! says when to ask again, a click is taken, and everything that is wrong with a configuration is
//! said at once.

use std::fs;

use crate::client::event;
use crate::database;
use crate::harness::{Setup, WELCOME, nudged, repository, run, until};

#[test]
fn the_schema_of_popups_is_printed() {
    let exit = run(std::path::Path::new("/"), &["schema"]);
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""));
    let shipped = std::fs::read_to_string(repository("vendor-config/popups.schema.json")).unwrap();
    assert_eq!(exit.stdout, shipped);
}

#[test]
fn a_popup_is_shown_once_and_the_click_is_kept() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    let shown = client.decide("ann").expect(200);
    let body = shown.json();
    assert_eq!(body["popup"]["id"], "welcome");
    assert_eq!(body["popup"]["version"], 1);
    assert_eq!(body["popup"]["content"]["title"], "Welcome");
    assert_eq!(body["expires_in"], 30);
    assert_eq!(shown.field("cache-control"), Some("no-store"));
    let again = client.decide("ann").expect(204);
    assert_eq!((again.reason(), again.body.as_str()), ("gap", ""));
    let next: u32 = again.field("nudge-next").unwrap().parse().unwrap();
    assert!((86_390..=86_400).contains(&next), "{next}");

    let token = shown.token().unwrap();
    let clicked = client.event(&token, "clicked").expect(202);
    assert_eq!(clicked.json()["accepted"], 1);
    let repeated = client.event(&token, "clicked").expect(202);
    assert_eq!(
        (&repeated.json()["accepted"], &repeated.json()["duplicate"]),
        (&0.into(), &1.into())
    );
    let never = client.decide("ann").expect(204);
    assert_eq!((never.reason(), never.field("nudge-next")), ("gap", None));
    server.stop();

    let events = database::events(setup.data());
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events.get(&(token.clone(), "decided".to_owned())), Some(&1));
    assert_eq!(events.get(&(token, "clicked".to_owned())), Some(&1));
    let row = "SELECT shows FROM user_popups WHERE user_id = 'ann' AND popup_id = 'welcome' \
               AND outcome = 'clicked' AND next_show_at IS NULL";
    assert_eq!(database::number(setup.data(), row), 1);
}

#[test]
fn status_and_metrics_tell_of_it() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    server.client().decide("ann").expect(200);
    server.client().decide("ann").expect(204);
    let mut operator = server.operator();
    let status = operator.get("/v1/status").expect(200).json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let shards = status["shards"].as_array().unwrap().len();
    assert!(shards >= 1, "{status}");
    let metrics = until("both decisions in the metrics", || {
        let text = operator.get("/metrics").expect(200).body;
        let counts: f64 = text
            .lines()
            .filter(|line| line.starts_with("nudged_requests_total") && line.contains("decide"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        (counts >= 2.0).then_some(text)
    });
    let named = |line: &&str| !line.starts_with('#') && !line.starts_with("nudged_");
    assert_eq!(metrics.lines().filter(named).collect::<Vec<_>>(), Vec::<&str>::new());
    server.stop();
}

#[test]
fn every_state_of_a_user_survives_a_stop() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    server.stop();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.decide("ann").reason(), "gap");
    let late = client.event(&token, "dismissed").expect(202);
    assert_eq!(late.json()["accepted"], 1, "tokens of before are good: {late:?}");
    assert_eq!(client.decide("bob").expect(200).json()["popup"]["version"], 1, "no new version");
    server.stop();
}

#[test]
fn an_unnamed_user_is_given_a_name() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    let shown = client.get("/v1/decide?placement=home").expect(200).json();
    let anonymous = shown["anon"].as_str().unwrap().to_owned();
    assert_eq!(client.decide(&anonymous).reason(), "gap");
    let nothing = client.get("/v1/decide?placement=elsewhere").expect(204);
    assert_eq!(nothing.reason(), "none");
    assert_ne!(nothing.field("nudge-anon"), Some(anonymous.as_str()));
    assert!(nothing.field("nudge-anon").is_some(), "{nothing:?}");
    server.stop();
}

#[test]
fn events_ride_along_with_a_decision() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    let token = client.decide("ann").token().unwrap();
    let other = client.decide("bob").token().unwrap();
    let events = [event(&token, "clicked"), event(&token, "clicked"), event(&other, "clicked")];
    let body = format!("{{\"user\":\"ann\",\"events\":[{}]}}", events.join(","));
    let answer = client.ask("POST", "/v1/decide", &body).expect(204);
    assert_eq!(answer.field("nudge-events"), Some("accepted=1,duplicate=1,rejected=1"));
    server.stop();
}

#[test]
fn the_samples_that_are_shipped_are_right() {
    let setup = Setup::new(WELCOME);
    let folder = setup.path("");
    let popups = repository("vendor-config/popups.toml");
    let config = repository("vendor-config/nudged.toml");
    let popups = popups.to_str().unwrap();
    let exit = run(&folder, &["check", "--config", config.to_str().unwrap(), popups]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let vectors = ["basic", "random"].map(|name| repository(&format!("tests/vectors/{name}.json")));
    let [basic, random] = vectors.each_ref().map(|path| path.to_str().unwrap());
    let exit = run(&folder, &["vectors", basic, random]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let last = exit.stdout.lines().last().unwrap();
    assert!(last.ends_with(" passed, 0 failed") && !last.starts_with("0 "), "{last}");
}

#[test]
fn a_vector_that_fails_is_exit_code_1() {
    let setup = Setup::new(WELCOME);
    let text = r#"[{"name": "wrong", "popups": [{"id": "p"}], "steps": [
        {"at": "2026-01-01T00:00:00Z", "decide": {"user": "u"}, "expect": {"popup": null}}]}]"#;
    fs::write(setup.path("wrong.json"), text).unwrap();
    let exit = run(&setup.path(""), &["vectors", "wrong.json"]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert_eq!(exit.stdout.lines().last(), Some("0 passed, 1 failed"));
}

#[test]
fn wrong_usage_is_exit_code_2_and_the_version_is_0() {
    let setup = Setup::new(WELCOME);
    let folder = setup.path("");
    for usage in [&["--no-such-flag"][..], &["no-such-command"], &["vectors"]] {
        let exit = run(&folder, usage);
        assert_eq!(exit.code, Some(2), "{usage:?}: {exit:?}");
        assert!(exit.stderr.contains("Usage"), "{exit:?}");
    }
    let exit = run(&folder, &["--version"]);
    let version = concat!("nudged ", env!("CARGO_PKG_VERSION"), " (");
    assert!(exit.code == Some(0) && exit.stdout.starts_with(version), "{exit:?}");
    assert!(exit.stdout.contains("; io_uring, "), "what it was made of, and with: {exit:?}");
}

#[test]
fn every_error_of_a_configuration_is_said_with_its_line() {
    let setup = Setup::new(WELCOME);
    let wrong = "max_per_day = -1\nno_such_key = 1\ntz = \"Mars/Olympus\"\n\
                 [limits]\nhead_timeout = \"soon\"\n";
    setup.write_config(wrong);
    let serve = setup.start_fails(&[]);
    let check = run(&setup.path(""), &["check", "--config", "nudged.toml"]);
    for exit in [serve, check] {
        assert_eq!(exit.code, Some(2), "{exit:?}");
        let said = format!("{}{}", exit.stdout, exit.stderr);
        // The first line of the file is the harness's.
        for (line, key) in [(2, "max_per_day"), (3, "no_such_key"), (4, "tz"), (6, "head_timeout")]
        {
            let place = format!("nudged.toml:{line}");
            let named = said.lines().find(|text| text.contains(key));
            assert!(named.is_some_and(|text| text.contains(&place)), "{key}: {said}");
        }
    }
}

#[test]
fn every_error_of_the_popups_is_said_with_its_line() {
    let wrong = "[[popup]]\nid = \"Not An Id\"\n[[popup]]\nid = \"b\"\nafter_shown = \"soon\"\n";
    let setup = Setup::new(wrong);
    let serve = setup.start_fails(&[]);
    let check = run(&setup.path(""), &["check", "popups.toml"]);
    for exit in [serve, check] {
        assert_eq!(exit.code, Some(2), "{exit:?}");
        let said = format!("{}{}", exit.stdout, exit.stderr);
        for line in [2, 5] {
            assert!(said.contains(&format!("popups.toml:{line}")), "{said}");
        }
    }
}

#[test]
fn settings_come_from_flags_over_environment_over_file() {
    let setup = Setup::new(WELCOME);
    setup.write_config("shards = 1\nack = \"nonsense\"\n");
    let refused = setup.start_fails(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let output = nudged()
        .current_dir(setup.path(""))
        .env("NUDGED_ACK", "nonsense too")
        .args(["--config", "nudged.toml", "--shards", "0"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--shards") && said.contains("NUDGED_ACK"), "{said}");
}
