//! Segment files: names, headers, openings. A segment is made ahead, zeroed and synced with its
//! headers, so that using it needs no metadata; it is in use from the moment its opening is
//! written.
//!
//! ```text
//! 0      header, 64 B      magic, version, set id, ordinal, its own CRC
//! 4096   the same header again
//! 8192   opening           an empty batch: chain, first sequence, end of the segment before
//! 8248   batches           8-byte aligned, back to back
//! ...    zeros
//! ```
//!
//! Everything before a segment's first sequence is synced before its opening is written, so only
//! the last opened segment can have a torn tail.

use super::batch::{self, BatchHeader};
use super::bytes::FieldReader;
use nudged_base::ids::Sequence;

/// The version that this program writes, and the only one that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Bytes of one header.
pub const HEADER_BYTES: usize = 64;
/// Where the header's second copy stands: in another 4 KiB sector than the first.
pub const SECOND_HEADER_OFFSET: u64 = 4_096;
/// Where the opening stands.
pub const OPENING_OFFSET: u64 = 8_192;
/// Bytes of an opening.
pub(crate) const OPENING_BYTES: usize = batch::HEADER_BYTES + 8;
/// Where the first batch stands.
pub const FIRST_BATCH_OFFSET: u64 = OPENING_OFFSET + OPENING_BYTES as u64;
/// Bytes at a segment's begin that hold both headers and the opening.
pub const PREFIX_BYTES: usize = HEADERS_BYTES + OPENING_BYTES;
/// Bytes at a segment's begin that are written when it is made, and never again.
pub(crate) const HEADERS_BYTES: usize = 8_192;

const _: () = assert!(HEADERS_BYTES as u64 == OPENING_OFFSET);

const MAGIC: [u8; 8] = *b"nudgejnl";

/// Identity of a journal directory, made at its creation: the incarnation of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetId(pub u128);

impl SetId {
    /// The mark at the begin of each of this set's batches; never 0, which is empty space.
    pub fn tag(self) -> u32 {
        crc32c::crc32c(&self.0.to_le_bytes()).max(1)
    }
}

/// A segment's ordinal: its place among the files of its set, from 1, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The segment after this one.
    #[must_use]
    pub fn next(self) -> SegmentId {
        SegmentId(self.0 + 1)
    }

    /// The file's name: 16 hexadecimal digits and `.log`.
    pub fn file_name(self) -> String {
        format!("{:016x}.log", self.0)
    }

    /// The segment of a file's name; `None` for files that are none.
    pub fn from_file_name(name: &str) -> Option<SegmentId> {
        let digits = name.strip_suffix(".log")?;
        let id = SegmentId(u64::from_str_radix(digits, 16).ok()?);
        // One name for one segment: no sign, no capitals, no missing zeros.
        (id.0 > 0 && id.file_name() == name).then_some(id)
    }
}

impl std::fmt::Display for SegmentId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}.log", self.0)
    }
}

/// What both headers of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The set that the segment belongs to.
    pub set: SetId,
    /// Its place in the set.
    pub segment: SegmentId,
}

/// Why a segment's headers can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither copy is whole.
    Damaged,
    /// A whole header of a version that this program does not read.
    Version(u32),
}

impl SegmentHeader {
    /// The header's bytes, to be written at 0 and at [`SECOND_HEADER_OFFSET`].
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.set.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.segment.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the headers out of a segment's first bytes. Says beside it whether one copy had to
    /// stand in for the other.
    ///
    /// # Errors
    /// [`HeaderError`] where neither copy is whole, or their version is another.
    pub fn decode(prefix: &[u8]) -> Result<(SegmentHeader, bool), HeaderError> {
        let second_offset = usize::try_from(SECOND_HEADER_OFFSET).expect("4,096");
        let first = decode_copy(prefix);
        let second = decode_copy(prefix.get(second_offset..).unwrap_or_default());
        match (first, second) {
            (Ok(header), Ok(other)) => Ok((header, header != other)),
            (Ok(header), Err(_)) | (Err(_), Ok(header)) => Ok((header, true)),
            (Err(HeaderError::Damaged), Err(other)) => Err(other),
            (Err(version), Err(_)) => Err(version),
        }
    }
}

fn decode_copy(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
    let bytes = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Damaged)?;
    let mut unsigned: [u8; HEADER_BYTES] = bytes.try_into().map_err(|_| HeaderError::Damaged)?;
    unsigned[12..16].fill(0);
    let mut fields = FieldReader::new(bytes);
    let parsed = (|| {
        let magic = fields.take(8)?;
        let (version, crc) = (fields.u32()?, fields.u32()?);
        let header =
            SegmentHeader { set: SetId(fields.u128()?), segment: SegmentId(fields.u64()?) };
        let whole = magic == MAGIC && crc == crc32c::crc32c(&unsigned);
        whole.then_some((version, header))
    })();
    match parsed {
        None => Err(HeaderError::Damaged),
        Some((FORMAT_VERSION, header)) => Ok(header),
        Some((version, _)) => Err(HeaderError::Version(version)),
    }
}

/// What an opening says beside its batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The batch header: `first` is the segment's first sequence, `chain` the CRC of the batch
    /// before it, wherever that stands.
    pub header: BatchHeader,
    /// One more than the last sequence before this segment. It is below `first` where numbers
    /// were given up because SQL had gone on without this journal; what the segment before holds
    /// from here on is void.
    pub follows: Sequence,
}

impl Opening {
    /// Writes an opening and returns the chain after it.
    pub fn append(tag: u32, mut header: BatchHeader, follows: Sequence, out: &mut Vec<u8>) -> u32 {
        header.count = 0;
        batch::append(tag, &header, &follows.0.to_le_bytes(), out)
    }

    /// Reads the opening out of a segment's first bytes; `None` where it was never written or is
    /// not whole.
    pub fn decode(tag: u32, prefix: &[u8]) -> Option<(Opening, u32)> {
        let at = usize::try_from(OPENING_OFFSET).expect("8,192");
        let (found, records) = batch::decode(tag, prefix.get(at..)?)?;
        let mut fields = FieldReader::new(records);
        let follows = Sequence(fields.u64()?);
        let sound = fields.is_at_end() && found.header.count == 0 && follows <= found.header.first;
        sound.then_some((Opening { header: found.header, follows }, found.crc))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::WallMs;

    const HEADER: SegmentHeader = SegmentHeader { set: SetId(7 << 90 | 1), segment: SegmentId(9) };

    fn prefix() -> Vec<u8> {
        let mut bytes = vec![0; 8_192];
        bytes[..64].copy_from_slice(&HEADER.encode());
        bytes[4_096..4_160].copy_from_slice(&HEADER.encode());
        bytes
    }

    #[test]
    fn either_header_stands_in_for_the_other() {
        assert_eq!(SegmentHeader::decode(&prefix()), Ok((HEADER, false)));
        for (byte, copy) in (0..64).flat_map(|byte| [(byte, 0), (byte, 4_096)]) {
            let mut bytes = prefix();
            bytes[copy + byte] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&bytes), Ok((HEADER, true)));
            bytes[4_096 - copy + byte] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Damaged));
        }
        assert_eq!(SegmentHeader::decode(&[]), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::decode(&prefix()[..100]), Ok((HEADER, true)));
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = prefix();
        for copy in [0, 4_096] {
            let header = &mut bytes[copy..copy + 64];
            header[8..12].copy_from_slice(&2u32.to_le_bytes());
            header[12..16].fill(0);
            let crc = crc32c::crc32c(header);
            header[12..16].copy_from_slice(&crc.to_le_bytes());
        }
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Version(2)));
    }

    #[test]
    fn names_come_back_and_others_are_no_segments() {
        let id = SegmentId(0xabc);
        assert_eq!(SegmentId::from_file_name(&id.file_name()), Some(id));
        for name in ["lock", "abc.log", "0000000000000ABC.log", "0000000000000000.log", ".log"] {
            assert_eq!(SegmentId::from_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn an_opening_comes_back_and_a_torn_one_does_not() {
        let mut bytes = prefix();
        let header = BatchHeader {
            chain: 5,
            first: Sequence(12),
            count: 0,
            durable: Sequence(11),
            newest: WallMs(3),
        };
        let crc = Opening::append(HEADER.set.tag(), header, Sequence(10), &mut bytes);
        assert_eq!(bytes.len(), PREFIX_BYTES);
        let opening = Opening { header, follows: Sequence(10) };
        assert_eq!(Opening::decode(HEADER.set.tag(), &bytes), Some((opening, crc)));
        assert_eq!(Opening::decode(HEADER.set.tag(), &bytes[..PREFIX_BYTES - 1]), None);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(Opening::decode(HEADER.set.tag(), &bytes), None);
    }
}
