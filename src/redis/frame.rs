//! A reply, and the elements of a list in it. Nearly every reply is a short list without lists in
//! it; it is read where it lies, element by element, since `scan` has walked it already: a tenth of
//! the time that the library takes, and no allocation. Must not see bytes that `scan` has not
//! measured.

/// A reply, borrowed from the bytes it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RespFrame<'a> {
    /// No value.
    Nil,
    /// A number; 1 and 0 for true and false.
    Int(i64),
    /// A text: simple, bulk or verbatim, or a number beyond 64 bits.
    Text(&'a [u8]),
    /// An error, without its sign.
    Error(&'a [u8]),
    /// An array or set; of a map its keys, each followed by its value, in any order.
    List(Words<'a>),
    /// What nobody asked for: a change that is published, a subscription that is confirmed.
    Push(Words<'a>),
}

/// The elements of a list, in order; of a map its keys, each followed by its value.
#[derive(Clone)]
pub struct Words<'a>(WordsSource<'a>);

#[derive(Clone)]
enum WordsSource<'a> {
    /// So many elements without lists, in these bytes.
    Flat(usize, &'a [u8]),
    /// Decoded by the library.
    Decoded(Vec<RespFrame<'a>>),
}

impl<'a> Words<'a> {
    /// The elements of the list that these bytes are, all of them and nothing behind; `scan` has
    /// found that no list is in it. Does not allocate.
    pub(super) fn of_flat(list: &'a [u8]) -> Words<'a> {
        let (line, elements) = take_line(&list[1..]);
        let count = number(line).and_then(|count| usize::try_from(count).ok());
        let count = count.expect("scan has read the count");
        Words(WordsSource::Flat(if list[0] == b'%' { 2 * count } else { count }, elements))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            WordsSource::Flat(count, _) => *count,
            WordsSource::Decoded(frames) => frames.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each element. Allocates only for lists that hold lists.
    pub fn iter(&self) -> impl Iterator<Item = RespFrame<'a>> + '_ {
        let (mut rest, decoded): (&'a [u8], _) = match &self.0 {
            WordsSource::Flat(_, bytes) => (bytes, [].iter()),
            WordsSource::Decoded(frames) => (&[], frames.iter()),
        };
        let mut decoded = decoded;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return decoded.next().cloned();
            }
            let (frame, behind) = take_element(rest);
            rest = behind;
            Some(frame)
        })
    }

    /// The elements, if there are exactly `N`. Allocates only for lists that hold lists.
    pub fn array<const N: usize>(&self) -> Option<[RespFrame<'a>; N]> {
        if self.len() != N {
            return None;
        }
        let mut words = self.iter();
        Some(std::array::from_fn(|_| words.next().expect("there are as many")))
    }
}

impl<'a> From<Vec<RespFrame<'a>>> for Words<'a> {
    fn from(frames: Vec<RespFrame<'a>>) -> Words<'a> {
        Words(WordsSource::Decoded(frames))
    }
}

impl std::fmt::Debug for Words<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Words<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Words<'_> {}

/// The number of a line: decimal digits, perhaps behind a minus; `None` where it is none, or beyond
/// 64 bits.
pub(super) fn number(line: &[u8]) -> Option<i64> {
    let (sign, digits) = match line {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i64, |total, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        total.checked_mul(10)?.checked_add(sign * digit)
    })
}

/// The line that these bytes begin with, and what is behind its end.
fn take_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\r', bytes).expect("scan has seen the line's end");
    (&bytes[..end], &bytes[end + 2..])
}

/// The element that these bytes begin with, and what is behind it.
fn take_element(bytes: &[u8]) -> (RespFrame<'_>, &[u8]) {
    let (line, behind) = take_line(&bytes[1..]);
    let as_number = || number(line).expect("scan has read the number");
    match bytes[0] {
        b'+' | b'(' => (RespFrame::Text(line), behind),
        b'-' => (RespFrame::Error(line), behind),
        b':' => (RespFrame::Int(as_number()), behind),
        b'#' => (RespFrame::Int(i64::from(line == b"t")), behind),
        kind @ (b'$' | b'=' | b'!') => {
            // The old protocol's nil is a length below 0.
            let Ok(length) = usize::try_from(as_number()) else { return (RespFrame::Nil, behind) };
            let text = &behind[..length];
            let frame = match kind {
                b'!' => RespFrame::Error(text),
                // Behind `txt:` and the like.
                b'=' => RespFrame::Text(&text[4..]),
                _ => RespFrame::Text(text),
            };
            (frame, &behind[length + 2..])
        }
        // `_`, and the old protocol's nil of a list.
        _ => (RespFrame::Nil, behind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_and_have_64_bits() {
        for (line, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("1x", None),
        ] {
            assert_eq!(number(line.as_bytes()), value, "{line:?}");
        }
    }

    #[test]
    fn an_array_has_exactly_as_many() {
        let words = Words::of_flat(b"*2\r\n:1\r\n$-1\r\n");
        assert_eq!(words.array(), Some([RespFrame::Int(1), RespFrame::Nil]));
        assert_eq!((words.array::<1>(), words.array::<3>()), (None, None));
        assert!(!words.is_empty() && Words::of_flat(b"*0\r\n").is_empty());
        assert_eq!(words, Words::from(vec![RespFrame::Int(1), RespFrame::Nil]));
        assert_eq!(format!("{words:?}"), "[Int(1), Nil]");
    }
}
