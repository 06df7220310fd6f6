//! Property: a header is read alike however its bytes arrive, what stands behind it is left, and no
//! bytes are taken for a header that are none.

use proptest::prelude::*;

use super::*;

const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0xc7, 0x38, 0x01, 0xbb];

/// Version 2 with this command, family and block.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    bytes.extend(block);
    bytes
}

fn v4(values: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&V4, values].concat())
}

fn checked(values: &[u8]) -> Vec<u8> {
    let mut header = v4(&[&[3, 0, 4, 0, 0, 0, 0], values].concat());
    let sum = crc32c::crc32c(&header);
    header[FIXED_BYTES + 15..FIXED_BYTES + 19].copy_from_slice(&sum.to_be_bytes());
    header
}

/// Reads pieces one after the other; gives the source, and how many bytes of all the header has.
fn read(pieces: &[&[u8]]) -> Result<Option<(Option<SocketAddr>, usize)>, ProxyRefusal> {
    let (mut reader, mut before) = (ProxyReader::default(), 0);
    for piece in pieces {
        if let Some(header) = reader.take(piece)? {
            return Ok(Some((header.source, before + header.bytes)));
        }
        before += piece.len();
        assert_eq!(reader.has_begun(), before > 0);
    }
    Ok(None)
}

fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 80, 1, 0xbb]].concat();
    let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 7], &[0; 16], &[0, 80, 0, 80]].concat();
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    vec![
        (line("TCP4 192.0.2.7 10.0.0.1 51000 443"), Some("192.0.2.7:51000")),
        (line("TCP4 0.0.0.0 255.255.255.255 0 65535"), Some("0.0.0.0:0")),
        (line("TCP6 2001:db8::7 ::1 51000 443"), Some("[2001:db8::7]:51000")),
        (line("UNKNOWN"), None),
        (line("UNKNOWN ffff::1 anything at all 1 2"), None),
        (v4(&[]), Some("192.0.2.7:51000")),
        // A name of a server, an empty value, and one that nobody knows.
        (v4(&[2, 0, 3, b'a', b'.', b'b', 4, 0, 0, 0xee, 0, 1, 9]), Some("192.0.2.7:51000")),
        (checked(&[]), Some("192.0.2.7:51000")),
        (checked(&[4, 0, 2, 1, 2]), Some("192.0.2.7:51000")),
        (binary(0x21, 0x21, &v6), Some("[2001:db8::7]:80")),
        (binary(0x21, 0x21, &mapped), Some("192.0.2.7:80")),
        (binary(0x21, 0x31, &[0; 216]), None),
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, &[1, 2, 3]), None),
        (binary(0x20, 0x00, &[]), None),
        // What stands behind LOCAL is skipped unseen.
        (binary(0x20, 0x11, &[0xff; 5]), None),
        (binary(0x20, 0xff, &[0xff; PROXY_HEADER_BYTES_MAX - FIXED_BYTES]), None),
    ]
}

#[test]
fn a_header_is_read_at_every_split_and_what_follows_is_left() {
    for (header, source) in good() {
        let source = source.map(|text| text.parse().unwrap());
        let whole = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        let wanted = Ok(Some((source, header.len())));
        assert_eq!(read(&[&whole]), wanted, "{header:?}");
        for split in 0..=whole.len() {
            assert_eq!(read(&[&whole[..split], &whole[split..]]), wanted, "{header:?} at {split}");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(read(&bytes), wanted, "{header:?} byte by byte");
        for cut in 0..header.len() {
            assert_eq!(read(&[&header[..cut]]), Ok(None), "{header:?} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_at_every_split() {
    use ProxyRefusal::{Checksum, Malformed, Missing, TooLong};
    let line = |text: &str| format!("PROXY {text}").into_bytes();
    let mut flipped = checked(&[4, 0, 1, 1]);
    *flipped.last_mut().unwrap() ^= 1;
    let long = u16::try_from(PROXY_HEADER_BYTES_MAX - FIXED_BYTES + 1).unwrap().to_be_bytes();
    let cases = [
        (b"GET / HTTP/1.1\r\n".to_vec(), Missing),
        (b"proxy TCP4".to_vec(), Missing),
        (b"\x16\x03\x01".to_vec(), Missing),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), Missing),
        (line("TCP4 192.0.2.7 10.0.0.1 51000\r\n"), Malformed),
        (line("TCP4 192.0.2.7 10.0.0.1 51000 443 1\r\n"), Malformed),
        (line("TCP4  192.0.2.7 10.0.0.1 51000 443\r\n"), Malformed),
        (line("TCP4 192.0.2.07 10.0.0.1 51000 443\r\n"), Malformed),
        (line("TCP4 192.0.2.7 10.0.0.1 051000 443\r\n"), Malformed),
        (line("TCP4 192.0.2.7 10.0.0.1 +51000 443\r\n"), Malformed),
        (line("TCP4 192.0.2.7 10.0.0.1 65536 443\r\n"), Malformed),
        (line("TCP4 ::1 ::1 51000 443\r\n"), Malformed),
        (line("TCP4 192.0.2.7 ::1 51000 443\r\n"), Malformed),
        (line("TCP6 192.0.2.7 10.0.0.1 51000 443\r\n"), Malformed),
        (line("UDP4 192.0.2.7 10.0.0.1 51000 443\r\n"), Malformed),
        (line("unknown\r\n"), Malformed),
        (line("UNKNOWN\n"), Malformed),
        (line("UNKNOWN\r\r\n"), Malformed),
        (line("UNKNOWN \0"), Malformed),
        (line(&"UNKNOWN ".repeat(20)), TooLong),
        (binary(0x11, 0x11, &V4), Malformed),
        (binary(0x22, 0x11, &V4), Malformed),
        (binary(0x21, 0x12, &V4), Malformed),
        (binary(0x21, 0x10, &V4), Malformed),
        (binary(0x21, 0x41, &V4), Malformed),
        (binary(0x21, 0x11, &V4[..11]), Malformed),
        (binary(0x21, 0x21, &[0; 35]), Malformed),
        (binary(0x21, 0x31, &[0; 215]), Malformed),
        // A TLV that ends before its length, or behind the header.
        (v4(&[2]), Malformed),
        (v4(&[2, 0]), Malformed),
        (v4(&[2, 0, 3, 1, 2]), Malformed),
        (v4(&[3, 0, 3, 1, 2, 3]), Malformed),
        (flipped, Checksum),
        ([SIGNATURE, &[0x21, 0x11], &long].concat(), TooLong),
    ];
    for (bytes, wanted) in cases {
        assert_eq!(read(&[&bytes]), Err(wanted), "{bytes:?}");
        for split in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..split], &bytes[split..]]), Err(wanted), "{bytes:?}");
        }
    }
}

proptest! {
    /// Bytes that begin as headers do, with anything behind: read alike at any split, never beyond
    /// what has come, and never a panic.
    #[test]
    fn any_bytes_are_read_alike_at_any_split(
        begin in prop_oneof![
            Just(Vec::new()), Just(WORD.to_vec()), Just(b"PROXY TCP4 ".to_vec()),
            Just(SIGNATURE.to_vec()), Just([SIGNATURE, &[0x21, 0x11, 0]].concat()),
            Just([SIGNATURE, &[0x21, 0x21, 0]].concat()), Just(v4(&[])[..28].to_vec()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
        split in any::<prop::sample::Index>(),
    ) {
        let bytes = [begin, rest].concat();
        let whole = read(&[&bytes]);
        let split = split.index(bytes.len() + 1);
        prop_assert_eq!(&read(&[&bytes[..split], &bytes[split..]]), &whole);
        if let Ok(Some((_, used))) = whole {
            prop_assert!(used <= bytes.len());
        }
    }

    /// Any TLVs that fill the header are taken; with one byte more or less of length they are not.
    #[test]
    fn values_fill_their_header(
        values in proptest::collection::vec((4_u8.., 0_usize..200), 0..8),
    ) {
        let encoded: Vec<u8> = values.iter().flat_map(|(kind, length)| {
            let mut value = vec![*kind];
            value.extend(u16::try_from(*length).unwrap().to_be_bytes());
            value.resize(3 + length, 7);
            value
        }).collect();
        let header = v4(&encoded);
        prop_assert!(read(&[&header]).unwrap().is_some());
        if !encoded.is_empty() {
            let cut = v4(&encoded[..encoded.len() - 1]);
            prop_assert_eq!(read(&[&cut]), Err(ProxyRefusal::Malformed));
        }
    }
}
