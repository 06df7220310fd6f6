//! The overlay of a reader, the same in both worlds: what the journal has of a user that SQL had
//! not applied at the start, laid over what SQL says. When it is looked at is the reader's
//! business.

use std::collections::VecDeque;

use nudged_background::writer::merge;
use nudged_base::ids::{Sequence, UserKey};
use nudged_domain::state::user::{self, UserState};
use nudged_journal::record::frames;
use nudged_journal::recovery::UnappliedIndex;
use nudged_shard::seam::ReadRequest;

use super::disk::Disk;

/// Reads under way, and the records that belong over what they find.
#[derive(Default)]
pub struct Overlay {
    unapplied: UnappliedIndex,
    /// What was asked for and not looked at yet.
    pub requests: VecDeque<ReadRequest>,
    under_way: Vec<(ReadRequest, Vec<u8>)>,
}

impl Overlay {
    /// Over the records that SQL had not applied at the start.
    pub fn new(unapplied: UnappliedIndex) -> Overlay {
        Overlay { unapplied, ..Overlay::default() }
    }

    /// Looks up the records of everybody who was asked for; `applied` is what SQL has by now.
    pub fn look(&mut self, applied: Sequence, disk: &Disk) {
        if !self.unapplied.is_empty() && applied >= self.unapplied.end() {
            self.unapplied = UnappliedIndex::default();
        }
        for request in self.requests.drain(..) {
            let mut records = Vec::new();
            if self.unapplied.contains(UserKey::of(request.user.as_bytes())) {
                let read = self.unapplied.read(&request.user, disk, &mut records);
                read.expect("the journal can be read");
            }
            self.under_way.push((request, records));
        }
    }

    /// Everybody who was looked at, with their records.
    pub fn take(&mut self) -> Vec<(ReadRequest, Vec<u8>)> {
        std::mem::take(&mut self.under_way)
    }
}

/// A state that SQL has with records laid over it, encoded.
pub fn overlaid(mut state: UserState, records: &[u8]) -> Vec<u8> {
    for frame in frames(records) {
        let frame = frame.expect("the index has whole records");
        let record = frame.record().expect("the index has whole records");
        merge::apply_record(&mut state, &record).expect("the record is ours");
    }
    let mut encoded = Vec::new();
    user::encode(&state, &mut encoded);
    encoded
}
