//! A segment as a person looks at it: every batch that is whole and follows, and what is not, with
//! its place. By the rules of a start, but for what SQL has: nothing is left out for that, and
//! nothing stops the walk.

use super::super::batch::{self, BatchHeader};
use super::super::segment::{
    FIRST_BATCH_OFFSET, HeaderError, Opening, PREFIX_BYTES, SegmentHeader, SetId,
};
use super::walk::{Batches, last_set_byte};
use nudged_base::ids::Sequence;

/// What a segment says at its begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// Its header; whole in one place at least.
    pub header: SegmentHeader,
    /// Its opening; none where it was never used, or has lost it.
    pub opening: Option<Opening>,
}

impl SegmentHead {
    /// Reads it out of a file's first bytes, [`PREFIX_BYTES`] of them where there are so many.
    ///
    /// # Errors
    /// [`HeaderError`] where neither copy of the header can be used.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHead, HeaderError> {
        let prefix = &bytes[..bytes.len().min(PREFIX_BYTES)];
        let (header, _) = SegmentHeader::decode(prefix)?;
        let opening = Opening::decode(header.set.tag(), prefix).map(|(opening, _)| opening);
        Ok(SegmentHead { header, opening })
    }
}

/// One part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentPart<'a> {
    /// A whole batch.
    Batch {
        /// Where it begins in the file, in bytes.
        offset: u64,
        /// What it says of itself.
        header: BatchHeader,
        /// Its records, framed.
        records: &'a [u8],
    },
    /// Bytes that should be batches and are not.
    Damage {
        /// Where they begin in the file, in bytes.
        offset: u64,
        /// How many they are; 0 where the file ends, or is empty, before its last record.
        bytes: u64,
        /// The first record that is lost, where that is known.
        first: Option<Sequence>,
        /// The last one, where that is known.
        last: Option<Sequence>,
    },
    /// The end of the last segment, which was never durable: cut at a start. Beside a running
    /// node it may be a batch that is being written.
    Torn {
        /// Where it begins in the file, in bytes.
        offset: u64,
        /// Bytes up to the last one that is not zero.
        bytes: u64,
    },
}

/// The parts of one segment, in order. Does not allocate.
#[derive(Debug)]
pub struct SegmentParts<'a> {
    tag: u32,
    image: &'a [u8],
    offset: usize,
    /// The record that comes next; unknown where the opening is lost.
    next: Option<Sequence>,
    chain: Option<u32>,
    end: Option<Sequence>,
    is_over: bool,
}

/// The parts of a segment whose whole file is `image`. `end` is where the segment behind it goes
/// on; `None` for the last one that is in use.
pub fn parts<'a>(
    set: SetId,
    opening: Option<&Opening>,
    end: Option<Sequence>,
    image: &'a [u8],
) -> SegmentParts<'a> {
    SegmentParts {
        tag: set.tag(),
        image,
        offset: usize::try_from(FIRST_BATCH_OFFSET).expect("a few KiB"),
        next: opening.map(|opening| opening.header.first),
        chain: opening.map(|opening| opening.header.chain),
        end,
        is_over: false,
    }
}

impl<'a> SegmentParts<'a> {
    /// The record that comes behind what was walked over, where that is known.
    pub fn next_sequence(&self) -> Option<Sequence> {
        self.next
    }

    fn follows(&self, header: &BatchHeader) -> bool {
        header.count > 0
            && self.next.is_none_or(|next| next == header.first)
            && self.chain.is_none_or(|chain| chain == header.chain)
    }

    /// What stands where no batch follows; ends the walk unless it goes on behind that.
    fn beyond(&mut self) -> Option<SegmentPart<'a>> {
        let rest = self.image.get(self.offset..).unwrap_or_default();
        let offset = place(self.offset);
        if let Some((at, header)) = self.resumption() {
            let bytes = place(at - self.offset);
            let (first, last) = (self.next, Sequence(header.first.0.saturating_sub(1)));
            (self.offset, self.next, self.chain) = (at, Some(header.first), Some(header.chain));
            return Some(SegmentPart::Damage { offset, bytes, first, last: Some(last) });
        }
        self.is_over = true;
        let bytes = last_set_byte(rest).map_or(0, |last| place(last + 1));
        let Some(end) = self.end else {
            return (bytes > 0).then_some(SegmentPart::Torn { offset, bytes });
        };
        let (first, last) = (self.next, Some(Sequence(end.0.saturating_sub(1))));
        self.next = Some(end);
        Some(SegmentPart::Damage { offset, bytes, first, last })
    }

    /// The next batch that goes on, where it proves that what is before it was there: in the last
    /// segment only by its mark of what was durable.
    fn resumption(&self) -> Option<(usize, BatchHeader)> {
        let Some(next) = self.next else {
            // Without its opening a segment begins at its first batch.
            let mut all = Batches { tag: self.tag, image: self.image, offset: self.offset };
            return all.next().map(|(at, found)| (at, found.header));
        };
        let batches = Batches { tag: self.tag, image: self.image, offset: self.offset };
        let mut later = batches
            .map(|(at, found)| (at, found.header))
            .filter(|(_, header)| header.count > 0 && header.first > next)
            .take_while(|(_, header)| self.end.is_none_or(|end| header.end() <= end));
        let found = later.next()?;
        let is_proved = |header: &BatchHeader| self.end.is_some() || header.durable >= next;
        let is_durable = is_proved(&found.1) || later.any(|(_, header)| is_proved(&header));
        is_durable.then_some(found)
    }
}

impl<'a> Iterator for SegmentParts<'a> {
    type Item = SegmentPart<'a>;

    fn next(&mut self) -> Option<SegmentPart<'a>> {
        let is_void = self.next.zip(self.end).is_some_and(|(next, end)| next >= end);
        if self.is_over || is_void {
            return None;
        }
        let bytes = self.image.get(self.offset..).unwrap_or_default();
        match batch::decode(self.tag, bytes) {
            Some((found, records)) if self.follows(&found.header) => {
                let offset = place(self.offset);
                self.offset += found.encoded_bytes;
                (self.next, self.chain) = (Some(found.header.end()), Some(found.crc));
                Some(SegmentPart::Batch { offset, header: found.header, records })
            }
            _ => self.beyond(),
        }
    }
}

fn place(offset: usize) -> u64 {
    u64::try_from(offset).expect("a segment is 64 MiB")
}

#[cfg(test)]
mod tests {
    use super::super::super::record::{self, Record};
    use super::*;
    use nudged_base::ids::Revision;
    use nudged_base::time::WallMs;

    const SET: SetId = SetId(77);

    /// A segment of batches of one record each, and where they begin.
    fn segment(batches: u64, durable: u64) -> (Vec<u8>, Opening, Vec<usize>) {
        let mut image = vec![0; 8_192];
        let tag = SET.tag();
        let mut header = BatchHeader {
            chain: tag,
            first: Sequence(1),
            count: 0,
            durable: Sequence(0),
            newest: WallMs(0),
        };
        Opening::append(tag, header, Sequence(1), &mut image);
        let opening = Opening { header, follows: Sequence(1) };
        let mut places = Vec::new();
        for sequence in 1..=batches {
            let mut records = Vec::new();
            let revision = Revision { epoch: 0, counter: sequence };
            record::append(&Record::Erase { user: "u", revision, at: WallMs(1) }, &mut records);
            (header.first, header.count) = (Sequence(sequence), 1);
            header.durable = Sequence(durable.min(sequence - 1));
            places.push(image.len());
            header.chain = batch::append(tag, &header, &records, &mut image);
        }
        image.resize(image.len() + 256, 0);
        (image, opening, places)
    }

    /// The parts in short: `1` a batch that begins with record 1, `x2-3` those lost, `torn`.
    fn shown(image: &[u8], opening: Option<&Opening>, end: Option<u64>) -> String {
        let number = |sequence: Option<Sequence>| sequence.map_or(0, |sequence| sequence.0);
        let words = parts(SET, opening, end.map(Sequence), image).map(|part| match part {
            SegmentPart::Batch { header, .. } => header.first.0.to_string(),
            SegmentPart::Damage { first, last, .. } => {
                format!("x{}-{}", number(first), number(last))
            }
            SegmentPart::Torn { .. } => "torn".to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_part_is_shown_and_the_walk_goes_on_behind_damage() {
        let (image, opening, places) = segment(4, 9);
        let broken = |place: usize| {
            let mut image = image.clone();
            image[places[place] + batch::HEADER_BYTES] ^= 1;
            image
        };
        let opening = Some(&opening);
        assert_eq!(shown(&image, opening, None), "1 2 3 4");
        assert_eq!(shown(&image, opening, Some(5)), "1 2 3 4");
        assert_eq!(shown(&image, opening, Some(3)), "1 2", "the rest is void");
        assert_eq!(shown(&broken(1), opening, None), "1 x2-2 3 4");
        assert_eq!(shown(&broken(0), opening, Some(5)), "x1-1 2 3 4");
        assert_eq!(shown(&broken(3), opening, None), "1 2 3 torn");
        assert_eq!(shown(&broken(3), opening, Some(5)), "1 2 3 x4-4");
        assert_eq!(shown(&image, None, None), "1 2 3 4", "its opening is lost");
        assert_eq!(shown(&broken(0), None, None), "x0-1 2 3 4");
        assert_eq!(shown(&[], opening, None), "");
        let cut = &image[..places[3] + 9];
        assert_eq!(shown(cut, opening, None), "1 2 3 torn");
        let cut = &image[..places[2]];
        assert_eq!(shown(cut, opening, None), "1 2", "nothing says that there was more");
        assert_eq!(shown(cut, opening, Some(5)), "1 2 x3-4");
    }

    #[test]
    fn what_was_never_durable_is_a_torn_end_with_all_behind_it() {
        let (mut image, opening, places) = segment(4, 1);
        image[places[1] + batch::HEADER_BYTES] ^= 1;
        assert_eq!(shown(&image, Some(&opening), None), "1 torn");
        assert_eq!(shown(&image, Some(&opening), Some(5)), "1 x2-2 3 4");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let mut image = vec![0; 8_248];
            image.extend(bytes);
            let (_, opening, _) = segment(0, 0);
            proptest::prop_assert!(parts(SET, Some(&opening), None, &image).count() <= 1);
            proptest::prop_assert!(SegmentHead::decode(&image).is_err());
        }
    }
}
