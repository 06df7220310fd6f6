//! The log tells what matters, never too much, never in a way that breaks a line or shows an id.

use crate::clock::Now;
use crate::time::WallMs;
use proptest::prelude::*;

use super::*;
use crate::limits::LOG_FIELD_BYTES_MAX;

const AT: WallMs = WallMs(1_772_323_200_123);

fn at_ms(ms: u64) -> Now {
    Now { mono: MonoNs(ms * 1_000_000), wall: AT }
}

fn lines(log: &Log) -> Vec<String> {
    std::iter::from_fn(|| log.next_line()).collect()
}

#[test]
fn a_line_as_json_and_as_text() {
    let fields = [("path", LogValue::Text("a\n\"b\"\u{7}")), ("bytes", LogValue::Number(7))];
    let json = Log::new(Level::Info, true, &[]);
    json.write(at_ms(0), Message::JournalTorn, &fields);
    let want = "{\"time\":\"2026-03-01T00:00:00.123Z\",\"level\":\"warn\",\
                \"code\":\"journal_torn\",\"message\":\"the unfinished end of the journal was cut off\",\
                \"path\":\"a\\n\\\"b\\\"\\u0007\",\"bytes\":7}\n";
    assert_eq!(lines(&json), [want]);
    let text = Log::new(Level::Info, false, &[]);
    text.write(at_ms(0), Message::JournalTorn, &fields);
    let want = "2026-03-01T00:00:00.123Z warn  [journal_torn] \
                the unfinished end of the journal was cut off path=\"a\\n\\\"b\\\"\\u0007\" bytes=7\n";
    assert_eq!(lines(&text), [want]);
}

#[test]
fn ten_at_once_then_one_a_second_with_a_count_of_the_suppressed() {
    let log = Log::new(Level::Info, false, &[]);
    (0..50).for_each(|_| log.write(at_ms(5_000), Message::DeadLetter, &[]));
    assert_eq!(lines(&log).len(), 10);
    // Another message has a pace of its own.
    log.write(at_ms(5_000), Message::SqlWeak, &[]);
    assert_eq!(lines(&log).len(), 1);
    (0..2_500).for_each(|ms| log.write(at_ms(5_001 + ms), Message::DeadLetter, &[]));
    let later = lines(&log);
    assert_eq!(later.len(), 2);
    assert!(later[0].ends_with(" suppressed=1039\n"), "{}", later[0]);
    // What was suppressed last is said although nothing comes after it.
    assert!(log.has_unsaid());
    log.sweep(at_ms(7_999));
    assert_eq!(lines(&log).len(), 0);
    log.sweep(at_ms(8_000));
    let last = lines(&log);
    assert!(last.len() == 1 && last[0].ends_with(" suppressed=500\n"), "{last:?}");
    assert!(!log.has_unsaid());
    // After rest there is a burst again.
    (0..50).for_each(|_| log.write(at_ms(60_000), Message::DeadLetter, &[]));
    assert_eq!(lines(&log).len(), 10);
}

#[test]
fn ids_are_hashed_unless_listed_and_listed_users_are_always_logged() {
    let log = Log::new(Level::Info, true, &["zoe".to_owned(), "ann".to_owned()]);
    let write = |user, message| log.write(at_ms(0), message, &[("user", LogValue::User(user))]);
    write("bob", Message::UserErased);
    let hashed = lines(&log).concat();
    assert!(!hashed.contains("bob"), "{hashed}");
    assert!(hashed.contains(&format!("\"#{:016x}\"", crate::hash::user(b"bob"))));
    // Below the level, and more often than the pace.
    write("bob", Message::Decided);
    (0..50).for_each(|_| write("ann", Message::Decided));
    let listed = lines(&log);
    assert_eq!(listed.len(), 50);
    assert!(listed[0].contains("\"user\":\"ann\""), "{}", listed[0]);
    assert!(log.wants(Message::Decided, Some("zoe")) && !log.wants(Message::Decided, Some("bob")));
    log.reload(Level::Debug, true, &[]);
    assert!(log.wants(Message::Decided, None) && !log.is_listed("ann"));
    log.reload(Level::Error, true, &[]);
    assert!(!log.wants(Message::JournalTorn, None) && log.wants(Message::SqlFailed, None));
}

#[test]
fn a_full_queue_drops_and_counts_and_each_line_wakes_the_writer() {
    let woken = Arc::new(AtomicU64::new(0));
    let log = Log::new(Level::Info, false, &["ann".to_owned()]);
    let count = woken.clone();
    log.on_line(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..LOG_LINES_MAX + 5 {
        log.write(at_ms(0), Message::UserErased, &[("user", LogValue::User("ann"))]);
    }
    assert!(log.has_unsaid());
    assert_eq!(woken.load(Ordering::Relaxed), LOG_LINES_MAX as u64 + 5);
    log.sweep(at_ms(0));
    assert_eq!(lines(&log).len(), LOG_LINES_MAX);
    log.sweep(at_ms(0));
    let lost = lines(&log);
    // The first sweep found the queue full: its own line is lost too.
    assert!(lost.len() == 1 && lost[0].ends_with("count=6\n"), "{lost:?}");
}

#[test]
fn codes_are_unique_and_texts_need_no_escape() {
    let mut codes: Vec<&str> = Message::ALL.iter().map(|message| message.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Message::ALL.len());
    for (index, message) in Message::ALL.iter().enumerate() {
        assert_eq!(*message as usize, index);
        assert!(!message.text().contains(['"', '\\']));
    }
}

proptest! {
    #[test]
    fn any_field_gives_one_line_of_json_that_is_not_too_long(text in ".{0,300}") {
        let log = Log::new(Level::Info, true, &[]);
        log.write(at_ms(0), Message::Started, &[("field", LogValue::Text(&text))]);
        let line = log.next_line().unwrap();
        prop_assert!(line.ends_with('\n') && !line.trim_end().contains(char::is_control));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let field = read["field"].as_str().unwrap();
        match field.strip_suffix('…') {
            Some(cut) if text.len() > LOG_FIELD_BYTES_MAX => prop_assert!(text.starts_with(cut)),
            _ => prop_assert_eq!(field, text.as_str()),
        }
        prop_assert!(field.len() <= LOG_FIELD_BYTES_MAX + '…'.len_utf8());
    }
}
