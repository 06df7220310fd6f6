//! Property: tokens are a union by id in which an end stays, in whatever order and however often
//! nodes learn of them; a revoked token lets nobody in.

use proptest::prelude::*;

use super::*;
use crate::ended::Ended;

fn token(id: u8, end: Option<i64>) -> OperatorToken {
    OperatorToken {
        id: OperatorTokenId(id.into()),
        name: format!("name-{id}").into(),
        role: OperatorRole::WORDS[usize::from(id % 4)].1,
        hash: [id; 32],
        at: WallMs(id.into()),
        who: "ann".into(),
        expires: None,
        end: end.map(|at| Ended { at: WallMs(at), who: "bob".into() }),
    }
}

fn end() -> Ended {
    Ended { at: WallMs(9), who: "bob".into() }
}

#[test]
fn a_token_lets_in_until_it_is_revoked() {
    let mut tokens = OperatorTokens::default();
    tokens.add(token(1, None)).unwrap();
    tokens.add(token(2, None)).unwrap();
    assert_eq!(tokens.find(&[2; 32]).map(|one| one.id), Some(OperatorTokenId(2)));
    assert_eq!(tokens.find(&[3; 32]), None);
    assert_eq!(tokens.add(token(1, None)), Err(TokenNotMade::NameTaken));
    assert!(tokens.revoke(OperatorTokenId(2), end()).is_some());
    assert_eq!(tokens.find(&[2; 32]), None);
    assert!(tokens.revoke(OperatorTokenId(2), end()).is_none(), "it is over");
    assert!(tokens.revoke(OperatorTokenId(3), end()).is_none());
    assert!(!tokens.take(&token(2, None), OverridePlace::Redis), "it does not return");
    assert_eq!(tokens.find(&[2; 32]), None);
    let again = OperatorToken { id: OperatorTokenId(7), ..token(2, None) };
    tokens.add(again).unwrap();
}

#[test]
fn only_so_many_are_in_force_and_remembered() {
    let mut tokens = OperatorTokens::default();
    let numbered = |number: u128, end: Option<i64>| OperatorToken {
        id: OperatorTokenId(number),
        name: number.to_string().into(),
        ..token(0, end)
    };
    let max = OPERATOR_TOKENS_MAX as u128;
    (0..max).for_each(|number| tokens.add(numbered(number, None)).unwrap());
    assert_eq!(tokens.add(numbered(max, None)), Err(TokenNotMade::TooMany));
    let many = 3 * OPERATOR_TOKENS_REVOKED_MAX as u128;
    for number in max..max + many {
        tokens.take(&numbered(number, i64::try_from(number).ok()), OverridePlace::Sql);
    }
    assert_eq!(tokens.by_need().len(), OPERATOR_TOKENS_MAX + OPERATOR_TOKENS_REVOKED_MAX);
    assert_eq!(tokens.count_in_force(WallMs(0)), OPERATOR_TOKENS_MAX);
    assert!(tokens.by_need()[0].end.is_none(), "what SQL lacks is first");
    // What SQL does not have is not forgotten.
    let mut unknown = OperatorTokens::default();
    for number in 0..many {
        unknown.take(&numbered(number, Some(1)), OverridePlace::Redis);
    }
    assert_eq!(unknown.by_need().len(), 2 * (OPERATOR_TOKENS_MAX + OPERATOR_TOKENS_REVOKED_MAX));
}

fn expiring(id: u8, expires: i64) -> OperatorToken {
    OperatorToken { expires: Some(WallMs(expires)), ..token(id, None) }
}

#[test]
fn a_token_whose_time_is_up_lets_nobody_in_and_takes_no_place() {
    let mut tokens = OperatorTokens::default();
    tokens.add(expiring(1, 100)).unwrap();
    let found = tokens.find(&[1; 32]).unwrap();
    assert!(found.is_in_force(WallMs(99)) && !found.is_in_force(WallMs(100)));
    assert_eq!((tokens.count_in_force(WallMs(99)), tokens.count_in_force(WallMs(100))), (1, 0));
    let again = OperatorToken { id: OperatorTokenId(7), hash: [7; 32], ..token(1, None) };
    assert_eq!(tokens.add(again.clone()), Err(TokenNotMade::NameTaken));
    tokens.add(OperatorToken { at: WallMs(100), ..again }).unwrap();
    assert_eq!(tokens.standing().count(), 2, "both are listed");
}

#[test]
fn every_node_ends_what_has_long_expired_alike_and_its_holder_learns_why() {
    let kept = i64::try_from(OPERATOR_TOKENS_EXPIRED_KEPT_MS).unwrap();
    let ended = |now: i64| {
        let mut tokens = OperatorTokens::default();
        tokens.add(expiring(1, 100)).unwrap();
        tokens.add(token(2, None)).unwrap();
        (tokens.end_expired(WallMs(now)), tokens)
    };
    assert_eq!(ended(100 + kept - 1).0, []);
    let (one, tokens) = ended(100 + kept);
    let (other, _) = ended(200 + kept);
    assert_eq!((&one, one.len()), (&other, 1));
    assert_eq!(one[0].end, Some(Ended { at: WallMs(100), who: EXPIRY.into() }));
    assert_eq!(tokens.standing().count(), 1);
    let found = tokens.find(&[1; 32]).unwrap();
    assert!(found.is_expired(WallMs(200 + kept)), "it is said to be expired, not wrong");
    let mut revoked = OperatorTokens::default();
    revoked.add(expiring(1, 100)).unwrap();
    revoked.revoke(OperatorTokenId(1), end()).unwrap();
    assert_eq!(revoked.find(&[1; 32]), None);
    assert_eq!(revoked.end_expired(WallMs(200 + kept)), []);
}

#[test]
fn what_a_version_without_expiry_passes_on_does_not_prolong_a_token() {
    let mut tokens = OperatorTokens::default();
    tokens.take(&token(1, None), OverridePlace::Sql);
    assert!(tokens.take(&expiring(1, 100), OverridePlace::Redis), "that is news");
    assert!(!tokens.take(&token(1, None), OverridePlace::Sql));
    assert!(tokens.take(&expiring(1, 50), OverridePlace::Redis));
    assert_eq!(tokens.standing().next().unwrap().expires, Some(WallMs(50)));
}

#[test]
fn places_are_told_what_they_lack() {
    let mut tokens = OperatorTokens::default();
    let id = OperatorTokenId(1);
    tokens.add(token(1, None)).unwrap();
    assert_eq!(tokens.stored(id), OverridePlace::Memory);
    let due: Vec<OperatorToken> = tokens.not_in(OverridePlace::Sql).cloned().collect();
    tokens.revoke(id, end()).unwrap();
    tokens.mark(&due[0], OverridePlace::Sql);
    assert_eq!(tokens.not_in(OverridePlace::Sql).count(), 1, "what it has is not what holds");
    let due: Vec<OperatorToken> = tokens.not_in(OverridePlace::Sql).cloned().collect();
    tokens.mark(&due[0], OverridePlace::Sql);
    tokens.mark(&due[0], OverridePlace::Redis);
    assert_eq!(tokens.stored(id), OverridePlace::Sql);
    tokens.unmark_others(OverridePlace::Sql, &[]);
    assert_eq!(tokens.stored(id), OverridePlace::Redis);
}

#[test]
fn texts_read_back_and_others_are_none() {
    for entry in [token(1, None), token(2, Some(5)), expiring(3, 9)] {
        let text = encode(&entry);
        assert_eq!(text.contains("\"ended_at\":"), entry.end.is_some());
        assert_eq!(decode(&text), Some(entry));
    }
    let good = encode(&token(2, Some(5)));
    for bad in [
        good.replace("\"ended_by\":\"bob\"", "\"other\":1"),
        good.replace("operator", "owner"),
        good.replace("0202", "020"),
        good.replace("name-2", ""),
        good.replace("name-2", &"n".repeat(200)),
        "{}".to_owned(),
        String::new(),
    ] {
        assert_eq!(decode(&bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn all_nodes_come_to_know_the_same(
        said in prop::collection::vec((0_u8..4, prop::option::of(1_i64..4)), 0..12),
        order in any::<u64>(),
    ) {
        let known = |entries: &[(u8, Option<i64>)]| {
            let mut tokens = OperatorTokens::default();
            for (id, end) in entries {
                tokens.take(&token(*id, *end), OverridePlace::Redis);
            }
            let known: Vec<OperatorToken> = tokens.0.into_values().map(|held| held.token).collect();
            known
        };
        let mut other = said.clone();
        let turn = (order % 13) as usize % other.len().max(1);
        other.rotate_left(turn);
        other.extend(said.clone());
        other.reverse();
        prop_assert_eq!(known(&said), known(&other));
    }
}
