//! Property: a token that we minted opens to what went in, and nothing else opens at all.

use proptest::prelude::*;

use super::*;

const NOW: WallMs = WallMs(1_800_000_000_000);
const DAY_MS: i64 = 86_400_000;

fn secret(id: u32, created_at: i64) -> Secret {
    let fill = u8::try_from(id).unwrap();
    Secret { id, created_at: WallMs(created_at), bytes: [fill; 32], moved_at: None }
}

fn keys() -> Keys {
    Keys::new(&[secret(7, 0)])
}

fn example() -> Token<'static> {
    let (user, popup, variant) = ("u1", "spring-sale", "a");
    Token { user, popup, version: 3, variant, number: 2, at: NOW, local: None }
}

fn minted(keys: &Keys, token: &Token<'_>) -> String {
    let mut text = String::new();
    keys.mint(token, &mut text);
    text
}

// Made by another implementation of the layout. Tokens outlive an upgrade by 8 days, so a new
// layout needs a new version byte.
#[test]
fn golden_token() {
    const GOLDEN: &str = "AQcAAAAAUFwYowEAAAIAAAADAAAAAnUxC3NwcmluZy1zYWxlAWFI943VcX4KbLteAX_Xii6h";
    assert_eq!(minted(&keys(), &example()), GOLDEN);
    assert_eq!(keys().open(GOLDEN, &Bump::new(), NOW), Some(example()));
    const LOCAL: &str = concat!(
        "AgcAAAAAUFwYowEAAAIAAAADAAAAiHdmVUQzIhECdTELc3ByaW5nLXNhbGUB",
        "YbM7b2u3EiVJqaJWXIHHNfM"
    );
    let local = Token { local: Some(0x1122_3344_5566_7788), ..example() };
    assert_eq!(minted(&keys(), &local), LOCAL);
    assert_eq!(keys().open(LOCAL, &Bump::new(), NOW), Some(local));
}

#[test]
fn the_longest_token_fits() {
    let (user, id) = ("é".repeat(64), "x".repeat(64));
    let token = Token {
        user: &user,
        popup: &id,
        version: u32::MAX,
        variant: &id,
        number: u32::MAX,
        at: WallMs(i64::MIN),
        local: Some(u64::MAX),
    };
    let text = minted(&keys(), &token);
    assert!(text.len() <= TOKEN_BYTES_MAX, "{}", text.len());
    assert_eq!(keys().open(&text, &Bump::new(), NOW), Some(token));
}

#[test]
#[should_panic(expected = "USER_BYTES_MAX")]
fn a_user_beyond_the_limit_is_a_broken_invariant() {
    let user = "u".repeat(129);
    minted(&keys(), &Token { user: &user, ..example() });
}

#[test]
fn texts_that_are_no_tokens() {
    let good = minted(&keys(), &example());
    let cases = [
        String::new(),
        "A".into(),
        "AAAA".into(),
        format!("{good}="),
        format!("{good}A"),
        format!("{good}AAAA"),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{good}{good}"),
        good.replace('_', "/").replace('-', "+") + "=",
        "A".repeat(TOKEN_BYTES_MAX + 1),
        "é".repeat(40),
    ];
    let bump = Bump::new();
    for case in cases {
        assert_eq!(keys().open(&case, &bump, NOW), None, "{case:?}");
    }
}

// A signature alone is not enough: what is signed must also be a token.
#[test]
fn signed_bytes_that_are_no_token() {
    let sign = |bytes: &[u8]| {
        let tag = keys().newest().state.clone().chain_update(bytes).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([bytes, &tag[..TAG_BYTES]].concat())
    };
    let mut whole = vec![VERSION, 7, 0, 0, 0];
    whole.extend([0; 16]);
    whole.extend([1, b'u', 1, b'p', 0]);
    let bump = Bump::new();
    assert!(keys().open(&sign(&whole), &bump, NOW).is_some());
    for used in 0..whole.len() {
        assert_eq!(keys().open(&sign(&whole[..used]), &bump, NOW), None, "{used}");
    }
    let mut changed = [whole.clone(), whole.clone(), whole.clone()];
    changed[0].push(0);
    changed[1][0] = 3;
    changed[2][22] = 0xff;
    for bytes in changed {
        assert_eq!(keys().open(&sign(&bytes), &bump, NOW), None, "{bytes:?}");
    }
}

#[test]
fn the_newest_key_signs_and_older_ones_verify_for_eight_days() {
    let (old, new) = (secret(1, 100), secret(2, 200));
    let text = minted(&Keys::new(std::slice::from_ref(&old)), &example());
    let both = Keys::new(&[new.clone(), old.clone()]);
    let bump = Bump::new();
    let end = 200 + 8 * DAY_MS;
    assert!(both.open(&text, &bump, WallMs(end - 1)).is_some());
    assert!(both.open(&text, &bump, WallMs(end)).is_none());

    let text = minted(&both, &example());
    assert!(Keys::new(&[new]).open(&text, &bump, WallMs(i64::MAX)).is_some());
    assert!(Keys::new(&[old]).open(&text, &bump, NOW).is_none());
}

#[test]
fn a_key_of_the_same_id_with_another_secret_opens_nothing() {
    let other = Secret { bytes: [1; 32], ..secret(7, 0) };
    let text = minted(&Keys::new(&[other]), &example());
    assert_eq!(keys().open(&text, &Bump::new(), NOW), None);
}

#[test]
fn keys_made_in_one_millisecond_are_ordered_by_id() {
    let (first, second) = (secret(1, 5), secret(2, 5));
    let one = Keys::new(&[first.clone(), second.clone()]);
    let other = Keys::new(&[second, first]);
    assert_eq!(minted(&one, &example()), minted(&other, &example()));
}

#[test]
fn debug_keeps_secrets() {
    let secret = Secret { id: 3, created_at: NOW, bytes: [201; 32], moved_at: None };
    let text = format!("{secret:?} {:?}", Keys::new(std::slice::from_ref(&secret)));
    assert!(!text.contains("201") && text.contains('3'), "{text}");
}

#[test]
fn anonymous_ids_differ_and_are_valid_users() {
    let mut seen = std::collections::HashSet::new();
    for counter in 0..500 {
        for seed in 0..4 {
            let id = keys().anonymous_id(counter, seed);
            assert_eq!(id.as_str().len(), 26);
            assert!(id.as_str().starts_with("anon-"));
            assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            assert!(seen.insert(id), "{}", id.as_str());
        }
    }
    let other = Keys::new(&[secret(8, 0)]);
    assert_ne!(other.anonymous_id(1, 1), keys().anonymous_id(1, 1));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        user in "\\PC{1,32}", popup in "[a-z0-9_-]{1,64}", variant in "\\PC{0,16}",
        numbers in any::<(u32, u32, i64)>(), local in any::<Option<u64>>(),
    ) {
        let (version, number, at) = (numbers.0, numbers.1, WallMs(numbers.2));
        let token =
            Token { user: &user, popup: &popup, version, variant: &variant, number, at, local };
        let text = minted(&keys(), &token);
        let bump = Bump::new();
        prop_assert_eq!(keys().open(&text, &bump, NOW), Some(token));
    }

    #[test]
    fn no_changed_token_opens(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let text = minted(&keys(), &example());
        let index = at.index(text.len());
        let mut bytes = text.clone().into_bytes();
        bytes[index] = to & 0x7f;
        let changed = String::from_utf8(bytes).unwrap();
        let opens = keys().open(&changed, &Bump::new(), NOW).is_some();
        prop_assert_eq!(opens, changed == text);
    }

    #[test]
    fn no_flipped_bit_opens(bit in any::<prop::sample::Index>()) {
        let mut raw = URL_SAFE_NO_PAD.decode(minted(&keys(), &example())).unwrap();
        let bit = bit.index(raw.len() * 8);
        raw[bit / 8] ^= 1 << (bit % 8);
        let text = URL_SAFE_NO_PAD.encode(raw);
        let bump = Bump::new();
        prop_assert_eq!(keys().open(&text, &bump, NOW), None);
    }

    #[test]
    fn no_part_of_a_token_opens(used in any::<prop::sample::Index>()) {
        let text = minted(&keys(), &example());
        let used = used.index(text.len());
        let bump = Bump::new();
        prop_assert_eq!(keys().open(&text[..used], &bump, NOW), None);
        prop_assert_eq!(keys().open(&text[used + 1..], &bump, NOW), None);
    }

    #[test]
    fn any_text_is_refused_without_harm(text in "\\PC{0,600}") {
        let bump = Bump::new();
        prop_assert_eq!(keys().open(&text, &bump, NOW), None);
    }
}
