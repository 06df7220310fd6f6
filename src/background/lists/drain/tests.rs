//! Property: an entry leaves its list only after a transaction with it is committed, whatever fails
//! in between, and a pass that failed begins anew.

use nudged_base::ids::Revision;
use nudged_base::telemetry::log::Level;
use nudged_journal::record::{self, Record};

use super::*;

const AT: Partition = Partition(7);
const EPOCH: u32 = 1;

struct Bench {
    machine: Drain,
    assignment: Arc<ListAssignment>,
    now_ms: u64,
}

fn bench() -> Bench {
    let assignment = Arc::new(ListAssignment::new(1));
    assignment.set_partitions(vec![AT, Partition(9)]);
    let machine = Drain::new(Arc::clone(&assignment), 0, Log::new(Level::Error, false, &[]));
    Bench { machine, assignment, now_ms: 1_000 }
}

impl Bench {
    fn step(&mut self, input: Input) -> Effect {
        let now = Now { mono: MonoNs(self.now_ms * 1_000_000), wall: WallMs(1_000) };
        let view =
            View { now, is_stopping: false, redis_rest_ms: None, denials: 0, records_max: 1_000 };
        self.machine.step(&view, input)
    }

    /// Goes on to the transaction of three entries of one list.
    fn until_apply(&mut self) -> Effect {
        let mut effect = self.step(Input::Go);
        for answers in [
            vec![OwnedReply::Int(3), OwnedReply::Int(0)],
            vec![OwnedReply::List((1..=3).map(|number| OwnedReply::Text(entry(number))).collect())],
        ] {
            assert!(matches!(effect, Effect::Ask(RedisRequest::Pipeline(_))), "{effect:?}");
            effect = self.step(Input::Answered(Ok(answers)));
        }
        if matches!(effect, Effect::Claim(_)) {
            effect = self.step(Input::Claimed(Ok(vec![StreamId(4)])));
        }
        effect
    }
}

fn entry(number: u64) -> Vec<u8> {
    let mut bytes = head(EPOCH, Sequence(number)).to_vec();
    let revision = Revision { epoch: EPOCH, counter: number };
    record::append(&Record::Erase { user: "anna", revision, at: WallMs(400) }, &mut bytes);
    bytes
}

fn failure(meaning: SqlMeaning) -> SqlFailure {
    SqlFailure { meaning, cause: "unreachable", text: "gone".to_owned() }
}

/// Where an entry up to `number` is dropped by a question.
fn trims(effect: &Effect, number: u64) -> bool {
    let Effect::Ask(RedisRequest::Pipeline(commands)) = effect else { return false };
    let head = head(EPOCH, Sequence(number)).to_vec();
    commands.iter().any(|words| words[0] == b"EVALSHA" && words.contains(&head))
}

#[test]
fn entries_are_dropped_after_their_transaction_and_then_counted() {
    let mut bench = bench();
    let effect = bench.until_apply();
    assert!(matches!(effect, Effect::Apply), "{effect:?}");
    let batch = bench.machine.batch();
    assert_eq!((batch.len(), batch[0].0, batch[0].1.len()), (1, StreamId(4), 3));
    let effect = bench.step(Input::Applied(Ok((2, 1))));
    assert!(trims(&effect, 3), "{effect:?}");
    let loaded = OwnedReply::Text(b"hash".to_vec());
    let effect = bench.step(Input::Answered(Ok(vec![loaded, OwnedReply::Int(3)])));
    assert!(matches!(effect, Effect::Rest(LIST_BUSY_MS)), "{effect:?}");
    assert_eq!((bench.machine.last(), bench.assignment.rounds()), (&Ok(3), 1));
    let metrics = &bench.assignment.metrics[0];
    let of = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    assert_eq!((of(&metrics.records), of(&metrics.duplicates), of(&metrics.trimmed)), (2, 1, 3));
    assert_eq!(of(&metrics.lag_ms), 600);
    // The stream is claimed once.
    assert!(matches!(bench.until_apply(), Effect::Apply));
}

#[test]
fn a_transaction_that_failed_drops_nothing_and_waits_double() {
    let mut bench = bench();
    let mut rests = Vec::new();
    for _ in 0..3 {
        bench.until_apply();
        let effect = bench.step(Input::Applied(Err(failure(SqlMeaning::Passing))));
        let Effect::Rest(rest_ms) = effect else { panic!("{effect:?}") };
        rests.push(rest_ms);
        assert_eq!((bench.machine.last(), bench.assignment.rounds()), (&Err("gone".to_owned()), 0));
    }
    for (rest_ms, shortest) in rests.iter().zip([100, 200, 400]) {
        assert!((shortest..=shortest * 3 / 2).contains(rest_ms), "{rests:?}");
    }
}

#[test]
fn a_list_of_another_node_is_left_alone_for_a_while_and_keeps_its_entries() {
    let mut bench = bench();
    bench.until_apply();
    let fenced = failure(SqlMeaning::Fenced(StreamId(4)));
    let effect = bench.step(Input::Applied(Err(fenced)));
    assert!(matches!(effect, Effect::Rest(_)) && !trims(&effect, 3), "{effect:?}");
    assert_eq!(bench.assignment.rounds(), 0, "what waits there is not drained");
    let asked = |effect: &Effect| match effect {
        Effect::Ask(RedisRequest::Pipeline(commands)) => commands.len(),
        other => panic!("{other:?}"),
    };
    let effect = bench.step(Input::Go);
    assert_eq!(asked(&effect), 1, "the other list is looked at");
    bench.step(Input::Answered(Ok(vec![OwnedReply::Int(0)])));
    bench.now_ms += LIST_GIVEN_UP_MS + 1;
    let effect = bench.step(Input::Go);
    assert_eq!(asked(&effect), 2);
}

#[test]
fn entries_that_could_not_be_dropped_are_read_again() {
    let mut bench = bench();
    bench.until_apply();
    bench.step(Input::Applied(Ok((3, 0))));
    let refused = OwnedReply::Error("NOPERM this user has no permissions".to_owned());
    let effect = bench.step(Input::Answered(Ok(vec![OwnedReply::Nil, refused])));
    assert!(matches!(effect, Effect::Rest(_)), "{effect:?}");
    assert!(bench.machine.last().is_err() && bench.assignment.rounds() == 0);
    assert!(matches!(bench.until_apply(), Effect::Apply), "SQL skips what it has");
}
