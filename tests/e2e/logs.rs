//! Properties of the log: the begin and the end of a node are one line each, with all that an
//! operator asks first; an outage has one line at its begin, one at its end and none between, on
//! however many shards and threads it is met.

use std::time::Duration;

use crate::cluster::{Cluster, Plan};
use crate::harness::{ALWAYS, STOP_TIMEOUT, Server, Setup, WELCOME, until, until_within};
use crate::support::log::LogLine;
use crate::support::proxy::Proxy;

/// An outage's end is told a second after it, at the next sweep; the rest is for a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
/// What an operator is woken by.
const LOUD: [&str; 2] = ["error", "warn"];

fn loud(server: &Server) -> Vec<String> {
    let lines = LogLine::all(&server.said()).into_iter();
    lines.filter(|line| LOUD.contains(&&*line.level)).map(|line| line.code).collect()
}

#[test]
fn the_first_line_tells_with_what_a_node_starts_and_the_last_why_it_stopped() {
    let setup = Setup::new(WELCOME).config("queue = \"journal\"\nconnections_max = 3000\n");
    let mut server = setup.start_with(&["--shards", "2", "--cpus", "0", "--writer-cpu", "0"]);
    let lines = LogLine::all(&server.said());
    let started = &lines[0];
    assert_eq!(started.code, "started");
    let is_time = |time: &str| time.len() == 24 && time.ends_with('Z') && time.contains('T');
    assert!(is_time(&started.time), "{started:?}");
    assert_eq!((&*started.level, &*started.message), ("info", "nudged is starting"));
    let texts = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("config", setup.path("nudged.toml").display().to_string()),
        ("data", setup.data().display().to_string()),
        ("store", "embedded".to_owned()),
        ("arbiter", "node".to_owned()),
        ("queue", "journal".to_owned()),
        ("ack", "written".to_owned()),
        ("listen", "127.0.0.1:0".to_owned()),
        ("admin", "127.0.0.1:0".to_owned()),
        ("cpus", "0".to_owned()),
        ("writer_cpu", "0".to_owned()),
    ];
    for (field, wanted) in texts {
        assert_eq!(started.text(field), wanted, "{field}: {started:?}");
    }
    assert_eq!(
        (started.number("shards"), started.number("connections_max")),
        (Some(2), Some(3000))
    );
    assert!(
        started.number("slice_bytes") > Some(0) && started.number("journal_bytes_max") > Some(0)
    );
    let ready = server.await_logged("ready");
    assert_eq!(ready.text("listen"), server.data.to_string());
    assert_eq!(ready.text("admin"), server.admin.to_string());
    assert!(ready.number("duration_ms").is_some());
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0));
    let last = LogLine::all(&server.said()).pop().unwrap();
    assert_eq!((&*last.code, last.text("reason")), ("stopped", "SIGTERM"));
    assert!(
        last.number("duration_ms").is_some() && last.number("unapplied") == Some(0),
        "{last:?}"
    );
}

#[test]
fn a_start_that_fails_has_written_its_log_and_a_second_signal_too() {
    let setup = Setup::new(WELCOME).config("lame_duck = \"20s\"\n");
    std::fs::write(setup.data(), "a file where the directory should be").unwrap();
    let exit = setup.start_fails(&[]);
    assert_eq!(LogLine::of(&exit.stderr, "started").len(), 1, "{exit:?}");
    std::fs::remove_file(setup.data()).unwrap();
    let mut server = setup.start();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.await_logged("draining").text("reason"), "SIGTERM");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0));
    assert_eq!(server.logged("stopped")[0].text("reason"), "a second signal");
}

#[test]
fn an_outage_has_one_line_at_its_begin_and_one_at_its_end() {
    let popups = format!("{ALWAYS}on_failure = \"local\"\n");
    let cluster = Cluster::new(Plan::new(&popups));
    let (redis, sql) = (Proxy::to(cluster.redis.address()), Proxy::to(cluster.mariadb().address()));
    let setup = cluster.node_behind(&redis);
    let direct = cluster.mariadb().address().to_string();
    let config = std::fs::read_to_string(setup.path("nudged.toml")).unwrap();
    setup.write_config(&config.replace(&direct, &sql.address().to_string()));
    let mut server = setup.start();
    server.allow("sql_failed");
    let mut client = server.client();
    let mut ask = |rounds: usize| {
        for round in 0..rounds {
            client.decide(&format!("user-{}", round % 50));
        }
    };
    ask(100);
    until("a quiet start", || (metric(&server, "nudged_outage_active{") == 0).then_some(()));
    let before = loud(&server).len();

    redis.refuse();
    redis.cut();
    let lost = server.await_logged("redis_lost");
    ask(500);
    // The next round of whoever asks Redis by itself has failed too.
    until("the keeper to notice", || {
        (metric(&server, "nudged_keeper_failures_total") > 1).then_some(())
    });
    redis.heal();
    let back = until_within("the end", TOLD_WITHIN, || server.logged("redis_connected").pop());
    assert!(back.number("duration_ms").is_some() && back.number("count") >= Some(2), "{back:?}");
    assert_eq!(loud(&server)[before..], ["redis_lost"], "{lost:?}: {}", server.said());

    sql.refuse();
    sql.cut();
    until("a record that waits", || {
        ask(5);
        server.logged("sql_failed").pop()
    });
    until("a second failure", || (metric(&server, "nudged_sql_failures_total") > 1).then_some(()));
    sql.heal();
    until_within("the end", TOLD_WITHIN, || server.logged("sql_resumed").pop());
    assert_eq!(loud(&server)[before..], ["redis_lost", "sql_failed"], "{}", server.said());
    server.stop();
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.operator().get("/metrics").body;
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
