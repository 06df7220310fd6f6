//! A configuration is read whole or not at all, every error names its place and its range, and
//! no secret gets into a text.

use super::keys::{KEYS, position};
use super::tree::TreeValue;
use super::*;
use nudged_base::time::DurationMs;

/// The commented file of every default.
const DEFAULTS: &str = include_str!("../../vendor-config/nudged.toml");

fn file(text: &str) -> Option<File<'_>> {
    Some(File { name: "nudged.toml", text })
}

fn read(text: &str) -> Result<Config, Problems> {
    load(file(text), &[], &[]).map(|loaded| loaded.config)
}

fn flag(name: &'static str, key: &'static str, value: &str) -> Flag {
    Flag { name, key, value: TreeValue::Loose(value.into()) }
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let loaded = load(None, &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.origin("listen"), Some(&SettingSource::Default));
    assert_eq!(loaded.origin("no_such_key"), None);
}

#[test]
fn the_file_of_defaults_has_every_key_with_a_comment_and_its_default() {
    let loaded = load(file(DEFAULTS), &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    for key in KEYS {
        let origin = loaded.origin(key.name).unwrap();
        let SettingSource::File { line, .. } = origin else {
            panic!("{} is not in the file", key.name)
        };
        let above = usize::try_from(*line).unwrap() - 2;
        let comment = DEFAULTS.lines().nth(above).unwrap();
        assert!(comment.starts_with("# "), "{} has no comment above it", key.name);
        let says_reload = DEFAULTS.lines().take(above + 1).collect::<Vec<_>>();
        let own = says_reload.iter().rev().take_while(|line| line.starts_with('#'));
        let says_reload = own.into_iter().any(|line| line.contains("Reload."));
        assert_eq!(says_reload, key.when == super::keys::When::Reload, "{}", key.name);
    }
}

#[test]
fn names_of_variables_are_unique() {
    let mut names: Vec<String> = KEYS.iter().map(super::keys::Setting::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), KEYS.len());
    assert_eq!(KEYS[position("mysql.url").unwrap()].variable(), "NUDGED_MYSQL_URL");
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let text = "max_per_day = 1\nmax_per_session = 1\nquiet_time = '1s'\n";
    let environment = variables(&[
        ("NUDGED_MAX_PER_DAY", "2"),
        ("NUDGED_MAX_PER_SESSION", "2"),
        ("NUDGED_LOG_USERS", "ann, bob"),
        ("HOME", "/root"),
        ("NUDGED_CONFIG", "x.toml"),
        ("NUDGED_PORT", "tcp://10.0.0.1:80"),
    ]);
    let flags = [flag("--max", "max_per_day", "3")];
    let loaded = load(file(text), &environment, &flags).unwrap();
    assert_eq!(loaded.config.max_per_day, 3);
    assert_eq!(loaded.config.max_per_session, 2);
    assert_eq!(loaded.config.quiet_time, DurationMs(1_000));
    assert_eq!(loaded.config.log.users, ["ann", "bob"]);
    let unknown: Vec<_> = loaded.unknown_variables.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(unknown, ["NUDGED_PORT"]);
    assert_eq!(loaded.origin("max_per_day"), Some(&SettingSource::Flag("--max")));
    let variable = SettingSource::Environment("NUDGED_MAX_PER_SESSION".to_owned());
    assert_eq!(loaded.origin("max_per_session"), Some(&variable));
    let line = SettingSource::File { name: "nudged.toml".into(), line: 3, column: 1 };
    assert_eq!(loaded.origin("quiet_time"), Some(&line));
}

/// Text of a file, and what its error must say; an empty text where there is none.
const ONE_KEY: &[(&str, &str)] = &[
    ("listen = ['127.0.0.1:0', '127.0.0.1:0', '[::1]:80']", ""),
    ("listen = '127.0.0.1:80'", ""),
    ("listen = []", "nudged.toml:1: listen: expected 1 to 16 different addresses"),
    ("listen = ['127.0.0.1:1', '127.0.0.1:1']", "listen[1]: the same as `listen[0]`"),
    ("listen = ['0.0.0.0:1', '127.0.0.1:1']", "listen[1]: the same address as in `listen[0]`"),
    ("listen = ['[::]:1', '[::1]:1']", "listen[1]: the same address as in `listen[0]`"),
    ("listen = ['0.0.0.0:1', '[::1]:1', '0.0.0.0:0', '127.0.0.1:0']", ""),
    ("listen = ['localhost']", "listen[0]: expected an address such as"),
    ("listen = ['[::1]:1',\n'localhost:1']", ":2: listen[1]: expected an address such as"),
    ("listen = [80]", "listen[0]: expected an address such as"),
    ("listen = ['127.0.0.1:1 proxy_protocol']", "listen[0]: needs `proxy_protocol.networks`"),
    ("listen = '127.0.0.1:1  proxy_protocol'\nproxy_protocol.networks = ['10.0.0.0/8']", ""),
    (
        "listen = ['127.0.0.1:1', '127.0.0.1:1 proxy_protocol']",
        "listen[1]: the same as `listen[0]`",
    ),
    (
        "listen = '127.0.0.1:1 proxy_protocl'",
        "unknown word \"proxy_protocl\" after the address; did",
    ),
    ("listen = '127.0.0.1:1 proxy-protocol'", "did you mean `proxy_protocol`?"),
    (
        "listen = '127.0.0.1:1 compressed'",
        "unknown word \"compressed\" after the address; there are",
    ),
    ("listen = '127.0.0.1:1 proxy_protocol proxy_protocol'", "`proxy_protocol` is there twice"),
    ("listen = 'proxy_protocol 127.0.0.1:1'", "listen[0]: expected an address such as"),
    ("admin = '127.0.0.1:1 proxy_protocol'", "admin: `proxy_protocol` is for data listeners only"),
    ("listen = '127.0.0.1:1 tls'", "listen[0]: needs `tls.certificate`"),
    ("listen = '127.0.0.1:1 tls'\ntls.certificate = 'c'", "listen[0]: needs `tls.key`"),
    ("listen = '127.0.0.1:1 tls'\ntls.certificate = 'c'\ntls.key = 'k'", ""),
    ("admin = '127.0.0.1:1 tls'", "admin: needs `tls.certificate`"),
    ("admin = '127.0.0.1:1 tls'\ntls.certificate = 'c'\ntls.key = 'k'", ""),
    ("admin = '127.0.0.1:8080 tls'\ntls = {certificate = 'c', key = 'k'}", "same address as in"),
    ("admin = 'unix:/a tls'", "admin: a unix socket stays on this host"),
    ("tls.key = 'k'", "tls.key: needs `tls.certificate`"),
    ("tls.certificate = 'c'", "tls.certificate: needs `tls.key`"),
    ("tls.min_version = '1.1'", "tls.min_version: expected one of \"1.2\", \"1.3\""),
    ("listen = '127.0.0.1:1 ssl'", "did you mean `tls`?"),
    ("listen = '127.0.0.1:1 tsl'", "did you mean `tls`?"),
    ("admin = '127.0.0.1:1 proxy'", "admin: unknown word \"proxy\" after the address"),
    ("proxy_protocol.networks = ['10.0.0.5/8']", "not its first: write \"10.0.0.0/8\""),
    ("proxy_protocol.networks = ['10.0.0.0/33']", "networks[0]: expected a network such as"),
    ("proxy_protocol.networks = '10.0.0.0/8'", "networks: expected a list of up to 256 networks"),
    ("proxy_protocol.networks = ['::1', '::1/128']", "networks[1]: the same as"),
    ("admin = 'unix:/run/nudged.sock'", ""),
    ("admin = 'unix:run'", "admin: expected an address such as"),
    (
        "admin = '0.0.0.0:1'",
        "admin: other hosts can reach this address, so `admin_token_file` must",
    ),
    ("admin = '0.0.0.0:1'\nadmin_token_file = 't'", ""),
    ("admin = '127.0.0.1:8080'", "admin: the same address as in `listen`"),
    ("listen = ['127.0.0.1:1', '0.0.0.0:8081']", "admin: the same address as in `listen[1]`"),
    ("data = ''", "data: expected a path"),
    ("popups = 'p.toml'", ""),
    ("shards = 1", ""),
    ("shards = 256\nslice_bytes = '256MiB'", ""),
    ("shards = 0", "shards: expected \"auto\" or a whole number from 1 to 256; got 0"),
    ("shards = 257", "got 257"),
    ("shards = '4'", "got \"4\""),
    ("shards = 2\nslice_bytes = '1MiB'", ":2: slice_bytes: 2 shards need at least 2MiB"),
    ("cpus = '2-5,8'", ""),
    ("cpus = 3", ""),
    ("cpus = '5-2'", "cpus: expected \"auto\" or different CPUs from 0 to 1023"),
    ("cpus = '2,2'", "cpus: expected"),
    ("cpus = '1024'", "cpus: expected"),
    ("cpus = ''", "cpus: expected"),
    ("cpus = '+1'", "cpus: expected"),
    ("writer_cpu = 1024", "writer_cpu: expected \"auto\" or a whole number from 0 to 1023"),
    ("pin = 1", "pin: expected true or false; got 1"),
    ("napi_busy_poll_us = 100001", "napi_busy_poll_us: expected a whole number from 0 to 100000"),
    ("incoming_cpu = 1", "incoming_cpu: expected"),
    ("busy_poll_us = 100001", "busy_poll_us: expected a whole number from 0 to 100000"),
    ("ack = 'sync'", "ack: expected one of \"written\", \"synced\"; got \"sync\""),
    ("queue = 'redis'", "queue: needs `redis.url` to be set too"),
    ("tz = 'Europe/Berlin'", ""),
    ("tz = 'Mars'", "tz: expected a zone of the tz database"),
    ("quiet_time = 5", "quiet_time: expected a duration from 0s to 36600d"),
    ("max_per_day = -1", "max_per_day: expected a whole number from 0 to 1000000; got -1"),
    ("max_per_session = 1.5", "got a fraction"),
    ("lame_duck = '31s'", "lame_duck: must not be longer than `drain_timeout`"),
    ("drain_timeout = '500ms'", "drain_timeout: expected a duration from 1s to 1h"),
    ("slice_bytes = 1048576", ""),
    ("slice_bytes = '1048575B'", "slice_bytes: expected a size from 1MiB to 16TiB"),
    ("slice_bytes = '99999999999999999999GiB'", "slice_bytes: expected a size"),
    ("slice_bytes = '1GB'", "slice_bytes: expected a size"),
    ("connections_max = 50000", ""),
    ("connections_max = 0", "connections_max: expected"),
    ("journal.bytes_max = '383MiB'", "journal.bytes_max: expected a size from 384MiB to 16TiB"),
    ("journal.retention = 'never'", "journal.retention: expected a duration"),
    ("limits.read_deadline = '0s'", "limits.read_deadline: expected a duration from 1ms to 1m"),
    ("cors.origins = ['*']", ""),
    ("cors.origins = ['https://a.example', 'http://[::1]:8080']", ""),
    ("cors.origins = ['*', 'https://a.example']", "cors.origins[0]: `*` allows every origin"),
    ("cors.origins = ['https://a:443']", "browsers send it: write \"https://a\"; got \"https://a:"),
    ("cors.origins = ['https://a:99999']", "a port of 1 to 65535 if any"),
    ("cors.origins = ['https://a', 'https://a']", "cors.origins[1]: the same as `cors.origins[0]`"),
    ("cors.origins = ['https://a.example/']", "cors.origins[0]: expected an origin"),
    ("cors.origins = ['https://a.example', 'https://A.example']", "cors.origins[1]: expected"),
    ("cors.origins = 'https://a.example'", "cors.origins: expected a list"),
    ("cors.max_age = '25h'", "cors.max_age: expected a duration from 0s to 1d"),
    ("log.level = 'trace'", "log.level: expected one of \"error\", \"warn\", \"info\", \"debug\""),
    ("log.users = ['ann', '']", "log.users[1]: expected a user id of 1 to 128 bytes"),
    ("log.users = 'ann'", "log.users: expected a list of up to 1000 user ids"),
    ("log.format = 'xml'", "log.format: expected one of \"auto\", \"json\", \"text\""),
    ("retention.users = 'never'", ""),
    ("retention.users = '7d'", "retention.users: expected \"never\", or a duration of at least"),
    ("retention.events = 'never'", ""),
    ("retention.events = '8d'", ""),
    (
        "retention.events = '191h'",
        "retention.events: expected \"never\", or a duration of at least 8d",
    ),
    (
        "retention.events = 400",
        "retention.events: expected \"never\", or a duration of at least 8d",
    ),
    ("redis.url = 'http://h'", "redis.url: expected a URL that starts with \"redis://\""),
    ("redis.url = 'redis://'", "redis.url: it names no host"),
    ("redis.url = 'redis://h1,h2'", "redis.url: it names several hosts"),
    ("redis.url = 'redis://:a#b@h'", "redis.url: it contains a `#`"),
    ("mysql.url = 'mysql://u:a?b@h/d'", "mysql.url: its user or password contains a `?`"),
    ("mysql.url = 'mysql://u:p@h1,h2:3307/d'", ""),
    ("mysql.url = 'mysql://u:p@h1,h2:0/d'", "mysql.url: its port is not a number"),
    ("redis.breaker_open = '2s'", "redis.breaker_open: must not be longer than"),
    ("redis.url = 'redis://h'", "redis.url: needs `mysql.url` to be set too"),
    ("mysql.url = 'mysql://u:p@h/d'", ""),
    ("mysql.replica = 'mysql://u:p@h/d'", "mysql.replica: needs `mysql.url` to be set too"),
    ("mysql.batch = 0", "mysql.batch: expected a whole number from 1 to 100000"),
    ("mysql = 'x'", "mysql: expected a section; got \"x\""),
    ("max_per_dya = 3", "nudged.toml:1: max_per_dya: unknown key; did you mean `max_per_day`?"),
    ("level = 'info'", "level: unknown key; did you mean `log.level`?"),
    ("[log]\nlisten = []", "nudged.toml:2: log.listen: unknown key; did you mean `listen`?"),
    ("zebra_crossing = 1", "zebra_crossing: unknown key"),
    ("[zebra]\nlevel = 1", "nudged.toml:1: zebra: unknown key"),
    ("\n\nlisten = [", "nudged.toml:3: "),
    ("pin = true\npin = true", "nudged.toml:2: duplicate key"),
];

#[test]
fn each_value_is_taken_or_refused_with_its_place_and_range() {
    for (text, want) in ONE_KEY {
        match read(text) {
            Ok(_) => assert_eq!(*want, "", "{text} was taken"),
            Err(problems) => {
                let said = problems.to_string();
                assert!(!want.is_empty() && said.contains(want), "{text} gave: {said}");
            }
        }
    }
}

#[test]
fn all_errors_are_named_at_once() {
    let text = "shards = 0\nmax_per_day = 'many'\n[log]\nlevel = 1\n[mysql]\nbatches = 1\n";
    let environment = variables(&[("NUDGED_PIN", "maybe")]);
    let flags = [flag("--cpus", "cpus", "x")];
    let problems = load(file(text), &environment, &flags).unwrap_err();
    let said: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    let starts = [
        "nudged.toml:1: shards: ",
        "nudged.toml:2: max_per_day: ",
        "nudged.toml:4: log.level: ",
        "nudged.toml:6: mysql.batches: unknown key; did you mean `mysql.batch`?",
        "environment variable NUDGED_PIN: pin: ",
        "--cpus: cpus: ",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (said, start) in said.iter().zip(starts) {
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn redis_needs_mysql_and_is_one_server_without_tls() {
    let said = read("[redis]\nurl = 'redis://h'\n").unwrap_err().to_string();
    assert!(said.contains("nudged.toml:2: redis.url: needs `mysql.url`"), "{said}");
    let read_with = |url: &str| read(&format!("redis.url = '{url}'\nmysql.url = 'mysql://h/d'"));
    for url in ["rediss://h", "redis+cluster://h1,h2", "redis+sentinel://h1,h2/service"] {
        let said = read_with(url).unwrap_err().to_string();
        assert!(said.contains("does not support ") && said.contains(" yet"), "{said}");
    }
    for url in ["redis://h", "redis://user:p@h:1/2", "redis+unix:///run/redis.sock"] {
        assert_eq!(read_with(url).unwrap().redis.url.unwrap().expose(), url);
    }
}

#[test]
fn every_element_that_is_wrong_is_named_with_its_own_line_and_column() {
    let text = "listen = [\n  'a',\n  '127.0.0.1:1',\n  'b', '127.0.0.1:1',\n]\n";
    let problems = load(file(text), &[], &[]).unwrap_err().0;
    let places: Vec<_> = problems
        .iter()
        .map(|problem| match &problem.origin {
            SettingSource::File { line, column, .. } => (problem.key.as_str(), *line, *column),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [("listen[0]", 2, 3), ("listen[2]", 4, 3)]);
    let environment = variables(&[("NUDGED_LISTEN", "127.0.0.1:1, x")]);
    let said = load(None, &environment, &[]).unwrap_err().to_string();
    assert!(
        said.contains("NUDGED_LISTEN: listen[1]: expected") && said.contains("\"x\""),
        "{said}"
    );
    let keys = format!("keys.server = ['{CANARY}', 'short', '{CANARY}']");
    let said = read(&keys).unwrap_err().to_string();
    assert!(said.contains("keys.server[1]: expected 16 to") && !said.contains("short"), "{said}");
}

#[test]
fn what_could_be_read_is_there_beside_what_is_wrong() {
    let text = "shards = 0\nmax_per_day = 3\nredis.url = 'rediss://h'\nmysql.url = 'x'\n\
                queue = 'other'\nredis.breaker_open = '2s'\n";
    let examined = examine(file(text), &[], &[]);
    assert_eq!(examined.loaded.config.max_per_day, 3);
    assert_eq!(examined.loaded.config.shards, Count::Auto);
    assert!(examined.are_right(&["max_per_day", "listen"]) && !examined.are_right(&["shards"]));
    let keys: Vec<_> = examined.problems.iter().map(|one| (one.key.as_str(), one.code())).collect();
    let want = [
        ("shards", "bad_value"),
        ("mysql.url", "bad_value"),
        ("queue", "bad_value"),
        ("redis.url", "not_supported"),
        ("redis.breaker_open", "does_not_fit"),
    ];
    assert_eq!(keys, want);
}

#[test]
fn an_unknown_variable_is_told_with_the_nearest_name() {
    for (unknown, nearest) in [
        ("NUDGED_LISTN", "NUDGED_LISTEN"),
        ("NUDGED_LEVEL", "NUDGED_LOG_LEVEL"),
        ("NUDGED_MYSQL", "NUDGED_MYSQL_URL"),
        ("NUDGED_CONFG", "NUDGED_CONFIG"),
        ("NUDGED_REDIS_DEADLNE", "NUDGED_REDIS_DEADLINE"),
    ] {
        let loaded = load(None, &variables(&[(unknown, "x")]), &[]).unwrap();
        assert_eq!(loaded.unknown_variables[0].nearest, nearest, "{unknown}");
    }
    let long = format!("NUDGED_{}", "é".repeat(10_000));
    assert_eq!(load(None, &variables(&[(&long, "x")]), &[]).unwrap().unknown_variables.len(), 1);
}

#[test]
fn the_environment_reads_each_kind_from_text() {
    let environment = variables(&[
        ("NUDGED_LISTEN", "127.0.0.1:1,127.0.0.1:2"),
        ("NUDGED_SHARDS", "2"),
        ("NUDGED_PIN", "false"),
        ("NUDGED_SLICE_BYTES", "2MiB"),
        ("NUDGED_CORS_ORIGINS", ""),
        ("NUDGED_POPUPS", ""),
        ("NUDGED_WRITER_CPU", "1"),
        ("NUDGED_JOURNAL_RETENTION", "1h"),
    ]);
    let config = load(None, &environment, &[]).unwrap().config;
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.shards, Count::Exactly(2));
    assert!(!config.pin);
    assert_eq!(config.slice_bytes_per_shard(2), 1 << 20);
    assert_eq!(config.unsent_bytes_per_shard(2), 32 << 20);
    assert_eq!(config.unsent_bytes_per_shard(64), 2 << 20, "not its share, which would be less");
    assert_eq!(config.cors.origins, Vec::<String>::new());
    assert_eq!(config.popups, None);
    assert_eq!(config.writer_cpu, Some(1));
    assert_eq!(config.journal.retention, DurationMs(3_600_000));
}

const CANARY: &str = "canary-0123456789";

// Users are proven to those who are not trusted: somebody has to be, and no page knows the secret.
#[test]
fn secrets_of_users_need_keys_and_are_none_of_a_page() {
    let (secret, other) = ("identity = ['0123456789abcdef']", "['fedcba9876543210']");
    let cases = [
        (secret.to_owned(), Some("keys.identity: needs `keys.public` or `keys.server`")),
        (format!("public = {other}\n{secret}"), None),
        (format!("server = {other}\n{secret}"), None),
        (format!("server = {other}\nidentity = []"), None),
        (
            format!("public = ['0123456789abcdef']\n{secret}"),
            Some("keys.identity: one of its keys is also in `keys.public`"),
        ),
        (
            format!("public = {other}\nidentity = ['a']"),
            Some("keys.identity[0]: expected 16 to 256"),
        ),
    ];
    for (keys, want) in cases {
        let read = read(&format!("[keys]\n{keys}"));
        match want {
            None => assert!(read.is_ok(), "{keys}: {read:?}"),
            Some(want) => {
                let said = read.unwrap_err().to_string();
                assert!(said.contains(want), "{keys}: {said}");
            }
        }
    }
    let nine: Vec<String> = (0..9).map(|n| format!("'0123456789abcde{n}'")).collect();
    let text = format!("keys.public = {other}\nkeys.identity = [{}]", nine.join(","));
    let said = read(&text).unwrap_err().to_string();
    assert!(said.contains("a list of up to 8 different secrets"), "{said}");
    let config = read("preview.users = ['qa', 'anna@example.org']").unwrap();
    assert_eq!(config.preview.users, ["qa", "anna@example.org"]);
    assert!(read("preview.users = ['']").is_err());
}

#[test]
fn no_secret_is_shown() {
    let good = format!("keys.server = ['{CANARY}']\nkeys.public = ['other-0123456789']");
    let config = read(&good).unwrap();
    assert_eq!(config.keys.server[0].expose(), CANARY);
    assert!(!format!("{config:?}").contains(CANARY));
    let bad = [
        format!("keys.server = ['{CANARY}', 'short']"),
        format!("keys.server = ['{CANARY}', '{CANARY}']"),
        format!("keys.server = '{CANARY}'"),
        format!("keys.server = ['{CANARY}]"),
        format!("keys.server = ['{CANARY}']\nkeys.public = ['{CANARY}']"),
        format!("keys.server = ['{CANARY} {CANARY}']"),
        format!("keys.identity = ['{CANARY}']"),
        format!("keys.public = ['{CANARY}']\nkeys.identity = ['{CANARY}']"),
        format!("keys.public = ['other-0123456789']\nkeys.identity = ['{CANARY}', 'short']"),
        format!("mysql.url = 'mysql://root:{CANARY}@h/d'\nmysql.batch = 0"),
        format!("mysql.url = 'mysqi://root:{CANARY}@h/d'"),
        format!("redis.url = 'redis://:{CANARY}@h,\n"),
    ];
    for text in bad {
        let problems = read(&text).unwrap_err();
        assert!(!problems.to_string().contains(CANARY), "{problems}");
        assert!(!format!("{problems:?}").contains(CANARY), "{problems:?}");
    }
}

#[test]
fn control_characters_of_a_file_are_escaped_in_errors() {
    let said = read("\"a\\nb\" = 1\nack = \"x\\u001b[31m\"").unwrap_err().to_string();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_reload_takes_what_it_may_and_names_the_rest() {
    let running = Config::default();
    let text = "max_per_day = 2\ntz = 'Asia/Tokyo'\nshards = 3\npopups = 'p.toml'\n\
                [log]\nlevel = 'debug'\n[cors]\norigins = ['*']\n[journal]\nretention = '1h'\n\
                [retention]\nevents = '30d'\n";
    let difference = reloadable_difference(&running, &read(text).unwrap());
    let applied = ["popups", "tz", "max_per_day", "cors.origins", "log.level", "retention.events"];
    assert_eq!(difference.applied, applied);
    assert_eq!(difference.waiting, ["shards", "journal.retention"]);
    assert_eq!(difference.config.max_per_day, 2);
    assert_eq!(difference.config.shards, Count::Auto);
    let again = reloadable_difference(&difference.config, &difference.config);
    assert!(again.applied.is_empty() && again.waiting.is_empty());
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_what_is_taken_stays_in_range(text in "\\PC{0,40}", key in 0..KEYS.len()) {
        let name = KEYS[key].name;
        let mut written = String::new();
        written.extend([name, " = ", text.as_str()]);
        let _ = read(&text);
        if let Ok(config) = read(&written) {
            proptest::prop_assert!(config.lame_duck <= config.drain_timeout);
            proptest::prop_assert!(!config.listen.is_empty());
        }
        let variable = variables(&[(KEYS[key].variable().as_str(), text.as_str())]);
        let _ = load(None, &variable, &[]);
    }
}
