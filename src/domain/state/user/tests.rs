//! A state survives its stored form, has one stored form only, and no bytes harm its reader.

use proptest::prelude::*;

use super::*;
use nudged_base::limits::{RECORD_BYTES_MAX, STATE_BYTES_MAX, USER_POPUPS_MAX};

const NOON: WallMs = WallMs(1_767_614_400_000);

/// One popup, shown once in a session: the common case, and the golden bytes.
fn shown_once() -> UserState {
    let mut popup = PopupState::empty(PopupKey(0x0123_4567_89ab_cdef));
    popup.shows_total = 1;
    popup.shows_used = 1;
    popup.shows[0] = Show { at: NOON, number: 1, actions: 0 };
    let clocks = UserClocks {
        last_counted_at: Some(NOON),
        day_shows: 1,
        session: 0xfedc_ba98_7654_3210,
        session_shows: 1,
        erased_at: None,
    };
    UserState { revision: Revision { epoch: 0, counter: 1 }, clocks, popups: vec![popup] }
}

fn keyed(mut popup: PopupState, key: u64) -> PopupState {
    popup.popup = PopupKey(key);
    popup
}

fn encoded(state: &UserState) -> Vec<u8> {
    let mut out = Vec::new();
    encode(state, &mut out);
    out
}

// Stored: another layout needs another version.
#[test]
fn golden_bytes() {
    let mut want = vec![1, 0, 1, 3];
    want.extend([0x80, 0x98, 0xba, 0xe0, 0xf1, 0x66, 1]);
    want.extend([0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 1]);
    want.extend([1, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 1, 0x08]);
    want.extend([0, 0x80, 0x98, 0xba, 0xe0, 0xf1, 0x66]);
    assert_eq!(encoded(&shown_once()), want);
    assert!(want.len() <= 48, "a user with one popup shown once is small");
    assert_eq!(encoded(&UserState::default()), [1, 0, 0, 0, 0]);
    let clocks = UserClocks { erased_at: Some(NOON), ..UserClocks::default() };
    let revision = Revision { epoch: 0, counter: 2 };
    let erased = UserState { revision, clocks, popups: Vec::new() };
    let want = [1, 0, 2, 4, 0x80, 0x98, 0xba, 0xe0, 0xf1, 0x66, 0];
    assert_eq!(encoded(&erased), want, "a tombstone");
}

#[test]
fn the_fullest_state_and_row_are_within_their_limits() {
    let mut popup = PopupState::empty(PopupKey(u64::MAX));
    popup.shows_total = 7;
    popup.outcome = Some(ShowOutcome::Converted);
    popup.outcome_at = WallMs(i64::MIN);
    popup.shows_used = 16;
    for (index, show) in popup.shows.iter_mut().enumerate() {
        let at = WallMs(if index % 2 == 0 { i64::MIN } else { 0 });
        *show = Show { at, number: u32::MAX, actions: 0x1f };
    }
    let mut row = Vec::new();
    encode_popup(&popup, &mut row);
    assert!(row.len() <= SHOWS_REMEMBERED_MAX * 16 + 64, "{}", row.len());
    assert!(row.len() < RECORD_BYTES_MAX);
    let revision = Revision { epoch: u32::MAX, counter: u64::MAX };
    let clocks = UserClocks {
        last_counted_at: Some(WallMs(i64::MIN)),
        day_shows: u32::MAX,
        session: u64::MAX,
        session_shows: u32::MAX,
        erased_at: Some(WallMs(i64::MIN)),
    };
    let popups = (0..USER_POPUPS_MAX as u64).map(|key| keyed(popup, u64::MAX - key)).collect();
    let state = UserState { revision, clocks, popups };
    assert!(encoded(&state).len() <= STATE_BYTES_MAX);
    let mut back = UserState::default();
    decode(&encoded(&state), &mut back).unwrap();
    assert_eq!(back, state);
}

#[test]
fn what_is_not_an_encoding_is_refused_by_name() {
    let good = encoded(&shown_once());
    let changed = |index: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[index] = byte;
        bytes
    };
    let longer = |tail: &[u8]| [good.as_slice(), tail].concat();
    let twice = {
        let mut bytes = changed(20, 2);
        bytes.extend_from_slice(&good[21..]);
        bytes
    };
    let many = [&[1, 0, 0, 0][..], &[65]].concat();
    let table = [
        (vec![], StateError::Truncated),
        (good[..good.len() - 1].to_vec(), StateError::Truncated),
        (longer(&[0]), StateError::TrailingBytes),
        (changed(0, 2), StateError::UnknownVersion(2)),
        (changed(0, 0), StateError::UnknownVersion(0)),
        (changed(3, 2), StateError::OutOfRange),
        (changed(3, 6), StateError::OutOfRange),
        (changed(3, 8), StateError::OutOfRange),
        (changed(30, 0x00), StateError::OutOfRange),
        (changed(30, 0x0d), StateError::OutOfRange),
        (changed(30, 17 << 3), StateError::TooMany),
        (changed(31, 0x40), StateError::OutOfRange),
        (vec![1, 0x80, 0, 0, 0, 0], StateError::OutOfRange),
        (many, StateError::TooMany),
        (twice, StateError::RepeatedPopup),
    ];
    for (bytes, want) in table {
        let mut state = shown_once();
        assert_eq!(decode(&bytes, &mut state), Err(want), "{bytes:?}");
        assert_eq!(state, UserState::default(), "a refused state leaves nothing behind");
    }
}

#[test]
fn a_decode_uses_the_memory_it_is_given() {
    let bytes = encoded(&shown_once());
    let mut state = UserState::default();
    decode(&bytes, &mut state).unwrap();
    let place = state.popups.as_ptr();
    decode(&bytes, &mut state).unwrap();
    assert_eq!(state.popups.as_ptr(), place);
}

fn any_time() -> impl Strategy<Value = WallMs> {
    prop_oneof![3 => (0..86_400_000i64).prop_map(|ms| WallMs(NOON.0 + ms)), 1 => any::<i64>().prop_map(WallMs)]
}

prop_compose! {
    fn any_popup()(
        key in any::<u64>(),
        shows_total in prop_oneof![1..40u32, any::<u32>()],
        outcome in 0..5usize,
        outcome_at in any_time(),
        shows in prop::collection::vec((any_time(), any::<u32>(), 0..32u8, any::<bool>()), 1..=16),
    ) -> PopupState {
        let outcomes =
            [ShowOutcome::Ignored, ShowOutcome::Dismissed, ShowOutcome::Clicked, ShowOutcome::Converted];
        let mut popup = PopupState::empty(PopupKey(key));
        popup.shows_total = shows_total;
        popup.outcome = outcome.checked_sub(1).map(|index| outcomes[index]);
        popup.outcome_at = if popup.outcome.is_some() { outcome_at } else { WallMs::default() };
        popup.shows_used = u8::try_from(shows.len()).unwrap();
        for (index, (at, number, actions, in_turn)) in shows.iter().copied().enumerate() {
            let turn = shows_total
                .wrapping_sub(u32::from(popup.shows_used))
                .wrapping_add(u32::try_from(index).unwrap() + 1);
            popup.shows[index] = Show { at, number: if in_turn { turn } else { number }, actions };
        }
        popup
    }
}

prop_compose! {
    fn any_clocks()(
        last_counted_at in prop::option::of(any_time()),
        day_shows in any::<u32>(),
        session in prop_oneof![Just(0), any::<u64>()],
        session_shows in any::<u32>(),
        erased_at in prop::option::of(any_time()),
    ) -> UserClocks {
        let erased = UserClocks { erased_at, ..UserClocks::default() };
        match last_counted_at {
            None => erased,
            Some(_) if session == 0 => UserClocks { last_counted_at, day_shows, ..erased },
            Some(_) => UserClocks { last_counted_at, day_shows, session, session_shows, erased_at },
        }
    }
}

prop_compose! {
    fn any_state()(
        epoch in any::<u32>(),
        counter in any::<u64>(),
        clocks in any_clocks(),
        popups in prop::collection::hash_map(any::<u64>(), any_popup(), 0..8),
    ) -> UserState {
        let popups = popups
            .into_iter()
            .map(|(key, popup)| keyed(popup, key))
            .collect();
        UserState { revision: Revision { epoch, counter }, clocks, popups }
    }
}

proptest! {
    #[test]
    fn a_state_survives_its_encoding(state in any_state(), mut scratch in any_state()) {
        decode(&encoded(&state), &mut scratch).unwrap();
        prop_assert_eq!(&scratch, &state);
        for popup in &state.popups {
            let mut out = Vec::new();
            encode_popup(popup, &mut out);
            prop_assert_eq!(decode_popup(&out), Ok(*popup));
            out.push(0);
            prop_assert_eq!(decode_popup(&out), Err(StateError::TrailingBytes));
        }
        let mut out = Vec::new();
        encode_clocks(&state.clocks, &mut out);
        prop_assert_eq!(decode_clocks(&out), Ok(state.clocks));
        out.pop();
        prop_assert_eq!(decode_clocks(&out), Err(StateError::Truncated));
    }

    #[test]
    fn a_state_where_it_lies_says_what_it_says_decoded(
        state in any_state(),
        asked in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::bool::weighted(0.2)), 0..12,
        ),
    ) {
        let bytes = encoded(&state);
        let view = EncodedState::new(&bytes);
        prop_assert_eq!(view.is_empty(), state.popups.is_empty());
        for (index, asks_newest) in asked {
            if asks_newest {
                prop_assert_eq!(view.newest(), state.newest(), "whatever was looked for");
            }
            // One in several that is not there.
            let popup = state.popups.get(index.index(state.popups.len() + 1));
            let key = popup.map_or(PopupKey(7), |popup| popup.popup);
            let entry = StateView::from(&view).entry(key, |entry| *entry);
            prop_assert_eq!(entry, state.popup(key).copied());
            let brief = StateView::from(&view).brief(key);
            prop_assert_eq!(brief, state.popup(key).map(PopupState::brief));
        }
        prop_assert_eq!(view.newest(), state.newest());
        prop_assert_eq!(view.found.get(), state.popups.len(), "it is not walked again");
        prop_assert_eq!(StateView::from(&view).clocks(), state.clocks);
        let mut back = UserState::default();
        view.decode(&mut back);
        prop_assert_eq!(back, state);
    }

    #[test]
    fn a_splice_is_what_the_changed_state_encodes_to(
        mut state in any_state(),
        (entry, clocks, counter) in (any_popup(), any_clocks(), any::<u64>()),
        (asked, replaced) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let bytes = encoded(&state);
        let view = EncodedState::new(&bytes);
        // What was looked for before makes no difference.
        let asked = state.popups.get(asked.index(state.popups.len() + 1));
        let _ = StateView::from(&view).brief(asked.map_or(PopupKey(7), |popup| popup.popup));
        let replaced = replaced.index(state.popups.len() + 1);
        let key = state.popups.get(replaced).map_or(entry.popup, |popup| popup.popup);
        let (mut parts, mut out) = ([Vec::new(), Vec::new()], Vec::new());
        let mut with_show = Vec::new();
        let now = state.newest().unwrap_or_default();
        let known = state.popup(key).copied().unwrap_or(PopupState::empty(key));
        prop_assume!(known.shows_total < u32::MAX);
        let (number, place) = view.entry_with_show(key, now, &mut with_show).unwrap();
        let mut shown = PopupState { outcome: None, outcome_at: WallMs(0), ..known };
        (shown.shows_total, shown.shows_used) = (number, (known.shows_used + 1).min(16));
        let kept = &known.shows()[usize::from(known.shows_used == 16)..];
        shown.shows[..kept.len()].copy_from_slice(kept);
        shown.shows[kept.len()] = Show { at: now, number, actions: 0 };
        encode_popup(&shown, &mut parts[1]);
        prop_assert_eq!((number, &with_show), (known.shows_total + 1, &parts[1]));
        let entry = keyed(entry, key.0);
        parts[1].clear();
        encode_clocks(&clocks, &mut parts[0]);
        encode_popup(&entry, &mut parts[1]);
        let revision = Revision { epoch: state.revision.epoch, counter };
        view.splice(revision, &parts[0], (&place, &parts[1]), &mut out);
        let mut revised = Vec::new();
        view.with_revision(revision, &mut revised);
        state.revision = revision;
        prop_assert_eq!(revised, encoded(&state));
        state.clocks = clocks;
        match state.popups.iter_mut().find(|popup| popup.popup == key) {
            Some(popup) => *popup = entry,
            None => state.popups.push(entry),
        }
        prop_assert_eq!(out, encoded(&state));
    }

    #[test]
    fn damaged_bytes_are_refused_or_are_another_encoding(
        state in any_state(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = encoded(&state);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        let mut back = UserState::default();
        if decode(&bytes, &mut back).is_ok() {
            prop_assert_eq!(encoded(&back), bytes);
        }
    }

    #[test]
    fn garbage_does_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for first in [1, bytes.first().copied().unwrap_or(0)] {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            let mut state = UserState::default();
            if decode(&bytes, &mut state).is_ok() {
                prop_assert_eq!(&encoded(&state), &bytes);
            }
            let mut out = Vec::new();
            if let Ok(popup) = decode_popup(&bytes) {
                encode_popup(&popup, &mut out);
                prop_assert_eq!(&out, &bytes);
            }
            out.clear();
            if let Ok(clocks) = decode_clocks(&bytes) {
                encode_clocks(&clocks, &mut out);
                prop_assert_eq!(&out, &bytes);
            }
        }
    }
}
