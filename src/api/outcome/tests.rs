//! Property: an outcome comes back from its encoding as it was; what is not kept in time says so;
//! only what names popups holds a catalog.

use proptest::prelude::*;

use super::*;
use crate::events::EventCode;
use nudged_domain::catalog::compile::compile;
use nudged_domain::catalog::snapshot::Settings;

fn snapshot() -> Arc<Snapshot> {
    Arc::new(compile(&[], Settings::default(), 1).unwrap())
}

fn verdicts() -> Vec<Verdict> {
    let rejected = EventCode::ALL.iter().copied().map(Verdict::Rejected);
    [Verdict::Accepted, Verdict::Duplicate].into_iter().chain(rejected).collect()
}

fn decisions() -> impl Strategy<Value = Decision> {
    let reason = prop_oneof![
        Just(Reason::None),
        Just(Reason::Degraded),
        (0..Gate::ALL.len()).prop_map(|place| Reason::Gate(Gate::ALL[place])),
    ];
    prop_oneof![
        any::<(u32, usize)>().prop_map(|(popup, variant)| Decision::Show { popup, variant }),
        (reason, any::<Option<u32>>())
            .prop_map(|(reason, next_in_s)| Decision::Nothing { reason, next_in_s }),
    ]
}

fn assert_comes_back(outcome: &Outcome<'_>) -> bool {
    let snapshot = snapshot();
    let encoded = EncodedOutcome::new(outcome, &snapshot, Vec::new());
    let room = Vec::with_capacity(encoded.bytes());
    let place = room.as_ptr();
    let again = EncodedOutcome::new(outcome, &snapshot, room);
    assert_eq!(again.as_bytes().as_ptr(), place, "what is large enough does not grow");
    let bump = Bump::new();
    assert_eq!(again.decode(&bump), *outcome);
    again.snapshot().is_some()
}

proptest! {
    #[test]
    fn decisions_come_back(
        decision in decisions(),
        texts in any::<(String, Option<String>, Option<usize>)>(),
        picked in prop::collection::vec(0..verdicts().len(), 0..8),
        candidates in prop::option::of(
            prop::collection::vec((any::<u32>(), prop::option::of(0..Gate::ALL.len())), 0..8),
        ),
        ignored in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let (token, anonymous, locale) = &texts;
        let is_show = matches!(decision, Decision::Show { .. });
        let verdicts: Vec<_> = picked.iter().map(|place| verdicts()[*place]).collect();
        let gate = |place: Option<usize>| place.map(|place| Gate::ALL[place]);
        let candidates: Option<Vec<Candidate>> = candidates
            .map(|all| all.into_iter().map(|(popup, place)| (popup, gate(place))).collect());
        let ignored: Vec<&str> = ignored.iter().map(String::as_str).collect();
        let decided = Decided {
            decision,
            token: if is_show { token } else { "" },
            locale: locale.filter(|_| is_show),
            anonymous: anonymous.as_deref(),
            verdicts: &verdicts,
            is_preview: candidates.is_none(),
            candidates: candidates.as_deref(),
            ignored: &ignored,
        };
        let names_popups = is_show || candidates.as_ref().is_some_and(|all| !all.is_empty());
        let outcome = Outcome::Decided(decided);
        prop_assert_eq!(assert_comes_back(&outcome), names_popups);

        let bump = Bump::new();
        let unkept = outcome.unless_kept(&bump);
        prop_assert!(!assert_comes_back(&unkept), "nobody is shown a popup");
        let Outcome::Decided(unkept) = unkept else { panic!("still a decision") };
        prop_assert_eq!(unkept.decision, DEGRADED);
        prop_assert_eq!(unkept.candidates.is_some(), candidates.is_some());
        prop_assert!(unkept.verdicts.iter().all(|verdict| !verdict.rests_on_record()));
        prop_assert_eq!((unkept.anonymous, unkept.ignored), (decided.anonymous, &ignored[..]));
    }

    #[test]
    fn verdicts_come_back(
        picked in prop::collection::vec((any::<u8>(), 0..verdicts().len()), 0..8),
        ignored in prop::collection::vec(any::<String>(), 0..4),
        after_s: u32,
    ) {
        let all = verdicts();
        let placed: Vec<_> = picked.iter().map(|(place, of)| (*place, all[*of])).collect();
        let ignored: Vec<&str> = ignored.iter().map(String::as_str).collect();
        let outcome = Outcome::Verdicts(Verdicts { verdicts: &placed, after_s, ignored: &ignored });
        assert_comes_back(&outcome);
        let bump = Bump::new();
        let Outcome::Verdicts(unkept) = outcome.unless_kept(&bump) else { panic!("verdicts") };
        for ((place, verdict), (unkept_place, unkept)) in placed.iter().zip(unkept.verdicts) {
            prop_assert_eq!((place, verdict.unless_kept()), (unkept_place, *unkept));
        }
    }

    #[test]
    fn operators_outcomes_come_back(state in any::<Vec<u8>>(), at in any::<i64>()) {
        let bump = Bump::new();
        let erased = Outcome::Erased { at: WallMs(at) };
        for outcome in
            [
                Outcome::State(&state),
                erased,
                Outcome::Kept,
                Outcome::Unavailable,
                Outcome::Overloaded,
            ]
        {
            prop_assert!(!assert_comes_back(&outcome));
        }
        prop_assert_eq!(erased.unless_kept(&bump), Outcome::Unavailable);
    }
}

#[test]
fn numbers_stand_for_one_thing_each() {
    for (place, gate) in Gate::ALL.into_iter().enumerate() {
        assert_eq!(gate as usize, place);
    }
    for (place, code) in EventCode::ALL.iter().copied().enumerate() {
        assert_eq!(code as usize, place);
    }
}
