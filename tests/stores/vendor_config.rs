//! Property: the servers take the files of `vendor-config` as they are, and then run with what the
//! files say; the users there may do what nudged does, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::mariadb::{self, MariaDb};
use crate::support::redis::{Redis, least_user_rules};
use crate::support::vendor;

/// The settings of a file: name and value, without comments and sections.
fn settings(path: &str, separator: char) -> Vec<(String, String)> {
    let text = fs::read_to_string(vendor(path)).unwrap();
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    let pairs = lines.map(|line| {
        let (name, value) = line.split_once(separator).unwrap();
        (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())
    });
    pairs.collect()
}

/// Sizes with units as bytes, so that 1gb is 1073741824; anything else as it is.
fn plain(value: &str) -> String {
    let lower = value.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor: u64 = match &lower[digits.len()..] {
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return lower,
    };
    digits.parse::<u64>().map_or(lower.clone(), |number| (number * factor).to_string())
}

/// The parts of a Redis reply that are texts.
fn texts(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply).into_owned();
    let lines: Vec<&str> = text.split("\r\n").collect();
    let is_length = |line: &str| line.starts_with('$');
    let texts = lines.windows(2).filter(|pair| is_length(pair[0])).map(|pair| pair[1].to_owned());
    texts.collect()
}

#[test]
fn redis_runs_with_what_the_file_says() {
    let redis = Redis::start();
    for (name, value) in settings("redis/redis.conf", ' ') {
        let reply = texts(&redis.ask(&[b"CONFIG", b"GET", name.as_bytes()]));
        let [_, real] = &reply[..] else { panic!("Redis has no {name}: {reply:?}") };
        let wanted: Vec<String> = value.split(' ').map(plain).collect();
        let wanted = wanted.join(" ");
        match name.as_str() {
            // All three classes are shown, the one that is set among them.
            "client-output-buffer-limit" => assert!(real.contains(&wanted), "{name}: {real}"),
            _ => assert_eq!(real, &wanted, "{name}"),
        }
    }
}

#[test]
fn mariadb_runs_with_what_the_file_says() {
    let server = mariadb::shared();
    // What the tests' command line makes smaller.
    let smaller = ["innodb_buffer_pool_size", "innodb_log_file_size"];
    for (name, value) in settings("mysql/nudged.cnf", '=') {
        let (name, is_loose) = (name.trim_start_matches("loose-"), name.starts_with("loose-"));
        // Called tx_isolation before MySQL 8 and MariaDB 11.
        let shown = name.replace("transaction_isolation", "t%isolation");
        let shown = shown.replace("default_time_zone", "time_zone");
        let rows = server.run_sql(&format!("SHOW GLOBAL VARIABLES LIKE '{shown}'"));
        let row = rows.lines().next().and_then(|row| row.split_once('\t'));
        let Some((_, real)) = row else {
            assert!(is_loose, "no {name}");
            continue;
        };
        if !smaller.contains(&name) {
            let same = |text: &str| match plain(text).as_str() {
                "on" => "1".to_owned(),
                other => other.to_owned(),
            };
            assert_eq!(same(real), same(&value), "{name}");
        }
    }
}

#[test]
fn the_users_file_closes_the_door_and_names_nudged() {
    let file = vendor("redis/users.acl");
    let mut redis = Redis::start_with(&["--aclfile", file.to_str().unwrap()]);
    assert!(redis.ask(&[b"GET", b"nudged:x"]).starts_with(b"-NOAUTH"));
    // Redis replays the writes of a script as the user `default`, who needs the rights for it.
    let ask = |redis: &Redis, words: &[&str]| {
        let port = redis.address().port().to_string();
        let output = std::process::Command::new("redis-cli")
            .args(["-p", &port, "--user", "nudged", "--pass", "change-me", "--no-auth-warning"])
            .args(words)
            .output()
            .expect("redis-tools come with the server");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let script = "redis.call('SET', KEYS[1], 'a') redis.call('HSET', KEYS[2], 'c', 1) return 1";
    assert_eq!(ask(&redis, &["EVAL", script, "2", "nudged:x", "nudged:y"]), "1");
    redis.kill();
    redis.restart();
    assert_eq!(ask(&redis, &["GET", "nudged:x"]), "a", "a script's writes outlive a restart");
}

/// Each with whether nudged may: what it uses, and what would harm others or itself.
const ASKED: &[(&str, bool)] = &[
    ("GET nudged:{p1}:u:ann", true),
    ("GET other:key", false),
    ("HMGET nudged:{p1}:m e c s", true),
    ("EVAL script 1 nudged:{p1}:u:ann", true),
    ("EVAL script 1 other:key", false),
    ("PUBLISH nudged:changed:1 x", true),
    ("PUBLISH other x", false),
    ("SUBSCRIBE nudged:changed:1", true),
    ("CONFIG GET appendfsync", true),
    ("CONFIG SET appendfsync no", false),
    ("INFO server", true),
    ("FLUSHALL", false),
    ("FLUSHDB", false),
    ("KEYS *", false),
    ("SHUTDOWN", false),
    ("DEBUG SLEEP 1", false),
    ("ACL LIST", false),
    ("CLIENT KILL TYPE normal", false),
];

#[test]
fn the_least_redis_user_may_do_what_nudged_does() {
    let redis = Redis::start();
    redis.url_of_least_user();
    for (command, may) in ASKED {
        let mut words: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", b"nudged"];
        words.extend(command.split(' ').map(str::as_bytes));
        let reply = String::from_utf8(redis.ask(&words)).unwrap();
        assert_eq!(reply == "+OK\r\n", *may, "{command}: {reply}");
    }
    let rules = least_user_rules("x");
    assert!(rules.contains(&"-@all".to_owned()), "nothing but what is named: {rules:?}");
}

#[test]
fn the_least_mysql_user_changes_rows_and_nothing_else() {
    let server = MariaDb::start();
    server.run_sql("CREATE TABLE nudged.t (id INT PRIMARY KEY)");
    server.url_of_least_user("nudged");
    let grants = server.run_sql("SHOW GRANTS FOR 'nudged_least'@'%'");
    assert!(grants.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON `nudged`.*"), "{grants}");
    assert_eq!(grants.lines().count(), 2, "USAGE and the one above: {grants}");
    let migrator = server.run_sql("SHOW GRANTS FOR 'nudged_migrate'@'%'");
    assert!(migrator.contains("CREATE") && migrator.contains("ON `nudged`.*"), "{migrator}");
    assert_eq!(migrator.lines().count(), 2, "{migrator}");
}

#[test]
fn tests_share_a_server_with_databases_of_their_own() {
    let (one, other) = (mariadb::shared_database(), mariadb::shared_database());
    let server = mariadb::shared();
    server.run_sql(&format!("CREATE TABLE {one}.t (id INT)"));
    let count = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    assert_eq!(server.number(&one, count), 1);
    assert_eq!(server.number(&other, count), 0);
}

/// Every script below a folder.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => scripts(&path),
        false => vec![path],
    });
    found.filter(|path| path.extension().is_some_and(|kind| kind == "lua")).collect()
}

/// Every source below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// What a node tries before it is ready by other means, or says who it is with.
const BY_ITSELF: &[&str] =
    &["HELLO", "AUTH", "CLIENT", "SELECT", "CONFIG", "SCRIPT", "EVAL", "EVALSHA", "SUBSCRIBE"];

#[test]
fn every_command_that_nodes_send_is_tried_as_a_right() {
    let tried = nudged_background::keeper::rights::Trial::new(true).arguments();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut commands = Vec::new();
    for path in scripts(&source) {
        let text = fs::read_to_string(path).unwrap();
        let called = text.split("call('").skip(1).map(|rest| rest.split('\'').next().unwrap());
        commands.extend(called.map(str::to_owned));
    }
    for folder in ["redis", "runtime", "background/keeper", "admin", "node"] {
        for path in sources(&source.join(folder)) {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("mod tests {").next().unwrap();
            let sent = code.split("[b\"").skip(1).map(|rest| rest.split('"').next().unwrap());
            let is_command = |word: &&str| {
                word.len() > 2 && word.chars().all(|letter| letter.is_ascii_uppercase())
            };
            commands.extend(sent.filter(is_command).map(str::to_owned));
        }
    }
    assert!(commands.len() > 30, "{commands:?}");
    for command in commands {
        let is_known = tried.contains(&command) || BY_ITSELF.contains(&command.as_str());
        assert!(is_known, "{command} is sent and not tried");
    }
}

#[test]
fn every_key_and_channel_that_nodes_name_is_tried_as_a_right() {
    let tried = nudged_background::keeper::rights::Trial::new(true).arguments();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut families = std::collections::BTreeSet::new();
    for path in sources(&source) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("mod tests {").next().unwrap();
        for rest in code.split("\"nudged:").skip(1) {
            let name = rest.split('"').next().unwrap();
            // What the program says of itself begins so as well.
            if !name.starts_with(' ') && !path.ends_with("tests.rs") {
                families.insert(name.to_owned());
            }
        }
    }
    assert!(families.len() > 10, "{families:?}");
    for family in families {
        // Up to what is put in: one of the family stands for it.
        let fixed = family.split(['{', '*']).next().unwrap();
        let ending = family.rsplit_once('}').map_or("", |(_, ending)| ending).split('*').next();
        let stands = |key: &String| {
            let rest = key.strip_prefix("nudged:").and_then(|key| key.strip_prefix(fixed));
            rest.is_some_and(|rest| match family == fixed && !family.ends_with(':') {
                true => rest.is_empty(),
                false => rest.contains(ending.unwrap_or("")),
            })
        };
        assert!(tried.iter().any(stands), "nudged:{family} is used and not tried");
    }
}

#[test]
fn the_least_redis_user_may_call_what_the_scripts_call() {
    let rules = least_user_rules("x");
    let paths = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(!paths.is_empty(), "nudged has scripts");
    let mut calls = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("call('").skip(1) {
            let command = rest.split('\'').next().unwrap().to_ascii_lowercase();
            assert!(rules.contains(&format!("+{command}")), "{command} in {}", path.display());
            calls += 1;
        }
    }
    assert!(calls > 0, "the scripts call something");
}
