//! What pauses and archives, and operators' tokens, have alike: entries with ids that are joined by
//! union, and that each place is brought where it lacks them.

use std::collections::BTreeSet;

use super::Destination;
use nudged_domain::catalog::overrides::{self, Override};
use nudged_domain::operators::{self, OperatorToken};

/// One of them.
pub(super) trait CarriedEntry: Sized {
    /// The hash in Redis that has them.
    const KEY: &'static [u8];

    /// Its id, as text.
    fn id_text(&self) -> String;

    /// Whether it has ended.
    fn is_ended(&self) -> bool;

    /// As text, which has `"ended_at":` in it only where it has ended.
    fn encode(&self) -> String;

    /// An entry of its text; `None` for any other text.
    fn decode(text: &str) -> Option<Self>;

    /// Those that a place does not have, `count` at most.
    fn due(destination: &Destination, count: usize) -> Vec<Self>;

    /// The place has these.
    fn mark(destination: &Destination, entries: &[Self]);

    /// The place was read whole, and has these and no other: it gets the others again.
    fn take_whole(destination: &Destination, entries: &[Self]);
}

impl CarriedEntry for Override {
    const KEY: &'static [u8] = b"nudged:overrides";

    fn id_text(&self) -> String {
        self.id.to_string()
    }

    fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    fn encode(&self) -> String {
        overrides::encode(self)
    }

    fn decode(text: &str) -> Option<Override> {
        overrides::decode(text)
    }

    fn due(destination: &Destination, count: usize) -> Vec<Override> {
        destination.due(count)
    }

    fn mark(destination: &Destination, entries: &[Override]) {
        destination.mark(entries);
    }

    fn take_whole(destination: &Destination, entries: &[Override]) {
        let there: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
        destination.publisher.with_overrides(|overrides| {
            let held = overrides.all().filter(|held| held.is_in(destination.place));
            let gone = held.map(|held| held.entry.id).filter(|id| !there.contains(id));
            for id in gone.collect::<Vec<_>>() {
                overrides.unmark(id, destination.place);
            }
        });
        destination.take(entries);
    }
}

impl CarriedEntry for OperatorToken {
    const KEY: &'static [u8] = b"nudged:tokens";

    fn id_text(&self) -> String {
        self.id.to_string()
    }

    fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    fn encode(&self) -> String {
        operators::encode(self)
    }

    fn decode(text: &str) -> Option<OperatorToken> {
        operators::decode(text)
    }

    fn due(destination: &Destination, count: usize) -> Vec<OperatorToken> {
        let mut due = destination.due_tokens();
        due.truncate(count);
        due
    }

    fn mark(destination: &Destination, entries: &[OperatorToken]) {
        destination.publisher.mark_tokens(entries, destination.place);
    }

    fn take_whole(destination: &Destination, entries: &[OperatorToken]) {
        let publisher = &destination.publisher;
        publisher.with_tokens(|all| all.unmark_others(destination.place, entries));
        publisher.take_tokens(entries, destination.place);
    }
}

/// As many lines as fit, of entries each given with whether SQL has it; those that are kept, here
/// or there; and whether all are. Those come first that are to be left out last.
pub(super) fn fill<'e, E: CarriedEntry + Clone + 'e>(
    entries: impl Iterator<Item = (&'e E, bool)>,
    bytes_max: usize,
) -> (String, Vec<E>, bool) {
    let (mut body, mut kept, mut has_all) = (String::new(), Vec::new(), true);
    for (entry, is_in_sql) in entries {
        let line = entry.encode();
        if body.len() + line.len() < bytes_max {
            body.push_str(&line);
            body.push('\n');
        } else if !is_in_sql {
            has_all = false;
            continue;
        }
        // What SQL has needs no place here.
        kept.push(entry.clone());
    }
    (body, kept, has_all)
}
