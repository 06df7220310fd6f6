//! Rollout and variants: where the pinned hashes put a user. Two hashes, each with a salt of its
//! own, so that a rollout of half the users does not take half of the variants. Knows nothing of
//! time or state: a user stands where it stands for ever.

use crate::catalog::snapshot::Popup;
use nudged_base::hash;

/// All users: one above the largest hash.
const EVERYBODY: u128 = 1 << 64;

/// Whether a user is among the percentage of users that see the popup. Raising the percentage
/// removes nobody. Does not allocate.
pub(crate) fn is_in_rollout(popup: &Popup, user: &str) -> bool {
    match popup.rollout_below {
        0 => false,
        EVERYBODY.. => true,
        below => u128::from(place_in_rollout(popup, user)) < below,
    }
}

/// Where a user stands in a popup's rollout, as a fraction of 2^64. Does not allocate.
// Not inlined: most popups are for everybody, and are not to pay for the hash.
#[inline(never)]
pub(crate) fn place_in_rollout(popup: &Popup, user: &str) -> u64 {
    hash::rollout(user.as_bytes(), popup.key.0)
}

/// The index of the variant that a user sees, in proportion to the weights. It stays while the
/// weights and their order stay. Does not allocate.
///
/// # Panics
/// Where the weights do not sum up to `weight_total`: compiling a popup sums them.
pub fn variant(popup: &Popup, user: &str) -> usize {
    if popup.variants.len() == 1 {
        return 0;
    }
    let place = u128::from(hash::variant(user.as_bytes(), popup.key.0));
    // The hash as a fraction of 2^64, scaled to the weights.
    let mut place = (place * u128::from(popup.weight_total)) >> 64;
    let index = popup.variants.iter().position(|variant| {
        let weight = u128::from(variant.weight);
        let is_here = place < weight;
        place = place.saturating_sub(weight);
        is_here
    });
    index.expect("weights sum up to weight_total, and the place is below it")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::samples::popup;

    fn with_weights(weights: &[u32]) -> Popup {
        let mut popup = popup(&json!({"id": "p"}));
        let variant = popup.variants[0].clone();
        popup.weight_total = weights.iter().map(|weight| u64::from(*weight)).sum();
        popup.variants = weights
            .iter()
            .map(|weight| {
                let mut variant = variant.clone();
                variant.weight = *weight;
                variant
            })
            .collect();
        popup
    }

    // Published, like the hashes below them: other implementations give the same places.
    #[test]
    fn golden_places() {
        let mut popup = with_weights(&[1, 1, 2, 0, 4]);
        let users = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"];
        assert_eq!(users.map(|user| variant(&popup, user)), [2, 2, 4, 4, 2, 4, 0, 4]);
        popup.rollout_below = 1 << 63;
        let are_in = [false, false, false, false, false, true, false, true];
        assert_eq!(users.map(|user| is_in_rollout(&popup, user)), are_in);
    }

    #[test]
    fn raising_a_rollout_removes_nobody_and_its_ends_are_nobody_and_everybody() {
        let mut popup = popup(&json!({"id": "p"}));
        for user in (0..1_000).map(|number| format!("user-{number}")) {
            let mut was_in = false;
            for percent in 0..=100_u128 {
                popup.rollout_below = (percent << 64) / 100;
                let is_in = is_in_rollout(&popup, &user);
                assert!(is_in || !was_in, "{user} left at {percent} %");
                assert!(percent > 0 || !is_in);
                was_in = is_in;
            }
            assert!(was_in);
        }
    }

    #[test]
    fn shares_are_as_the_weights_and_independent_of_the_rollout() {
        let mut popup = with_weights(&[1, 0, 3]);
        popup.rollout_below = 1 << 63;
        let mut counts = [[0_u32; 3]; 2];
        for user in (0..20_000).map(|number| format!("user-{number}")) {
            counts[usize::from(is_in_rollout(&popup, &user))][variant(&popup, &user)] += 1;
        }
        for side in counts {
            assert!((2_300..2_700).contains(&side[0]), "{counts:?}");
            assert_eq!(side[1], 0, "a weight of 0 is nobody's");
            assert!((7_200..7_800).contains(&side[2]), "{counts:?}");
        }
    }
}
