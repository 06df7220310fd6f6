//! One record has one encoding; any other bytes are refused without a panic.

use proptest::prelude::*;

use super::*;

/// A record's fields, owned, to borrow a record from.
#[derive(Clone, Debug)]
struct Owned {
    kind: u8,
    texts: [String; 5],
    revision: Revision,
    times: (i64, i64, Option<i64>),
    event_kind: u8,
    version: u32,
    blobs: (Vec<u8>, Vec<u8>),
}

impl Owned {
    /// A show that is taken back: `event_kind` says whether an entry stands again.
    fn withdrawn(&self) -> Record<'_> {
        let [user, token, popup, variant, _] = self.texts.each_ref().map(String::as_str);
        let (at, shown_at, next) = self.times;
        let entry = FormerEntry { row: &self.blobs.1, next_show_at: next.map(WallMs) };
        let has_entry = !self.blobs.1.is_empty();
        Record::Withdrawn(Withdrawn {
            user,
            revision: self.revision,
            at: WallMs(at),
            shown_at: WallMs(shown_at),
            token,
            popup,
            version: self.version,
            variant,
            clocks: &self.blobs.0,
            former: (has_entry && self.event_kind & 1 != 0).then_some(entry),
        })
    }

    fn record(&self) -> Record<'_> {
        let [user, token, popup, variant, forgotten] = self.texts.each_ref().map(String::as_str);
        let (at, acted_at, next) = self.times;
        if self.kind == KIND_WITHDRAWN {
            return self.withdrawn();
        }
        if self.kind == KIND_ERASE {
            return Record::Erase { user, revision: self.revision, at: WallMs(at) };
        }
        if self.kind == KIND_UNMERGED {
            return Record::Unmerged(Unmerged {
                user,
                at: WallMs(at),
                kind: EventKind::from_number(self.event_kind).unwrap(),
                acted_at: WallMs(acted_at),
                token,
                popup,
                version: self.version,
                variant,
                number: self.revision.epoch,
                shown_at: WallMs(at ^ acted_at),
                session: self.revision.counter,
                is_of_local: self.event_kind != 0 && self.version % 2 == 1,
            });
        }
        Record::Impression(Impression {
            user,
            revision: self.revision,
            at: WallMs(at),
            kind: EventKind::from_number(self.event_kind).unwrap(),
            acted_at: WallMs(acted_at),
            token,
            popup,
            version: self.version,
            variant,
            clocks: &self.blobs.0,
            row: &self.blobs.1,
            next_show_at: next.map(WallMs),
            forgotten,
        })
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let texts = ["[a-zü]{1,60}", "[a-z.]{0,300}", "[a-z-]{1,64}", "[a-z]{0,64}", "[a-z]{0,64}"];
    (
        KIND_IMPRESSION..=KIND_WITHDRAWN,
        texts,
        (any::<u32>(), any::<u64>()),
        any::<(i64, i64, Option<i64>)>(),
        0u8..6,
        any::<u32>(),
        (
            proptest::collection::vec(any::<u8>(), 0..64),
            proptest::collection::vec(any::<u8>(), 0..400),
        ),
    )
        .prop_map(|(kind, texts, (epoch, counter), times, event_kind, version, blobs)| Owned {
            kind,
            texts,
            revision: Revision { epoch, counter },
            times,
            event_kind,
            version,
            blobs,
        })
}

proptest! {
    #[test]
    fn what_is_appended_comes_back(records in proptest::collection::vec(owned(), 1..8)) {
        let mut bytes = Vec::new();
        let lengths: Vec<_> = records.iter().map(|r| append(&r.record(), &mut bytes)).collect();
        prop_assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
        let mut walked = frames(&bytes);
        for (record, length) in records.iter().zip(lengths) {
            let frame = walked.next().unwrap().unwrap();
            prop_assert_eq!(frame.framed_bytes(), length);
            prop_assert_eq!(frame.at(), record.record().at());
            prop_assert_eq!(frame.record().unwrap(), record.record());
        }
        prop_assert!(walked.next().is_none());
    }

    #[test]
    fn a_changed_byte_is_another_record_or_none(
        record in owned(), at in any::<prop::sample::Index>(), flip in 1u8..=255,
    ) {
        let mut bytes = Vec::new();
        append(&record.record(), &mut bytes);
        let index = at.index(bytes.len());
        bytes[index] ^= flip;
        for frame in frames(&bytes) {
            let Ok(Ok(found)) = frame.map(|frame| frame.record()) else { continue };
            prop_assert_ne!(found, record.record());
        }
    }

    #[test]
    fn no_bytes_panic_and_what_decodes_has_this_one_encoding(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 0u8..6,
        short in 0u8..8,
    ) {
        if bytes.len() > USER_OFFSET {
            bytes[0] = kind;
            bytes[USER_OFFSET] = short;
        }
        if let Ok(record) = decode(&bytes) {
            let mut again = Vec::new();
            append(&record, &mut again);
            prop_assert_eq!(&again[2..], &bytes[..]);
        }
        for frame in frames(&bytes).flatten() {
            let _ = (frame.at(), frame.record());
        }
    }
}

fn longest() -> Owned {
    Owned {
        kind: KIND_IMPRESSION,
        texts: [128, 512, 64, 64, 64].map(|length| "x".repeat(length)),
        revision: Revision { epoch: u32::MAX, counter: u64::MAX },
        times: (i64::MIN, i64::MAX, Some(0)),
        event_kind: 5,
        version: u32::MAX,
        blobs: (vec![1; 64], vec![2; 1_024]),
    }
}

/// The longest one of a show that is taken back: all that it may carry is there.
fn longest_withdrawn() -> Owned {
    Owned { kind: KIND_WITHDRAWN, event_kind: 1, ..longest() }
}

#[test]
fn the_longest_record_fits_and_each_text_has_its_limit() {
    for longest in [longest, longest_withdrawn] {
        let record = longest();
        let mut bytes = Vec::new();
        append(&record.record(), &mut bytes);
        assert_eq!(decode(&bytes[2..]).unwrap(), record.record());
        let texts = if record.kind == KIND_WITHDRAWN { 4 } else { 5 };
        for text in 0..texts {
            let mut longer = longest();
            longer.texts[text].push('x');
            let appended = std::panic::catch_unwind(|| append(&longer.record(), &mut Vec::new()));
            assert!(appended.is_err(), "text {text} has a limit");
        }
        let mut empty = longest();
        empty.texts[0].clear();
        assert!(std::panic::catch_unwind(|| append(&empty.record(), &mut Vec::new())).is_err());
    }
}

#[test]
fn a_withdrawn_show_has_one_encoding_of_what_stands_again() {
    // (what stands again, bytes behind the clocks)
    let next = [&[1_u8][..], &7_i64.to_le_bytes()].concat();
    let cases: [(u8, Vec<u8>); 2] =
        [(0, vec![0, 0, 0]), (1, [&[2, 0, 5, 5][..], &next, &[0]].concat())];
    let owned = |event_kind| Owned {
        kind: KIND_WITHDRAWN,
        texts: ["u", "t", "p", "v", "q"].map(str::to_owned),
        revision: Revision { epoch: 1, counter: 2 },
        times: (3, 4, Some(7)),
        event_kind,
        version: 9,
        blobs: (vec![6], vec![5, 5]),
    };
    for (event_kind, tail) in &cases {
        let mut bytes = Vec::new();
        append(&owned(*event_kind).record(), &mut bytes);
        assert!(bytes.ends_with(tail), "{event_kind}: {bytes:?}");
    }
    // Any other way to say it is refused: a time of an entry that is absent, a byte more or less, a
    // name that is not there.
    let mut bytes = Vec::new();
    append(&owned(0).record(), &mut bytes);
    let head = &bytes[2..bytes.len() - 3];
    let others: [&[u8]; 5] = [
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0],
        &[0, 0, 1],
        &[0, 0, 0, 0],
        &[1, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for other in others {
        let found = decode(&[head, other].concat()).map(|_| ());
        assert_eq!(found, Err(RecordError::Malformed), "{other:?}");
    }
    // But records of before, which put a popup back: it is passed over.
    let put_back: [&[u8]; 3] = [&[0, 0, 1, b'q', 63, 2, 0, 5, 5], &next, &[]];
    let before = [head, &put_back.concat()].concat();
    assert_eq!(decode(&before), Ok(owned(0).record()));
    let short = [head, &put_back.concat()[..5]].concat();
    assert_eq!(decode(&short), Err(RecordError::Malformed));
}

#[test]
fn malformed_records_are_refused_by_name() {
    let mut bytes = Vec::new();
    append(&longest().record(), &mut bytes);
    let mut good = bytes.split_off(2);
    assert_eq!(decode(&[]), Err(RecordError::Frame));
    assert_eq!(decode(&vec![1; RECORD_BYTES_MAX + 1]), Err(RecordError::Frame));
    assert_eq!(decode(&good[..good.len() - 1]), Err(RecordError::Malformed));
    good.push(0);
    assert_eq!(decode(&good), Err(RecordError::Malformed));
    good.pop();
    good[0] = KIND_WITHDRAWN + 1;
    assert_eq!(decode(&good), Err(RecordError::Kind));
    good[0] = KIND_IMPRESSION;
    good[USER_OFFSET + 1] = 0xff;
    assert_eq!(decode(&good), Err(RecordError::Malformed), "a user is UTF-8");
    let mut frame = frames(&[5, 0, 1, 2, 3, 4, 5]);
    assert_eq!(frame.next(), Some(Err(RecordError::Frame)), "shorter than any record");
    assert_eq!(frame.next(), None);
}
