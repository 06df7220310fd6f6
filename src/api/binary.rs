//! How commands and outcomes are written down while they wait or travel between shards. Both ends
//! are this process, so there is no version and nothing to distrust: reading what was not written
//! here panics, for memory is broken then.
//!
//! Counts and small numbers are LEB128, times and hashes 8 bytes, little-endian; a list is its
//! count and its elements, a text its bytes; what may be absent has a byte before it, and of
//! several kinds one stands with its number before it. A struct is its fields, in the order of its
//! table.

use bumpalo::Bump;

use nudged_base::time::WallMs;

/// What can be written down and read back.
pub(super) trait Binary<'a>: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes it off the front; its texts lie in what is read, its lists in the reader's scratch.
    fn take(reader: &mut Reader<'a>) -> Self;
}

/// A struct, by its fields.
macro_rules! binary_struct {
    ($Type:ty { $($field:ident),+ }) => {
        impl<'a> Binary<'a> for $Type {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)+
            }

            fn take(reader: &mut Reader<'a>) -> $Type {
                Self { $($field: Binary::take(reader)),+ }
            }
        }
    };
}

/// An enum, by its cases and their numbers.
macro_rules! binary_enum {
    ($Type:ty {
        $($kind:tt => $Case:ident $(($inner:ident))? $({ $($field:ident),+ })?,)+
    }) => {
        impl<'a> Binary<'a> for $Type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$Case $(($inner))? $({ $($field),+ })? => {
                        out.push($kind);
                        $($inner.put(out);)?
                        $($($field.put(out);)+)?
                    })+
                }
            }

            fn take(reader: &mut Reader<'a>) -> $Type {
                match u8::take(reader) {
                    $($kind => {
                        $(let $inner = Binary::take(reader);)?
                        Self::$Case $(($inner))? $({ $($field: Binary::take(reader)),+ })?
                    })+
                    other => unreachable!("{other} is no kind of {}", stringify!($Type)),
                }
            }
        }
    };
}

/// A case is its place in the table `ALL` of its type.
macro_rules! binary_table {
    ($Type:ty) => {
        impl $crate::binary::Binary<'_> for $Type {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }

            fn take(reader: &mut $crate::binary::Reader<'_>) -> $Type {
                <$Type>::ALL[usize::from(<u8 as $crate::binary::Binary>::take(reader))]
            }
        }
    };
}

pub(super) use {binary_enum, binary_struct, binary_table};

/// What is read from the front of its bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    bump: &'a Bump,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], bump: &'a Bump) -> Reader<'a> {
        Reader { rest: bytes, bump }
    }

    /// Takes this many bytes.
    pub(super) fn fixed<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let (fixed, rest) = self.rest.split_first_chunk::<BYTES>().expect("written whole");
        self.rest = rest;
        *fixed
    }

    /// Reads a value that is all there is.
    pub(super) fn whole<T: Binary<'a>>(mut self) -> T {
        let value = T::take(&mut self);
        assert!(self.rest.is_empty(), "what was written ends here");
        value
    }
}

impl Binary<'_> for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(reader: &mut Reader<'_>) -> u8 {
        let [byte] = reader.fixed();
        byte
    }
}

impl Binary<'_> for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(reader: &mut Reader<'_>) -> bool {
        u8::take(reader) == 1
    }
}

impl Binary<'_> for usize {
    fn put(&self, out: &mut Vec<u8>) {
        let low = |number: usize| u8::try_from(number & 0x7f).expect("seven bits");
        let mut number = *self;
        while number >= 0x80 {
            out.push(low(number) | 0x80);
            number >>= 7;
        }
        out.push(low(number));
    }

    fn take(reader: &mut Reader<'_>) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = u8::take(reader);
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }
}

impl Binary<'_> for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        usize::try_from(*self).expect("64 bits hold it").put(out);
    }

    fn take(reader: &mut Reader<'_>) -> u32 {
        u32::try_from(usize::take(reader)).expect("written as 32 bits")
    }
}

/// A hash: its bits are as likely high as low.
impl Binary<'_> for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> u64 {
        u64::from_le_bytes(reader.fixed())
    }
}

impl Binary<'_> for WallMs {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> WallMs {
        WallMs(i64::from_le_bytes(reader.fixed()))
    }
}

impl<'a> Binary<'a> for &'a str {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(reader: &mut Reader<'a>) -> &'a str {
        let count = usize::take(reader);
        let (bytes, rest) = reader.rest.split_at(count);
        reader.rest = rest;
        std::str::from_utf8(bytes).expect("written from a text")
    }
}

impl<'a, T: Binary<'a>> Binary<'a> for &'a [T] {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(reader: &mut Reader<'a>) -> &'a [T] {
        let count = usize::take(reader);
        let bump = reader.bump;
        bump.alloc_slice_fill_with(count, |_| T::take(reader))
    }
}

impl<'a, T: Binary<'a>> Binary<'a> for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(reader: &mut Reader<'a>) -> Option<T> {
        bool::take(reader).then(|| T::take(reader))
    }
}

impl<'a, A: Binary<'a>, B: Binary<'a>> Binary<'a> for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(reader: &mut Reader<'a>) -> (A, B) {
        (A::take(reader), B::take(reader))
    }
}

impl<'a, T: Binary<'a>, E: Binary<'a>> Binary<'a> for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn take(reader: &mut Reader<'a>) -> Result<T, E> {
        if bool::take(reader) { Ok(T::take(reader)) } else { Err(E::take(reader)) }
    }
}
