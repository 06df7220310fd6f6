//! Property: what an operator asks of the command line is answered whole. `check` names everything
//! that a start would refuse, and more; `explain` names what stands behind a gate; a change that
//! SQL refuses is answered with whose it is to mend.

use serde_json::Value;

use crate::harness::{Exit, Setup, WELCOME, nudged, run};
use crate::support::mariadb::MariaDb;

fn json_of(exit: &Exit) -> Value {
    serde_json::from_str(&exit.stdout).unwrap_or_else(|error| panic!("{error}: {exit:?}"))
}

#[test]
fn a_check_names_every_error_of_every_file_for_people_and_machines() {
    let setup = Setup::new("[[popup]]\nid = \"a\"\ncaps = 3\n[[popup]]\nid = \"B\"\n");
    std::fs::write(setup.path("more.toml"), "[[popup]]\nid = \"c\"\nnew = 1\n").unwrap();
    std::fs::write(setup.path("data"), "a file").unwrap();
    // The first line is the harness's.
    setup.write_config(
        "listen = [\"127.0.0.1:0\", \"nowhere\"]\ncpus = \"1000-1002\"\ndata = \"data\"\n\
         admin = \"0.0.0.0:0\"\nadmin_token_file = \"missing\"\npopups = \"popups.toml\"\n\
         [redis]\nurl = \"redis://:can#ary@h\"\n[mysql]\nurl = \"mysql://u:can/ary@h/d\"\n",
    );
    let folder = setup.path("");
    let people = run(&folder, &["check"]);
    let machines = run(&folder, &["--config", "nudged.toml", "check", "--json"]);
    assert_eq!((people.code, machines.code), (Some(2), Some(2)), "{people:?}");
    for exit in [&people, &machines] {
        assert!(!exit.stdout.contains("ary"), "no piece of a password: {exit:?}");
    }
    let want = [
        ("nudged.toml", 2, "listen[1]"),
        ("nudged.toml", 3, "cpus"),
        ("nudged.toml", 4, "data"),
        ("nudged.toml", 6, "admin_token_file"),
        ("nudged.toml", 9, "redis.url"),
        ("nudged.toml", 11, "mysql.url"),
        ("popups.toml", 3, "caps"),
        ("popups.toml", 5, "id"),
    ];
    let report = json_of(&machines);
    let problems = report["problems"].as_array().unwrap();
    for (file, line, key) in want {
        let is_it = |one: &&Value| one["file"] == file && one["line"] == line && one["key"] == key;
        let found = problems.iter().find(is_it);
        let found = found.unwrap_or_else(|| panic!("{file}:{line} {key}: {report:#}"));
        assert_eq!(found["severity"], "error", "{found}");
        assert!(found["code"].is_string() && found["message"].is_string(), "{found}");
        let place = format!("{file}:{line}: ");
        let is_said = |text: &str| text.starts_with(&place) && text.contains(key);
        assert!(people.stdout.lines().any(is_said), "{place}{key}: {people:?}");
    }
    let errors = u64::try_from(want.len()).unwrap();
    assert_eq!((&report["ok"], &report["errors"]), (&false.into(), &errors.into()), "{report:#}");
    let both = run(&folder, &["check", "popups.toml", "more.toml"]);
    for place in ["popups.toml:3: ", "popups.toml:5: ", "more.toml:3: "] {
        assert!(both.stdout.contains(place), "{place}: {both:?}");
    }
}

#[test]
fn a_check_beside_a_running_node_is_right_and_says_what_is_in_use() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    setup.write_config(&format!(
        "popups = \"popups.toml\"\nlisten = \"{}\"\nadmin = \"{}\"\n",
        server.data, server.admin
    ));
    let data = setup.data().to_str().unwrap();
    let before = run(&setup.path(""), &["--data", data, "check", "--json"]);
    let behind = run(&setup.path(""), &["check", "--json", "--data", data]);
    assert_eq!(before.stdout, behind.stdout);
    assert_eq!(before.code, Some(0), "{before:?}");
    let report = json_of(&before);
    let found = report["problems"].as_array().unwrap().iter();
    let found: Vec<_> = found.map(|one| (one["key"].as_str(), one["code"].as_str())).collect();
    let want =
        [("data", "data_in_use"), ("listen[0]", "address_in_use"), ("admin", "address_in_use")];
    assert_eq!(found, want.map(|(key, code)| (Some(key), Some(code))), "{report:#}");
    server.client().decide("ann").expect(200);
    server.stop();
}

#[test]
fn unknown_variables_are_warned_of_by_every_command() {
    let setup = Setup::new(WELCOME);
    let said = |arguments: &[&str]| {
        let output = nudged()
            .current_dir(setup.path(""))
            .env("NUDGED_LISTN", "x")
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), text.concat())
    };
    let config = ["--config", "nudged.toml"];
    let serves = [&["serve", "--popups", "missing.toml"][..], &["serve", "--shards", "0"]];
    for arguments in [&["check"][..], &["migrate"], serves[0], serves[1]] {
        let data = setup.data().to_str().unwrap();
        let shared = [&config[..], &["--data", data]].concat();
        let (_, text) = said(&[arguments, &shared[..]].concat());
        let is_warning = |line: &str| {
            line.contains("NUDGED_LISTN") && line.contains("NUDGED_LISTEN") && line.contains("warn")
        };
        assert!(text.lines().any(is_warning), "{arguments:?}: {text}");
    }
}

#[test]
fn help_of_each_command_has_an_example_and_wrong_flags_are_helped() {
    let setup = Setup::new(WELCOME);
    let folder = setup.path("");
    for command in ["serve", "check", "vectors", "explain", "export", "import", "migrate"] {
        let exit = run(&folder, &[command, "--help"]);
        assert_eq!(exit.code, Some(0), "{exit:?}");
        for part in ["Example", "--config", "--data", "NUDGED_DATA", "./nudged-data"] {
            assert!(exit.stdout.contains(part), "{command} has no {part}: {exit:?}");
        }
    }
    for (arguments, said) in [
        (&["--lisen", "127.0.0.1:0"][..], "--listen"),
        (&["--listen", "127.0.0.1:0", "check"], "after it"),
        (&["chekc"], "check"),
    ] {
        let exit = run(&folder, arguments);
        assert_eq!(exit.code, Some(2), "{exit:?}");
        assert!(exit.stderr.contains(said), "{exit:?}");
    }
}

#[test]
fn an_explanation_names_the_rule_the_show_and_the_zone() {
    let setup = Setup::new(
        "[[popup]]\nid = \"a\"\npriority = 2\n[popup.target]\nall = [{ attr = \"country\", op = \
         \"in\", value = [\"DE\", \"AT\"] }, { attr = \"age\", op = \"gte\", value = 18 }]\n\
         [[popup]]\nid = \"b\"\nafter_dismissed = \"7d\"\n",
    );
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    server.client().event(&token, "dismissed").expect(202);
    let admin = server.admin.to_string();
    let asked = ["explain", "--user", "ann", "--admin", &admin, "--attr", "country=FR"];
    let exit = run(&setup.path(""), &[&asked[..], &["--tz", "Asia/Kolkata"]].concat());
    assert_eq!(exit.code, Some(0), "{exit:?}");
    for part in [
        "target.all[0]: country in [\"DE\",\"AT\"], but it is \"FR\"",
        "target.all[1]: age gte 18, but it is absent",
        "dismissed at 20",
        "after_dismissed is 7d",
        "+05:30",
    ] {
        assert!(exit.stdout.contains(part), "{part}: {exit:?}");
    }
    let exit = run(&setup.path(""), &[&asked[..], &["--tz", "Mars/Base"]].concat());
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stderr.contains("Mars/Base") && exit.stdout.contains("+00:00"), "{exit:?}");
    // The public one stays as it is.
    let public = server.client().get("/v1/decide?user=ann&explain=1").expect(200).json();
    let want = serde_json::json!([{ "id": "a", "gate": "target" }, { "id": "b", "gate": "gap" }]);
    assert_eq!(public["candidates"], want);
    server.stop();
}

#[test]
fn a_change_that_mysql_refuses_is_answered_with_whose_it_is() {
    let mariadb = MariaDb::start_with(&["--max-allowed-packet=16384"]);
    let config = |url: &str| format!("[mysql]\nurl = \"{url}\"\n");
    // Made first, with the other user.
    let least = mariadb.url_of_least_user("nudged");
    let setup = Setup::new(WELCOME).config(&config(&mariadb.url_of_migrator("nudged")));
    let migrated = run(&setup.path(""), &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    setup.write_config(&config(&least));
    let mut server = setup.start();
    for part in ["sql_failed", "read_failed", "catalog_refused", "sql_away"] {
        server.allow(part);
    }
    let mut operator = server.operator();
    let mut put = |text: &str| {
        let body = format!("{{\"content\":{{\"title\":\"{text}\"}}}}");
        operator.ask("PUT", "/v1/popups/n", &body)
    };
    let large = put(&"x".repeat(20_000));
    assert_eq!((large.status, &large.json()["error"]["code"]), (413, &"too_large_for_sql".into()));
    let said = large.json()["errors"].to_string();
    assert!(said.contains("max_allowed_packet") && said.contains("16384"), "{said}");
    let bytes = said.split_ascii_whitespace().find_map(|word| word.parse::<u32>().ok());
    assert!(bytes.is_some_and(|bytes| bytes > 20_000), "{said}");
    assert_eq!(put("small").status, 201, "the connection is as good as before");
    // The user has no right to write beside `read_only`, and none that is taken from it.
    let revoke = "REVOKE INSERT, UPDATE ON nudged.* FROM 'nudged_least'@'%'";
    let grant = "GRANT INSERT, UPDATE ON nudged.* TO 'nudged_least'@'%'";
    let widen = "ALTER TABLE nudged.popup_history MODIFY definition MEDIUMTEXT NOT NULL";
    let narrow = "DELETE FROM nudged.popup_history; \
                  ALTER TABLE nudged.popup_history MODIFY definition VARCHAR(8) NOT NULL";
    let away = "RENAME TABLE nudged.popup_history TO nudged.away";
    let back = "RENAME TABLE nudged.away TO nudged.popup_history";
    for (number, (begin, end, status, code, said)) in [
        (
            "SET GLOBAL read_only = 1",
            "SET GLOBAL read_only = 0",
            503,
            "sql_read_only",
            "accepts no writes",
        ),
        (revoke, grant, 500, "sql_denied", "grants.sql"),
        (away, back, 500, "sql_schema", "nudged migrate"),
        (narrow, widen, 422, "refused_by_sql", "longer than its column"),
    ]
    .into_iter()
    .enumerate()
    {
        mariadb.run_sql(begin);
        mariadb.kill_connections();
        let refused = put(&format!("refused-{number}"));
        assert_eq!(refused.status, status, "{begin}: {refused:?}");
        assert_eq!(refused.json()["error"]["code"], code, "{begin}: {refused:?}");
        assert!(refused.body.contains(said), "{begin}: {refused:?}");
        assert!(!refused.body.contains("no connection"), "{begin}: {refused:?}");
        mariadb.run_sql(end);
        mariadb.kill_connections();
        let taken = put(&format!("taken-{number}"));
        assert_eq!(taken.status, 200, "{end}: {taken:?}");
    }
    server.stop();
}
