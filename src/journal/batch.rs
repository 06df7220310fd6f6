//! Batches: what one write puts into a segment. Header and records are covered by a CRC32C that is
//! seeded with the CRC of the batch before (its `chain`), so that a batch proves its place, and
//! stale data never looks like a next one. The chain is stored too: a batch behind a damaged one
//! can still prove itself.
//!
//! ```text
//! 0 tag u32 | 4 length u32 | 8 chain u32 | 12 crc u32 | 16 first u64 | 24 durable u64
//! 32 newest i64 | 40 count u32 | 44 zero u32 | 48 records | zeros to the next multiple of 8
//! ```
//!
//! Limits: [`BATCH_BYTES_MAX`] bytes of records; a length is capped before it is believed.

use super::bytes::FieldReader;
use nudged_base::ids::Sequence;
use nudged_base::limits::BATCH_BYTES_MAX;
use nudged_base::time::WallMs;

/// Bytes of a batch header.
pub const HEADER_BYTES: usize = 48;
/// Batches begin at multiples of this many bytes.
pub(crate) const ALIGNMENT: usize = 8;
/// Longest batch in bytes, header and padding included.
pub(crate) const ENCODED_BYTES_MAX: usize = HEADER_BYTES + BATCH_BYTES_MAX;

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The CRC of the batch before.
    pub chain: u32,
    /// The first record's sequence.
    pub first: Sequence,
    /// How many records it holds; 0 for an opening.
    pub count: u32,
    /// Everything up to here was synced when this batch was made.
    pub durable: Sequence,
    /// The newest time of any record so far.
    pub newest: WallMs,
}

impl BatchHeader {
    /// The sequence after this batch's last record.
    pub fn end(&self) -> Sequence {
        Sequence(self.first.0.saturating_add(u64::from(self.count)))
    }
}

/// A batch that was found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundBatch {
    /// What it says.
    pub header: BatchHeader,
    /// Its CRC: the chain of the batch after it.
    pub crc: u32,
    /// Its bytes with header and padding: the next batch begins behind them.
    pub encoded_bytes: usize,
}

/// Bytes of a batch of `record_bytes` bytes of records, header and padding included.
pub fn encoded_bytes(record_bytes: usize) -> usize {
    HEADER_BYTES + record_bytes.next_multiple_of(ALIGNMENT)
}

/// Appends a batch and returns its CRC. Allocates only where `out` must grow.
///
/// # Panics
/// Where `records` are more than [`BATCH_BYTES_MAX`].
pub fn append(tag: u32, header: &BatchHeader, records: &[u8], out: &mut Vec<u8>) -> u32 {
    assert!(records.len() <= BATCH_BYTES_MAX, "a batch closes at 64 KiB");
    assert!(tag != 0, "0 is empty space");
    let start = out.len();
    let length = u32::try_from(records.len()).expect("64 KiB fit in 32 bits");
    out.extend_from_slice(&tag.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&header.chain.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.first.0.to_le_bytes());
    out.extend_from_slice(&header.durable.0.to_le_bytes());
    out.extend_from_slice(&header.newest.0.to_le_bytes());
    out.extend_from_slice(&header.count.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(records);
    let crc = checksum(header.chain, &out[start..]);
    out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + encoded_bytes(records.len()), 0);
    crc
}

/// Tag, length, and everything behind the CRC, seeded with the chain.
fn checksum(chain: u32, batch: &[u8]) -> u32 {
    let seeded = crc32c::crc32c_append(chain, &batch[..8]);
    crc32c::crc32c_append(seeded, &batch[16..])
}

/// Reads the batch at the begin of `bytes` with its records; `None` where none is whole there.
/// That it follows the one before is the caller's to check: `chain` and `first`. Never panics,
/// never reads behind the batch, does not allocate.
pub fn decode(tag: u32, bytes: &[u8]) -> Option<(FoundBatch, &[u8])> {
    let mut fields = FieldReader::new(bytes);
    if fields.u32()? != tag {
        return None;
    }
    let length = usize::try_from(fields.u32()?).ok().filter(|n| *n <= BATCH_BYTES_MAX)?;
    let (chain, crc) = (fields.u32()?, fields.u32()?);
    let first = Sequence(fields.u64()?);
    let durable = Sequence(fields.u64()?);
    let newest = WallMs(fields.i64()?);
    let count = fields.u32()?;
    let zero = fields.u32()?;
    let records = fields.take(length)?;
    let padding = fields.take(length.next_multiple_of(ALIGNMENT) - length)?;
    let header = BatchHeader { chain, first, count, durable, newest };
    let sound = zero == 0 && padding.iter().all(|byte| *byte == 0) && durable < first;
    if !sound || checksum(chain, &bytes[..HEADER_BYTES + length]) != crc {
        return None;
    }
    Some((FoundBatch { header, crc, encoded_bytes: encoded_bytes(length) }, records))
}

/// Offset of the next whole batch at or behind `from`, whatever its chain: for what comes after
/// damage. Does not allocate.
pub fn scan(tag: u32, bytes: &[u8], from: usize) -> Option<(usize, FoundBatch)> {
    let mut offset = from.next_multiple_of(ALIGNMENT);
    let mark = tag.to_le_bytes();
    while let Some(words) = bytes.get(offset..) {
        let (chunks, _) = words.as_chunks::<ALIGNMENT>();
        let index = chunks.iter().position(|word| word[..4] == mark)?;
        offset += index * ALIGNMENT;
        if let Some((found, _)) = decode(tag, &bytes[offset..]) {
            return Some((offset, found));
        }
        offset += ALIGNMENT;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: u32 = 0x1234_5678;

    fn header(chain: u32, first: u64, count: u32) -> BatchHeader {
        let durable = Sequence(first - 1);
        BatchHeader { chain, first: Sequence(first), count, durable, newest: WallMs(-5) }
    }

    #[test]
    fn batches_chain_and_stale_ones_do_not() {
        let mut bytes = Vec::new();
        let one = append(TAG, &header(77, 1, 2), b"records", &mut bytes);
        let second = bytes.len();
        append(TAG, &header(one, 3, 1), &[9; BATCH_BYTES_MAX], &mut bytes);
        let (found, records) = decode(TAG, &bytes).unwrap();
        assert_eq!((found.header, found.crc, records), (header(77, 1, 2), one, &b"records"[..]));
        assert_eq!(found.encoded_bytes, second);
        assert_eq!(found.header.end(), Sequence(3));
        let (next, records) = decode(TAG, &bytes[second..]).unwrap();
        assert_eq!((next.header.chain, records.len()), (found.crc, BATCH_BYTES_MAX));
        assert_eq!(next.encoded_bytes, ENCODED_BYTES_MAX);
        assert!(decode(TAG + 1, &bytes).is_none(), "of another set");
    }

    #[test]
    fn a_length_is_capped_before_it_is_believed() {
        let mut bytes = Vec::new();
        append(TAG, &header(0, 1, 1), b"x", &mut bytes);
        let longer = u32::try_from(BATCH_BYTES_MAX + 1).unwrap();
        bytes[4..8].copy_from_slice(&longer.to_le_bytes());
        bytes.resize(2 * BATCH_BYTES_MAX, 0);
        let crc = checksum(0, &bytes[..HEADER_BYTES + BATCH_BYTES_MAX + 1]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert!(decode(TAG, &bytes).is_none());
    }

    #[test]
    fn a_scan_finds_what_comes_after_damage() {
        let mut bytes = vec![0; 64];
        bytes[8..12].copy_from_slice(&TAG.to_le_bytes());
        let crc = append(TAG, &header(1, 5, 1), b"one", &mut bytes);
        let second = bytes.len();
        append(TAG, &header(crc, 6, 1), b"two", &mut bytes);
        assert_eq!(scan(TAG, &bytes, 0).unwrap().0, 64);
        assert_eq!(scan(TAG, &bytes, 65).unwrap().0, second);
        bytes[70] ^= 1;
        assert_eq!(scan(TAG, &bytes, 0).unwrap().1.header.first, Sequence(6));
        assert_eq!(scan(TAG, &bytes, second + 1), None);
        assert_eq!(scan(TAG, &bytes, bytes.len() + 100), None);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(
            records in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut bytes = Vec::new();
            append(TAG, &header(3, 9, 4), &records, &mut bytes);
            let index = at.index(bytes.len());
            bytes[index] ^= 1 << bit;
            prop_assert!(decode(TAG, &bytes).is_none());
        }

        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(mark) = bytes.get_mut(..4) {
                mark.copy_from_slice(&TAG.to_le_bytes());
            }
            prop_assert!(decode(TAG, &bytes).is_none());
            prop_assert!(scan(TAG, &bytes, 0).is_none());
        }
    }
}
