//! Published: another program that reads these bytes counts the same users.

use super::*;
use crate::hex;

fn users(from: u32, count: u32) -> UserSketch {
    let names: Vec<String> = (from..from + count).map(|number| format!("user-{number}")).collect();
    names.iter().map(String::as_str).collect()
}

#[test]
fn golden_bytes() {
    assert_eq!(hex::encode(&UserSketch::default().encode()), "01");
    let few: UserSketch = ["u1", "u2", "u3"].into_iter().collect();
    assert_eq!(hex::encode(&few.encode()), "0100230100490201af08");
    let many = users(0, 100_000).encode();
    assert_eq!((many.len(), hex::encode(&many[..7])), (SKETCH_BYTES_MAX, "021c61471c7144".to_owned()));
}

#[test]
fn estimates_are_as_far_off_as_is_told() {
    for count in [0, 1, 2, 5, 20] {
        assert_eq!(users(0, count).estimate(), u64::from(count));
    }
    let mut squares = 0.0;
    let counts = [100, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000, 100_000_u32];
    for (run, count) in (1_u32..).zip(counts) {
        let estimate = users(run * 1_000_000, count).estimate() as f64;
        let error = estimate / f64::from(count) - 1.0;
        assert!(error.abs() < 3.0 * SKETCH_ERROR, "{count}: {estimate}");
        squares += error * error;
    }
    let root = (squares / counts.len() as f64).sqrt();
    assert!(root < 1.3 * SKETCH_ERROR, "{root}");
}

#[test]
fn a_user_counts_once_and_order_does_not_matter() {
    let mut sketch = users(0, 3_000);
    let before = sketch.clone();
    assert!(!sketch.insert(hash::sketch(b"user-7")));
    sketch.unite(&users(1_000, 500));
    assert_eq!(sketch, before);
    for (one, other) in [(0, 300), (300, 600), (600, 900), (0, 0)] {
        let (left, right) = (users(0, one), users(one, other));
        let (mut first, mut second) = (left.clone(), right.clone());
        first.unite(&right);
        second.unite(&left);
        assert_eq!(first, second);
        assert_eq!(first.encode(), users(0, one + other).encode());
    }
}

#[test]
fn what_is_stored_is_read_and_nothing_else() {
    for count in [0, 1, 2, 100, 500, 600, 2_000, 50_000] {
        let sketch = users(0, count);
        let bytes = sketch.encode();
        assert!(bytes.len() <= SKETCH_BYTES_MAX);
        assert_eq!(UserSketch::decode(&bytes), Some(sketch));
        assert_eq!(UserSketch::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(UserSketch::decode(&[&bytes[..], &[0]].concat()), None);
    }
    let refused: [&[u8]; 8] = [
        &[],
        &[0],
        &[3],
        // A register that holds nothing, one that does not exist, a rank that no hash has.
        &[1, 0, 0, 0],
        &[1, 2, 0, 1],
        &[1, 0, 0, 55],
        // Not in order; twice the same.
        &[1, 0, 1, 1, 0, 0, 1],
        &[1, 0, 0, 1, 0, 0, 2],
    ];
    for bytes in refused {
        assert_eq!(UserSketch::decode(bytes), None, "{bytes:?}");
    }
    let mut few = vec![0; SKETCH_BYTES_MAX];
    few[0] = 2;
    assert_eq!(UserSketch::decode(&few), None, "few registers have the other form");
    few.push(0);
    assert_eq!(UserSketch::decode(&vec![255; SKETCH_BYTES_MAX]), None);
}

#[test]
fn the_ends_of_hashes_have_their_ranks() {
    let mut sketch = UserSketch::default();
    assert!(sketch.is_empty());
    assert!(sketch.insert(0));
    assert_eq!(sketch.encode(), [1, 0, 0, 54]);
    assert!(sketch.insert(u64::MAX));
    assert_eq!(sketch.encode(), [1, 0, 0, 54, 1, 255, 193]);
    for index in 0..u64::try_from(REGISTERS).unwrap() {
        sketch.insert(index << RANK_BITS);
    }
    assert!(sketch.estimate() > 1 << 60, "more than there are people");
}
