//! How many records a second one core applies: printed, with a bound far below what a slow machine
//! reaches, so that only a lost index or a lost prepared statement breaks it.

use std::time::Instant;

use super::*;
use nudged_domain::state::apply::Action;
use nudged_histories::Journal;

/// In the table of architecture's measurements one core takes 150,000 records/s; a test build on a
/// shared machine must take a tenth.
const RECORDS_PER_SECOND_MIN: f64 = 15_000.0;

#[test]
fn records_per_second_on_one_core() {
    let mut journal = Journal::new();
    for number in 0..15_000_u32 {
        let user = format!("user-{:05}", number.wrapping_mul(7_919) % 10_000);
        journal.show(&user, usize::try_from(number % 8).unwrap(), None);
        if number % 3 == 0 {
            journal.event(&user, 0, Action::Clicked);
        }
    }
    let directory = directory();
    let mut node = Node::start(directory.path());
    let batches: Vec<_> = journal.records.chunks(APPLY_RECORDS_MAX).map(borrowed).collect();
    let start = Instant::now();
    for batch in &batches {
        node.store.apply(node.stream, batch).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let records = f64::from(u32::try_from(journal.records.len()).unwrap());
    let rate = records / seconds;
    println!("sqlite: {rate:.0} records/s ({records} records in {seconds:.3} s)");
    assert!(rate > RECORDS_PER_SECOND_MIN, "{rate:.0} records/s");
}
