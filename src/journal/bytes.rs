//! Little-endian fields out of bytes that nobody vouches for: every read is checked, none panics.

/// A cursor over bytes. Every read that would leave them gives `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    /// Starts at the first of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: bytes }
    }

    /// Whether every byte was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    /// One byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, signed.
    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Sixteen bytes as a number.
    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// UTF-8 text behind a length of one byte; `longest` bytes at most.
    pub(super) fn short_text(&mut self, longest: usize) -> Option<&'a str> {
        let length = usize::from(self.u8()?);
        self.text(length, longest)
    }

    /// UTF-8 text behind a length of two bytes; `longest` bytes at most.
    pub(super) fn long_text(&mut self, longest: usize) -> Option<&'a str> {
        let length = usize::from(self.u16()?);
        self.text(length, longest)
    }

    /// Bytes behind a length of two bytes.
    pub(super) fn blob(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    fn text(&mut self, length: usize, longest: usize) -> Option<&'a str> {
        if length > longest {
            return None;
        }
        std::str::from_utf8(self.take(length)?).ok()
    }
}
