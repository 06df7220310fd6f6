//! How many records a second each store applies and how many users it reads back, and for how long
//! at most one transaction holds the embedded store's lock: printed, with bounds far below what a
//! slow machine reaches, so that only a lost index or a lost prepared statement breaks them.

use std::time::{Duration, Instant};

use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_store::{Store, StoreReader};

use nudged_domain::state::apply::Action;
use nudged_histories::{Journal, borrowed};

/// Records and users of the measurement.
const RECORDS: usize = 8_000;
const USERS: usize = 4_000;
/// Users that are read together, as a shard's reads are.
const READ_TOGETHER: usize = 64;

fn journal() -> Journal {
    let mut journal = Journal::new();
    for number in 0..RECORDS * 3 / 4 {
        let user = format!("user-{:05}", number * 7_919 % USERS);
        journal.show(&user, number % 8, None);
        if number % 3 == 0 {
            journal.event(&user, 0, Action::Clicked);
        }
    }
    journal
}

fn per_second(count: usize, time: Duration) -> u128 {
    count as u128 * 1_000_000 / time.as_micros().max(1)
}

fn measure(name: &str, store: &mut Store, reader: &mut StoreReader) {
    let journal = journal();
    let stream = store.stream_id([7; 16]).unwrap();
    let batches: Vec<_> = journal.records.chunks(APPLY_RECORDS_MAX).map(borrowed).collect();
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for batch in &batches {
        let begun = Instant::now();
        store.apply(stream, batch).unwrap();
        longest = longest.max(begun.elapsed());
    }
    let applied = per_second(journal.records.len(), start.elapsed());
    let users: Vec<String> = (0..USERS).map(|number| format!("user-{number:05}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut found = 0;
    let start = Instant::now();
    for part in users.chunks(READ_TOGETHER) {
        let read = reader.read_users(part, &mut |_, state| {
            found += usize::from(!state.popups.is_empty());
        });
        assert_eq!(read.unwrap(), 0);
    }
    let read = per_second(USERS, start.elapsed());
    println!(
        "{name}: {applied} records/s, longest transaction {} us, {read} users/s",
        longest.as_micros()
    );
    assert_eq!(found, USERS);
    assert!(applied > 500 && read > 500, "{applied} records/s, {read} users/s");
}

#[test]
fn of_the_embedded_store() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut store = Store::open(directory.path()).unwrap();
    measure("sqlite", &mut store, &mut StoreReader::open(directory.path()).unwrap());
}

#[test]
fn of_the_shared_store() {
    let url = crate::support::mariadb::shared().url_of(&crate::mysql::database());
    let mut node = crate::mysql::Node::start(&url);
    measure("mysql", &mut node.store, &mut crate::mysql::reader(&url));
}
