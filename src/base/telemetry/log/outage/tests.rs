//! An outage has one line at its begin, one a minute, one at its end; whoever meets it, and however
//! often.

use super::super::{Level, Log, LogField, LogValue, Message};
use super::*;
use crate::clock::Now;
use crate::time::{MonoNs, WallMs};

const SECOND: u64 = 1_000;

fn at(ms: u64) -> Now {
    Now { mono: MonoNs((1_000_000 + ms) * MS), wall: WallMs(0) }
}

/// A log with time: sweeps come once a second, as the log's thread makes them.
struct Watch {
    log: Log,
    now_ms: u64,
}

impl Watch {
    fn new() -> Watch {
        Watch { log: Log::new(Level::Info, true, &[]), now_ms: 0 }
    }

    fn say(&self, message: Message, fields: &[LogField<'_>]) {
        self.log.write(at(self.now_ms), message, fields);
    }

    fn fails(&self, message: Message, error: &str) {
        self.say(message, &[("error", LogValue::Text(error))]);
    }

    /// Lets time pass, with something done each 100 ms.
    fn pass(&mut self, ms: u64, mut each: impl FnMut(&Watch)) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            each(self);
            if self.now_ms.is_multiple_of(SECOND) && self.log.has_unsaid() {
                self.log.sweep(at(self.now_ms));
            }
        }
    }

    /// Codes of the lines since, with count and duration where they have one.
    fn told(&self) -> Vec<(String, Option<u64>, Option<u64>)> {
        let line = |text: String| {
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            let code = line["code"].as_str().unwrap().to_owned();
            (code, line["count"].as_u64(), line["duration_ms"].as_u64())
        };
        std::iter::from_fn(|| self.log.next_line()).map(line).collect()
    }
}

fn line(code: &str, count: u64, duration_ms: u64) -> (String, Option<u64>, Option<u64>) {
    (code.to_owned(), Some(count), Some(duration_ms))
}

fn begin(code: &str) -> (String, Option<u64>, Option<u64>) {
    (code.to_owned(), None, None)
}

#[test]
fn one_line_at_the_begin_one_a_minute_one_at_the_end() {
    let mut watch = Watch::new();
    watch.pass(150 * SECOND, |watch| watch.fails(Message::SqlFailed, "no connection"));
    watch.say(Message::SqlResumed, &[]);
    watch.pass(300 * SECOND, |watch| watch.say(Message::SqlResumed, &[]));
    let wanted = [
        begin("sql_failed"),
        line("sql_failed", 601, 60_000),
        line("sql_failed", 1_201, 120_000),
        line("sql_resumed", 1_500, 149_900),
    ];
    let told = watch.told();
    assert_eq!(told[0], wanted[0]);
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    // The sweep comes once a second, so a minute is up to a second late.
    assert!(told[1].2 >= wanted[1].2 && told[1].2 <= Some(61_000), "{told:?}");
    assert_eq!((&told[3].0, told[3].1, told[3].2), (&wanted[3].0, wanted[3].1, wanted[3].2));
    assert!(!watch.log.has_unsaid(), "nobody has to wake for it any more");
}

#[test]
fn a_minute_s_line_has_the_error_that_began_it() {
    let mut watch = Watch::new();
    watch.pass(62 * SECOND, |watch| watch.fails(Message::ReadSlow, "late"));
    let lines: Vec<String> = std::iter::from_fn(|| watch.log.next_line()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("\"error\":\"late\"")), "{lines:?}");
}

#[test]
fn what_comes_and_goes_within_a_second_is_one_outage() {
    let mut watch = Watch::new();
    watch.pass(30 * SECOND, |watch| {
        watch.fails(Message::SqlFailed, "lost");
        watch.say(Message::SqlResumed, &[]);
    });
    watch.pass(3 * SECOND, |_| {});
    assert_eq!(watch.told(), [begin("sql_failed"), line("sql_resumed", 300, 29_900)]);
}

#[test]
fn a_symptom_is_told_only_where_nobody_tells_the_reason() {
    let mut watch = Watch::new();
    watch.pass(5 * SECOND, |watch| {
        watch.fails(Message::KeeperFailed, "refused");
        if watch.now_ms == 700 {
            watch.say(Message::RedisLost, &[]);
        }
    });
    assert_eq!(watch.told(), [begin("redis_lost")]);
    // The end is when both have recovered.
    watch.say(Message::RedisConnected, &[]);
    watch.pass(3 * SECOND, |watch| watch.fails(Message::KeeperFailed, "refused"));
    assert_eq!(watch.told(), []);
    watch.say(Message::KeeperResumed, &[]);
    watch.pass(3 * SECOND, |_| {});
    assert_eq!(watch.told(), [line("redis_connected", 81, 7_900)]);
    // Alone it is told a second late, and over before that, once it is over.
    watch.pass(3 * SECOND, |watch| watch.fails(Message::KeeperFailed, "refused"));
    assert_eq!(watch.told().len(), 1);
    watch.say(Message::KeeperResumed, &[]);
    watch.pass(3 * SECOND, |_| {});
    assert_eq!(watch.told()[0].0, "keeper_resumed");
    watch.fails(Message::KeeperFailed, "refused");
    watch.say(Message::KeeperResumed, &[]);
    watch.pass(3 * SECOND, |_| {});
    assert_eq!(watch.told(), [line("keeper_failed", 1, 0)]);
}

#[test]
fn each_shard_s_loss_has_to_be_made_good() {
    let mut watch = Watch::new();
    (0..3).for_each(|_| watch.say(Message::RedisLost, &[]));
    (0..2).for_each(|_| watch.say(Message::RedisConnected, &[]));
    watch.pass(5 * SECOND, |_| {});
    assert_eq!(watch.told(), [begin("redis_lost")]);
    watch.say(Message::RedisConnected, &[]);
    watch.pass(5 * SECOND, |_| {});
    assert_eq!(watch.told(), [line("redis_connected", 3, 5_000)]);
}

#[test]
fn another_cause_within_an_outage_is_told_once() {
    let mut watch = Watch::new();
    let causes = [("cause", LogValue::Text("unreachable")), ("cause", LogValue::Text("schema"))];
    watch.pass(20 * SECOND, |watch| {
        watch.say(Message::SqlFailed, &causes[..1]);
        watch.say(Message::SqlFailed, &causes[1..]);
    });
    assert_eq!(watch.told(), [begin("sql_failed"), begin("sql_failed")]);
}

#[test]
fn each_key_of_an_outage_begins_lasts_and_ends_by_itself() {
    let mut watch = Watch::new();
    let unfit = |watch: &Watch, cause, error| {
        let fields = [("cause", LogValue::Text(cause)), ("error", LogValue::Text(error))];
        watch.say(Message::RedisUnfit, &fields);
    };
    let texts = |watch: &Watch| -> Vec<(String, String, String)> {
        let lines = std::iter::from_fn(|| watch.log.next_line());
        let of = |line: String| {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap_or("").to_owned();
            (text("code"), text("cause"), text("error"))
        };
        lines.map(of).collect()
    };
    let line = |code: &str, cause: &str, error: &str| {
        (code.to_owned(), cause.to_owned(), error.to_owned())
    };
    watch.pass(62 * SECOND, |watch| {
        unfit(watch, "rights", "no +publish");
        unfit(watch, "eviction", "evicts");
    });
    let both =
        [line("redis_unfit", "rights", "no +publish"), line("redis_unfit", "eviction", "evicts")];
    assert_eq!(texts(&watch), [both.clone(), both].concat());
    assert_eq!(watch.log.outages().filter(|(_, is_open, _)| *is_open).count(), 1);
    watch.say(Message::RedisFit, &[("cause", LogValue::Text("eviction"))]);
    watch.pass(3 * SECOND, |watch| unfit(watch, "rights", "no +set"));
    let wanted = [line("redis_unfit", "rights", "no +set"), line("redis_fit", "eviction", "")];
    assert_eq!(texts(&watch), wanted, "another text is told, an end is its own");
    watch.say(Message::RedisFit, &[("cause", LogValue::Text("rights"))]);
    watch.pass(3 * SECOND, |_| {});
    assert_eq!(texts(&watch), [line("redis_fit", "rights", "")]);
    assert!(!watch.log.has_unsaid());
    // Without a key that the table has it is a message like any other.
    watch.fails(Message::RedisUnfit, "acknowledges before its disk does");
    assert_eq!(texts(&watch).len(), 1);
    assert!(!watch.log.has_unsaid());
}

#[test]
fn what_has_no_end_of_its_own_ends_when_it_is_quiet() {
    let mut watch = Watch::new();
    watch.pass(5 * SECOND, |watch| watch.say(Message::SliceFull, &[]));
    watch.pass(LOG_QUIET_MS - SECOND, |_| {});
    assert_eq!(watch.told(), [begin("slice_full")]);
    watch.pass(2 * SECOND, |_| {});
    assert_eq!(watch.told(), [line("slice_room", 50, 4_900)]);
}

#[test]
fn a_stop_tells_what_is_over_and_metrics_tell_what_is_not() {
    let watch = Watch::new();
    watch.say(Message::JournalFull, &[]);
    watch.say(Message::SqlFailed, &[]);
    watch.say(Message::JournalResumed, &[]);
    watch.log.finish(at(0));
    let told = watch.told();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[2].0, "journal_resumed");
    let of = |wanted: &str| watch.log.outages().find(|(name, ..)| *name == wanted).unwrap();
    assert_eq!(of("sql"), ("sql", true, 1));
    assert_eq!(of("journal_full"), ("journal_full", false, 1));
    assert_eq!(of("redis"), ("redis", false, 0));
}

#[test]
fn nothing_of_an_outage_gets_past_a_level_that_is_lower() {
    let mut watch = Watch::new();
    watch.log.reload(Level::Error, true, &[]);
    watch.pass(70 * SECOND, |watch| watch.say(Message::RedisLost, &[]));
    assert_eq!(watch.told(), []);
    watch.say(Message::SqlFailed, &[]);
    watch.say(Message::SqlResumed, &[]);
    watch.pass(3 * SECOND, |_| {});
    assert_eq!(watch.told(), [begin("sql_failed")]);
}

#[test]
fn the_table_is_sound() {
    for (place, row) in REPORTS.iter().enumerate() {
        assert!(REPORTS.iter().all(|other| other.end != row.message), "{}", row.message.code());
        let same = REPORTS.iter().filter(|other| other.message == row.message).count();
        assert_eq!(same, 1, "{}", row.message.code());
        assert_eq!(row.end.level(), Level::Info, "{place}");
        assert!(row.message.level() <= Level::Warn);
    }
}
