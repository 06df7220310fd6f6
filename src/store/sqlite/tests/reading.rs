//! What is read back is what was written, and with the records that SQL lacks it is what is.

use proptest::prelude::*;

use super::*;
use nudged_background::projection::overlay::apply_record;
use nudged_domain::state::user::UserState;
use nudged_histories::{Journal, USERS, histories};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reading_and_merging_gives_the_state(
        steps in histories(60),
        cut in 0..=1_000_usize,
        overlap in 0..30_usize,
    ) {
        let journal = Journal::of(&steps);
        let cut = journal.records.len() * cut / 1_000;
        let directory = directory();
        Node::start(directory.path()).apply_all(&journal.records[..cut]);
        let states = read_states(directory.path(), &USERS);
        for (user, mut state) in USERS.into_iter().zip(states) {
            // Records that SQL has already are merged again without effect.
            for record in &journal.records[cut.saturating_sub(overlap)..] {
                if record.user == user {
                    apply_record(&mut state, &record.borrow().1).unwrap();
                }
            }
            prop_assert_eq!(state, journal.state(user), "{:?}", user);
        }
    }
}

#[test]
fn a_reader_sees_what_is_committed_and_writes_nothing() {
    let directory = directory();
    let mut node = Node::start(directory.path());
    let mut reader = StoreReader::open(directory.path()).unwrap();
    let mut journal = Journal::new();
    for shows in 1..4 {
        journal.show("u", 0, None);
        node.apply(&journal.records).unwrap();
        let mut total = 0;
        let mut found = |_, state: UserState| total = state.popups[0].shows_total;
        reader.read_users(&["u"], &mut found).unwrap();
        assert_eq!(total, shows);
    }
    let written = reader.session.get_mut().execute("delete", "DELETE FROM users", &[]);
    assert!(written.is_err());
}
