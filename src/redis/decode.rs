//! Bytes of a connection to replies. `scan` measures a reply and holds it to its limits; a list
//! without lists is then read where it lies (`frame`), anything else is decoded by the library.
//! What is made of it borrows from the buffer.

use redis_protocol::{resp2, resp3};

use super::frame::{RespFrame, Words};
use super::scan::{FrameLimits, Malformed, Protocol, measure};

/// Gathers bytes and gives replies. Holds at most one reply that is not yet whole, and what
/// arrived behind the last one that was taken.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    protocol: Protocol,
    limits: FrameLimits,
}

impl Decoder {
    /// A decoder of the new protocol.
    pub fn new(limits: FrameLimits) -> Decoder {
        Decoder { buffer: Vec::new(), start: 0, protocol: Protocol::Resp3, limits }
    }

    /// Forgets all bytes: a new connection begins, with the new protocol.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.protocol = Protocol::Resp3;
    }

    /// From here on the connection speaks this protocol.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Appends bytes. Allocates where the buffer is too small.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole reply. Allocates only for lists that hold lists.
    ///
    /// # Errors
    /// [`Malformed`]: the connection is of no use any more.
    pub fn next_frame(&mut self) -> Result<Option<RespFrame<'_>>, Malformed> {
        let rest = &self.buffer[self.start..];
        let Some(extent) = measure(rest, self.protocol, self.limits)? else { return Ok(None) };
        let bytes = &rest[..extent.bytes];
        self.start += extent.bytes;
        match (extent.depth, bytes[0]) {
            (1, b'>') => Ok(Some(RespFrame::Push(Words::of_flat(bytes)))),
            (1, _) => Ok(Some(RespFrame::List(Words::of_flat(bytes)))),
            _ => by_library(bytes, self.protocol).map(Some),
        }
    }
}

/// The reply that these bytes are, all of them.
fn by_library(bytes: &[u8], protocol: Protocol) -> Result<RespFrame<'_>, Malformed> {
    let is_all = |end: usize| end == bytes.len();
    match protocol {
        Protocol::Resp2 => {
            let decoded = resp2::decode::decode_range(bytes).map_err(|_| Malformed)?;
            let (frame, _) = decoded.filter(|(_, end)| is_all(*end)).ok_or(Malformed)?;
            Ok(of_resp2(bytes, frame))
        }
        Protocol::Resp3 => {
            let decoded = resp3::decode::complete::decode_range(bytes);
            let decoded = decoded.map_err(|_| Malformed)?;
            let (frame, _) = decoded.filter(|(_, end)| is_all(*end)).ok_or(Malformed)?;
            of_resp3(bytes, frame)
        }
    }
}

fn of_resp2(bytes: &[u8], frame: resp2::types::RangeFrame) -> RespFrame<'_> {
    use resp2::types::RangeFrame;
    match frame {
        RangeFrame::SimpleString((from, to)) | RangeFrame::BulkString((from, to)) => {
            RespFrame::Text(&bytes[from..to])
        }
        RangeFrame::Error((from, to)) => RespFrame::Error(&bytes[from..to]),
        RangeFrame::Integer(number) => RespFrame::Int(number),
        RangeFrame::Null => RespFrame::Nil,
        RangeFrame::Array(frames) => {
            let frames: Vec<_> = frames.into_iter().map(|frame| of_resp2(bytes, frame)).collect();
            RespFrame::List(frames.into())
        }
    }
}

fn of_resp3(bytes: &[u8], frame: resp3::types::RangeFrame) -> Result<RespFrame<'_>, Malformed> {
    use resp3::types::RangeFrame;
    let all = |frames: Vec<RangeFrame>| {
        let frames = frames.into_iter().map(|frame| of_resp3(bytes, frame));
        frames.collect::<Result<Vec<_>, _>>().map(Words::from)
    };
    Ok(match frame {
        RangeFrame::BlobString { data: (from, to), .. }
        | RangeFrame::SimpleString { data: (from, to), .. }
        | RangeFrame::VerbatimString { data: (from, to), .. }
        | RangeFrame::BigNumber { data: (from, to), .. } => RespFrame::Text(&bytes[from..to]),
        RangeFrame::SimpleError { data: (from, to), .. }
        | RangeFrame::BlobError { data: (from, to), .. } => RespFrame::Error(&bytes[from..to]),
        RangeFrame::Boolean { data, .. } => RespFrame::Int(i64::from(data)),
        RangeFrame::Null => RespFrame::Nil,
        RangeFrame::Number { data, .. } => RespFrame::Int(data),
        RangeFrame::Array { data, .. } => RespFrame::List(all(data)?),
        RangeFrame::Push { data, .. } => RespFrame::Push(all(data)?),
        RangeFrame::Set { data, .. } => RespFrame::List(all(data.into_iter().collect())?),
        RangeFrame::Map { data, .. } => {
            RespFrame::List(all(data.into_iter().flat_map(|(key, value)| [key, value]).collect())?)
        }
        // `scan` lets none of these pass.
        RangeFrame::Double { .. } | RangeFrame::Hello { .. } | RangeFrame::ChunkedString(_) => {
            return Err(Malformed);
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits { bytes: 4_096, elements: 256 };

    /// Every reply of `bytes`, given in pieces, as text; the last says whether it was malformed.
    fn replies(bytes: &[u8], cuts: &[usize], protocol: Protocol) -> Vec<String> {
        let mut decoder = Decoder::new(LIMITS);
        decoder.set_protocol(protocol);
        let mut found = Vec::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts {
            decoder.push(&bytes[from..to]);
            from = to;
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => found.push(format!("{frame:?}")),
                    Ok(None) => break,
                    Err(Malformed) => {
                        found.push("malformed".to_owned());
                        return found;
                    }
                }
            }
        }
        found
    }

    #[test]
    fn each_kind_is_read() {
        let mut decoder = Decoder::new(LIMITS);
        decoder.push(b"*7\r\n$2\r\nab\r\n=6\r\ntxt:cd\r\n_\r\n#t\r\n:-7\r\n(12\r\n+\r\n");
        decoder.push(b"-ERR no\r\n%1\r\n+k\r\n:1\r\n>2\r\n+message\r\n$1\r\n\xff\r\n");
        let text = |text: &'static str| RespFrame::Text(text.as_bytes());
        let list = vec![
            text("ab"),
            text("cd"),
            RespFrame::Nil,
            RespFrame::Int(1),
            RespFrame::Int(-7),
            text("12"),
            text(""),
        ];
        assert_eq!(decoder.next_frame(), Ok(Some(RespFrame::List(list.into()))));
        assert_eq!(decoder.next_frame(), Ok(Some(RespFrame::Error(b"ERR no"))));
        let map = vec![text("k"), RespFrame::Int(1)];
        assert_eq!(decoder.next_frame(), Ok(Some(RespFrame::List(map.into()))));
        let push = vec![text("message"), RespFrame::Text(&[0xff])];
        assert_eq!(decoder.next_frame(), Ok(Some(RespFrame::Push(push.into()))));
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.set_protocol(Protocol::Resp2);
        decoder.push(b"*2\r\n$-1\r\n:3\r\n");
        let list = vec![RespFrame::Nil, RespFrame::Int(3)];
        assert_eq!(decoder.next_frame(), Ok(Some(RespFrame::List(list.into()))));
    }

    fn leaf_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            "[1-9][0-9]{18,30}".prop_map(|number| format!("({number}\r\n").into_bytes()),
            Just(b"_\r\n".to_vec()),
            Just(b"#t\r\n".to_vec()),
            Just(b"#f\r\n".to_vec()),
            "[a-z ]{0,9}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
            "[A-Z]{1,9} [a-z]{0,5}".prop_map(|text| format!("-{text}\r\n").into_bytes()),
            "[a-z]{0,9}"
                .prop_map(|text| { format!("={}\r\ntxt:{text}\r\n", text.len() + 4).into_bytes() }),
            "[A-Z ]{1,9}".prop_map(|text| format!("!{}\r\n{text}\r\n", text.len()).into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|text| {
                let mut bytes = format!("${}\r\n", text.len()).into_bytes();
                bytes.extend(text);
                bytes.extend(b"\r\n");
                bytes
            }),
        ]
    }

    fn frame_bytes() -> impl Strategy<Value = Vec<u8>> {
        let leaf = leaf_bytes();
        leaf.prop_recursive(4, 24, 5, |inner| {
            (prop_oneof![Just('*'), Just('>')], proptest::collection::vec(inner, 0..5)).prop_map(
                |(sign, parts)| {
                    let mut bytes = format!("{sign}{}\r\n", parts.len()).into_bytes();
                    bytes.extend(parts.concat());
                    bytes
                },
            )
        })
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_replies(
            frames in proptest::collection::vec(frame_bytes(), 1..6),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let bytes = frames.concat();
            let whole = replies(&bytes, &[], Protocol::Resp3);
            prop_assert_eq!(&whole, &replies(&bytes, &cuts, Protocol::Resp3));
            let each: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&whole, &replies(&bytes, &each, Protocol::Resp3));
            prop_assert_eq!(whole.len(), frames.len());
        }

        // What is read where it lies is what the library would have made of it.
        #[test]
        fn a_list_without_lists_reads_as_by_the_library(
            parts in proptest::collection::vec(leaf_bytes(), 0..6),
            sign in prop_oneof![Just('*'), Just('>'), Just('~')],
        ) {
            let mut bytes = format!("{sign}{}\r\n", parts.len()).into_bytes();
            bytes.extend(parts.concat());
            let mut decoder = Decoder::new(LIMITS);
            decoder.push(&bytes);
            let ours = decoder.next_frame();
            let by_library = by_library(&bytes, Protocol::Resp3).map(Some);
            // A set has no order; what the library makes of it has lost double elements too.
            if sign != '~' {
                prop_assert_eq!(ours, by_library);
            } else {
                prop_assert!(matches!(ours, Ok(Some(RespFrame::List(list))) if list.len() == parts.len()));
            }
        }

        // A library that stops elsewhere than `scan` would be "malformed" in one of the splits.
        #[test]
        fn hostile_bytes_end_the_same_way_however_they_are_split(
            bytes in "[-+:$*_#(=!%~>0-9a\r\n]{0,60}",
            cuts in proptest::collection::vec(any::<usize>(), 0..6),
            is_old in any::<bool>(),
        ) {
            let protocol = if is_old { Protocol::Resp2 } else { Protocol::Resp3 };
            let bytes = bytes.as_bytes();
            prop_assert_eq!(replies(bytes, &[], protocol), replies(bytes, &cuts, protocol));
        }
    }
}
