//! A show that is added to the entry of a popup as it lies: what stays of the entry is copied, byte
//! for byte, and nothing is decoded. The numbers of the shows that stay need no look: what their
//! place and the total tell of them is the same with one more of both.
//!
//! ```text
//! fewer than 16 shows:  total + 1, head, [all shows], the new one
//! 16 shows:             total + 1, head, the second anew, [from the third], the new one
//! ```

use std::ops::Range;

use super::encoding::{NUMBERED, StateReader, put_entry_begin, put_show};
use super::view::{EncodedState, OURS};
use nudged_base::ids::PopupKey;
use nudged_base::limits::SHOWS_REMEMBERED_MAX;
use nudged_base::time::WallMs;

impl EncodedState<'_> {
    /// Appends the entry of a popup with one more show, as
    /// [`encode_popup`](super::encode_popup) writes it, and gives the show's number with the place
    /// of the entry; for a popup that is not remembered it is the first, behind the last entry.
    /// `None`, with nothing appended, where the number is at the end of its range. Allocates only
    /// where `row` has to grow.
    pub(crate) fn entry_with_show(
        &self,
        key: PopupKey,
        now: WallMs,
        row: &mut Vec<u8>,
    ) -> Option<(u32, Range<usize>)> {
        let Some(mut reader) = self.find(key) else {
            put_entry_begin(key, (1, 1), row);
            put_show(0, now.0, row);
            return Some((1, self.bytes.len()..self.bytes.len()));
        };
        let begin = usize::from(reader.place_in(self.bytes)) - size_of::<PopupKey>();
        let number = reader.varint_u32().expect(OURS).checked_add(1)?;
        let head = reader.byte().expect(OURS);
        let mut left = usize::from(head >> 3);
        let used = (left + 1).min(SHOWS_REMEMBERED_MAX);
        put_entry_begin(key, (number, used), row);
        let mut latest_at: i64 = 0;
        if left == SHOWS_REMEMBERED_MAX {
            let second = &mut reader;
            latest_at = second.pass_show(latest_at);
            let flags = second.byte().expect(OURS);
            latest_at = latest_at.wrapping_add(second.number());
            put_show(flags, latest_at, row);
            if flags & NUMBERED != 0 {
                let from = second.rest;
                second.skip_number();
                row.extend_from_slice(&from[..from.len() - second.rest.len()]);
            }
            left -= 2;
        }
        let kept = reader.rest;
        for _ in 0..left {
            latest_at = reader.pass_show(latest_at);
        }
        row.extend_from_slice(&kept[..kept.len() - reader.rest.len()]);
        put_show(0, now.0.wrapping_sub(latest_at), row);
        if head & 7 != 0 {
            reader.skip_number();
        }
        Some((number, begin..usize::from(reader.place_in(self.bytes))))
    }
}

impl StateReader<'_> {
    /// Passes a show; gives its time, by that of the one before.
    fn pass_show(&mut self, before: i64) -> i64 {
        let flags = self.byte().expect(OURS);
        let at = before.wrapping_add(self.number());
        if flags & NUMBERED != 0 {
            self.skip_number();
        }
        at
    }
}
