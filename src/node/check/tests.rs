//! Property: a check says all that is wrong with a file, and its exit code says whether.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::node::arguments;
use nudged_config::tree::TreeValue;
use nudged_config::{Flag, examine};
use nudged_redis::link::LinkSettings;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_store::mysql;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-config/popups.toml")
}

/// Checks files of popups, each as a catalog of its own, with the default settings.
fn check(popups: &[PathBuf]) -> CheckReport {
    let mut report = CheckReport::default();
    for path in popups {
        add_popups_file(path, &Settings::default(), clocks::wall(), &mut report);
    }
    report
}

#[test]
fn the_sample_is_right_and_shows_its_first_popup_to_anybody() {
    let report = check(&[sample()]);
    assert_eq!((report.findings().count(), report.exit_code()), (0, 0));
    let definitions = popups_file::examine(&sample()).unwrap().definitions;
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
        nudged_domain::catalog::source::FIELDS.iter().filter(|field| !mentioned(field)).collect();
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
    let report = check(&[bad.clone(), warned.clone(), missing.clone()]);
    assert_eq!(report.exit_code(), 2);
    let text = report.text();
    let lines: Vec<_> = text.lines().collect();
    let (bad, warned) = (bad.display(), warned.display());
    assert!(lines[1].starts_with(&format!("{bad}:4: popup \"x\": new: unknown key")), "{lines:?}");
    assert_eq!(
        lines[0],
        format!("{bad}:3: popup \"x\": caps[0].n: 17 is out of range: expected 1 to 16")
    );
    let warning = "warning: popup \"y\": rollout: too small to include any user";
    assert_eq!(lines[2], format!("{warned}: {warning}"));
    assert_eq!(lines[3], format!("{warned}: ok"));
    assert!(lines[4].starts_with(&format!("{}: ", missing.display())), "{lines:?}");
    assert_eq!(lines.len(), 5);
}

#[test]
fn popups_beside_wrong_ones_are_warned_of_and_so_are_those_that_have_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("popups.json");
    let popups = r#"[
        {"id":"wrong","max_shows":-1,"rollout":0},
        {"id":"unseen","rollout":0,"priority":9},
        {"id":"twice"},
        {"id":"twice","rollout":0},
        {"id":"over","ends_at":"2026-01-01T00:00:00Z"}]"#;
    fs::write(&path, popups).unwrap();
    let mut report = CheckReport::default();
    // 2026-01-01T00:00:00Z
    add_popups_file(&path, &Settings::default(), WallMs(1_767_225_600_000), &mut report);
    let file = path.display();
    let text = report.text();
    let lines: Vec<_> = text.lines().collect();
    let starts = [
        format!("{file}:2: popup \"wrong\": max_shows: "),
        format!("{file}:5: popup \"twice\": id: is already used"),
        format!("{file}: warning: popup \"unseen\": rollout: "),
        format!("{file}: warning: popup \"over\": ends_at: is in the past"),
    ];
    assert_eq!(lines.len(), starts.len(), "{text}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(report.exit_code(), 2);
}

/// A configuration in a folder of its own, checked with flags that no other test shares.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What is found of a text, with free ports and a data directory of its own but where it says
    /// otherwise.
    fn check(&self, text: &str) -> CheckReport {
        let mut whole = String::new();
        for (key, value) in [
            ("listen", "[\"127.0.0.1:0\"]".to_owned()),
            ("admin", "\"127.0.0.1:0\"".to_owned()),
            ("data", format!("{:?}", self.path("data"))),
        ] {
            if !text.lines().any(|line| line.starts_with(&format!("{key} ="))) {
                whole.push_str(&format!("{key} = {value}\n"));
            }
        }
        whole.push_str(text);
        let config = Some(self.write("nudged.toml", &whole, 0o600));
        let shared = SharedArguments { config, ..SharedArguments::default() };
        run(&shared, &CheckArguments::default())
    }
}

/// Key and code of each thing found.
fn found(report: &CheckReport) -> Vec<(String, &'static str)> {
    report.findings().map(|finding| (finding.key.clone(), finding.code)).collect()
}

#[test]
fn the_ways_to_the_stores_are_checked_and_their_passwords_not_said() {
    let bench = Bench::new();
    let mysql = "mysql://u:canary@h1,h2/d";
    for (redis, mysql, want) in [
        ("redis://:canary@h:6379", mysql, vec![]),
        ("redis://:canary@h:0", mysql, vec![("redis.url", "bad_url")]),
        ("redis://:canary@h1,h2", mysql, vec![("redis.url", "bad_url")]),
        ("rediss://:canary@h", mysql, vec![("redis.url", "not_supported")]),
        ("redis://:can#canary@h", "", vec![("redis.url", "bad_url")]),
        ("redis://:canary@h", "", vec![("redis.url", "needs_another_key")]),
        ("", "mysql://u:canary@h/d?canary=1", vec![("mysql.url", "bad_url")]),
        ("", "mysql://u:can/ary@h/d", vec![("mysql.url", "bad_url")]),
        (
            "redis+sentinel://:canary@h1,h2/s",
            "mysql://u:can?ary@h/d",
            vec![("mysql.url", "bad_url"), ("redis.url", "not_supported")],
        ),
    ] {
        let text = format!("[redis]\nurl = \"{redis}\"\n[mysql]\nurl = \"{mysql}\"\n");
        let report = bench.check(&text);
        let mut got = found(&report);
        got.sort();
        let want: Vec<_> = want.into_iter().map(|(key, code)| (key.to_owned(), code)).collect();
        assert_eq!(got, want, "{}", report.text());
        for text in [report.text(), report.json()] {
            assert!(!text.contains("canary") && !text.contains("can/"), "{text}");
        }
    }
}

// The table of keys reads a URL before its user does: what one takes the other takes, so that a
// node never starts, nor fails to, on what the check has said otherwise of.
#[test]
fn the_table_of_keys_and_the_readers_of_urls_agree() {
    let pieces = [
        "",
        "u",
        "u:p",
        ":p",
        "u:p%40",
        "u:p%zz",
        "h",
        "h1,h2",
        "[::1]",
        "::1",
        "@",
        "/",
        "/0",
        "/d",
        "/d/x",
        ":6379",
        ":0",
        ":x",
        "?db=1",
        "?require_ssl=true",
        "#",
        ",",
        "%20",
    ];
    let read = |key: &'static str, url: &str| {
        let flag = |key, url: &str| Flag { name: "--x", key, value: TreeValue::Loose(url.into()) };
        // Redis alone is refused whatever its URL is.
        let flags = [flag("mysql.url", "mysql://h/d"), flag(key, url)];
        examine(None, &[], &flags).are_right(&[key])
    };
    let (mut taken, mut differ) = (0, Vec::new());
    for one in pieces {
        for two in pieces {
            for three in pieces {
                let rest = format!("{one}{two}{three}");
                for scheme in ["redis", "redis+unix"] {
                    let url = format!("{scheme}://{rest}");
                    let is_taken = LinkSettings::of_url(&url).is_ok();
                    // A list is a name that no resolver knows, for the reader.
                    let is_list = url.contains(',');
                    if !is_list && read("redis.url", &url) != is_taken {
                        differ.push(url);
                    }
                    taken += u32::from(is_taken);
                }
                let url = format!("mysql://{rest}");
                let is_right = read("mysql.url", &url);
                // Options are the library's to know.
                let has_option = url.contains("?db");
                if is_right && !has_option && mysql::check_url(&url).is_err() {
                    differ.push(url);
                }
                taken += u32::from(is_right);
            }
        }
    }
    assert!(differ.is_empty(), "{differ:?}");
    assert!(taken > 100, "{taken} of them are URLs");
}

#[test]
fn what_this_host_says_of_a_configuration_is_said_all_at_once() {
    let bench = Bench::new();
    let token = bench.write("token", "0123456789abcdef", 0o644);
    let file = bench.write("file", "x", 0o600);
    let text = format!(
        "cpus = \"1000-1001\"\nwriter_cpu = 1002\nmax_per_day = -1\nadmin = \"192.0.2.1:0\"\n\
         admin_token_file = {token:?}\ndata = {file:?}\npopups = {:?}\nlisten = \
         [\"127.0.0.1:0\", \"192.0.2.1:9\"]\n[keys]\nserver = [\"0123456789abcdef\"]\n",
        bench.path("missing.toml")
    );
    let report = bench.check(&text);
    let mut got = found(&report);
    got.sort();
    let want = [
        ("", "unreadable"),
        ("admin_token_file", "token_file"),
        ("cpus", "cpu_not_allowed"),
        ("data", "not_a_directory"),
        ("listen[1]", "address_unusable"),
        ("max_per_day", "bad_value"),
        ("writer_cpu", "cpu_not_allowed"),
    ];
    assert_eq!(got, want.map(|(key, code)| (key.to_owned(), code)), "{}", report.text());
    assert_eq!(report.exit_code(), 2);
    assert!(!report.text().contains("configuration: ok"), "{}", report.text());
    let line = report.findings().find(|finding| finding.key == "listen[1]").unwrap();
    assert_eq!(line.line, Some(8), "{line:?}");
}

#[test]
fn limits_that_do_not_fit_are_named_with_what_would() {
    let bench = Bench::new();
    let report = bench.check("shards = 1\nconnections_max = 4000000\n");
    assert_eq!(found(&report), [("connections_max".to_owned(), "does_not_fit")]);
    assert!(report.text().contains("RLIMIT_NOFILE"), "{}", report.text());
    let slices = bench.check("shards = 4\nslice_bytes = \"3MiB\"\nlame_duck = \"1h\"\n");
    let mut got = found(&slices);
    got.sort();
    let want = [("lame_duck", "does_not_fit"), ("slice_bytes", "does_not_fit")];
    assert_eq!(got, want.map(|(key, code)| (key.to_owned(), code)), "{}", slices.text());
    let synced = bench.check(
        "ack = \"synced\"\nqueue = \"redis\"\n[redis]\nurl = \"redis://h\"\n[mysql]\n\
         url = \"mysql://h/d\"\n",
    );
    assert_eq!(
        (synced.exit_code(), found(&synced)),
        (0, vec![("ack".to_owned(), "needs_redis_synced")])
    );
}

#[test]
fn token_files_are_looked_at_where_they_are_asked_for() {
    let bench = Bench::new();
    let check = |admin: &str, path: &Path| {
        bench.check(&format!("admin = {admin:?}\nadmin_token_file = {path:?}\n"))
    };
    let good = bench.write("good", "0123456789abcdef\n", 0o600);
    let table = [
        (bench.path("missing"), "No such file"),
        (bench.write("empty", "", 0o600), "not a token"),
        (bench.write("open", "0123456789abcdef", 0o640), "chmod 600"),
    ];
    for (path, said) in table {
        let report = check("0.0.0.0:0", &path);
        assert_eq!(report.exit_code(), 2, "{}", report.text());
        assert!(report.text().contains(said), "{}", report.text());
        let local = check("127.0.0.1:0", &path);
        assert_eq!((local.exit_code(), local.count(Severity::Warning)), (0, 1));
    }
    assert_eq!(check("0.0.0.0:0", &good).exit_code(), 0);
}

#[test]
fn data_directories_are_looked_at_and_left_as_they_are() {
    let bench = Bench::new();
    let data = bench.path("data");
    assert_eq!(found(&bench.check("")), []);
    assert!(!data.exists(), "a check makes nothing");
    let file = bench.write("file", "", 0o600);
    let below = bench.check(&format!("data = {:?}\n", file.join("data")));
    assert_eq!(below.exit_code(), 2, "{}", below.text());

    let lock = JournalDirectory::open(&data.join("journal")).unwrap();
    let held = bench.check("");
    assert_eq!((held.exit_code(), found(&held)), (0, vec![("data".to_owned(), "data_in_use")]));
    assert!(held.text().contains(&format!("process {}", std::process::id())), "{}", held.text());
    drop(lock);
    assert_eq!(found(&bench.check("")), []);

    let database = data.join("nudged.db");
    fs::write(&database, "no database").unwrap();
    assert_eq!(found(&bench.check("")), [("data".to_owned(), "not_a_database")]);
    fs::write(&database, b"SQLite format 3\0").unwrap();
    assert_eq!(found(&bench.check("")), []);
    let shared = bench.check("mysql.url = \"mysql://u@h/d\"\n");
    assert_eq!(found(&shared), [("data".to_owned(), "other_store")]);
    assert!(shared.text().contains("nudged migrate"), "{}", shared.text());
    fs::write(data.join("store"), "moved to x\n").unwrap();
    assert_eq!(found(&bench.check("mysql.url = \"mysql://u@h/d\"\n")), []);
    assert_eq!(found(&bench.check("")), [("data".to_owned(), "other_store")]);
    // A mark that a start could not read, either.
    bench.write("data/store", "mysqlish\n", 0o600);
    assert_eq!(found(&bench.check("")), [("data".to_owned(), "data_unusable")]);
    fs::remove_file(data.join("store")).unwrap();

    fs::write(data.join("signing-keys"), "junk\n").unwrap();
    fs::set_permissions(data.join("signing-keys"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(found(&bench.check("")), [("data".to_owned(), "signing_keys")]);
}

#[test]
fn an_address_in_use_is_a_warning_and_sockets_are_looked_at() {
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let report = bench.check(&format!("listen = [\"{address}\"]\n"));
    assert_eq!(
        (report.exit_code(), found(&report)),
        (0, vec![("listen[0]".to_owned(), "address_in_use")])
    );
    let file = bench.write("file", "x", 0o600);
    for (path, want) in [
        (bench.path("free"), vec![]),
        (file, vec![("admin".to_owned(), "address_unusable")]),
        (bench.path("none/free"), vec![("admin".to_owned(), "address_unusable")]),
        (bench.path(&"x".repeat(110)), vec![("admin".to_owned(), "address_unusable")]),
    ] {
        let report = bench.check(&format!("admin = \"unix:{}\"\n", path.display()));
        assert_eq!(found(&report), want, "{}", report.text());
    }
}

#[test]
fn machines_are_told_places_codes_and_words() {
    let bench = Bench::new();
    let popups = bench.write("p.toml", "[[popup]]\nid = \"x\"\nrollout = 0\n", 0o600);
    let report = bench.check(&format!("popups = {popups:?}\nack = 1\n"));
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(
        (&json["ok"], &json["errors"], &json["warnings"]),
        (&false.into(), &1.into(), &1.into())
    );
    let config = bench.path("nudged.toml").display().to_string();
    let ack = &json["problems"][0];
    assert_eq!(
        (&ack["file"], &ack["line"], &ack["column"]),
        (&config.into(), &5.into(), &1.into())
    );
    assert_eq!(
        (&ack["key"], &ack["code"], &ack["severity"]),
        (&"ack".into(), &"bad_value".into(), &"error".into())
    );
    assert!(ack["message"].as_str().unwrap().contains("\"synced\""), "{ack}");
    let lint = &json["problems"][1];
    assert_eq!((&lint["popup"], &lint["severity"]), (&"x".into(), &"warning".into()));
    assert_eq!(lint["code"], "rollout_empty");
}

// Who switches a warning off in a pipeline does so by its code.
#[test]
fn each_lint_has_its_code_and_help_lists_them() {
    const POPUPS: &str = r#"
        [[popup]]
        id = "a"
        priority = 9
        after_shown = "0s"
        after_ignored = "0s"
        after_dismissed = "0s"
        after_clicked = "0s"
        after_converted = "0s"
        [[popup]]
        id = "b"
        ends_at = 2020-01-01T00:00:00Z
        target = { all = [{ attr = "v", op = "lt", value = "10" }] }
        [[popup]]
        id = "c"
        placement = ["other"]
        rollout = 0
        target = { any = [] }
        variants = [{ key = "x", weight = 0 }, { key = "y", weight = 1 }]
        windows = [{ days = ["mon"], from = "09:00", to = "10:00" }]
        starts_at = 2026-11-24T00:00:00Z
        ends_at = 2026-11-25T00:00:00Z
    "#;
    let bench = Bench::new();
    let many = (0..65).map(|number| format!("[[popup]]\nid = \"m{number}\"\nmax_shows = 1\n"));
    let file = bench.write("p.toml", &(POPUPS.to_owned() + &many.collect::<String>()), 0o600);
    let mut report = CheckReport::default();
    let november_18 = WallMs(1_795_000_000_000);
    add_popups_file(&file, &Settings::default(), november_18, &mut report);
    let mut codes: Vec<_> = report.findings().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let help = arguments::parse(["nudged", "check", "--help"]);
    let help = help.unwrap_err().to_string();
    let mut words = help.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
    assert_eq!(codes.len(), 8, "{}", report.text());
    for code in codes {
        assert!(words.any(|word| word == code), "{code}, in this order: {help}");
    }
}
