//! How commands and outcomes are written down while they wait or travel between shards. Both ends
//! are this process, so there is no version and nothing to distrust: reading what was not written
//! here panics, for memory is broken then.
//!
//! Numbers are LEB128 but for times and hashes, which are 8 bytes, little-endian; a text is its
//! length and its bytes; what may be absent has a byte before it.

use nudged_base::time::WallMs;

/// Appends a number.
pub(super) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

fn low_byte(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("seven bits")
}

/// Appends how many there are of something.
pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    put_number(u64::try_from(count).expect("a count has 64 bits"), out);
}

/// Appends bytes after their number.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a text.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_bytes(text.as_bytes(), out);
}

/// Appends a time.
pub(super) fn put_time(time: WallMs, out: &mut Vec<u8>) {
    out.extend_from_slice(&time.0.to_le_bytes());
}

/// Appends a value that may be absent.
pub(super) fn put_option<T>(
    value: Option<T>,
    out: &mut Vec<u8>,
    put: impl FnOnce(T, &mut Vec<u8>),
) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(value, out);
    }
}

/// Takes what was put off the front of its bytes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    fn fixed<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let (fixed, rest) = self.rest.split_first_chunk::<BYTES>().expect("written whole");
        self.rest = rest;
        *fixed
    }

    pub(super) fn byte(&mut self) -> u8 {
        let [byte] = self.fixed();
        byte
    }

    pub(super) fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    pub(super) fn small(&mut self) -> u32 {
        u32::try_from(self.number()).expect("written as 32 bits")
    }

    pub(super) fn count(&mut self) -> usize {
        usize::try_from(self.number()).expect("written as a count")
    }

    pub(super) fn hash(&mut self) -> u64 {
        u64::from_le_bytes(self.fixed())
    }

    pub(super) fn time(&mut self) -> WallMs {
        WallMs(i64::from_le_bytes(self.fixed()))
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let count = self.count();
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        bytes
    }

    pub(super) fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.bytes()).expect("written from a text")
    }

    pub(super) fn option<T>(&mut self, take: impl FnOnce(&mut Reader<'a>) -> T) -> Option<T> {
        (self.byte() == 1).then(|| take(self))
    }

    /// What is not read yet, in bytes.
    pub(super) fn rest_bytes(&self) -> usize {
        self.rest.len()
    }

    /// Everything was read.
    pub(super) fn end(self) {
        assert!(self.rest.is_empty(), "what was written ends here");
    }
}
