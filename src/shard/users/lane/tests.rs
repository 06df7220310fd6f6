//! Properties of a lane: its order, its bounds, and what is taken back.

use super::*;
use nudged_api::outcome::Outcome;
use nudged_base::ids::Revision;
use nudged_base::time::WallMs;

fn lane() -> Lane {
    let mut lane = Lane::new(ShardId(0));
    lane.watermarks(true, Sequence(0));
    lane
}

fn append(lane: &mut Lane) -> LaneSequence {
    let revision = Revision { epoch: 0, counter: 1 };
    lane.append(&Record::Erase { user: "u", revision, at: WallMs(1) })
}

fn waiting(upto: LaneSequence, since: u64, bytes: usize) -> WaitingOutcome {
    let origin = Origin::Control { ticket: since };
    let state = vec![0; bytes];
    let outcome = EncodedOutcome::of_no_popup(&Outcome::State(&state), Vec::new());
    WaitingOutcome { upto, since: MonoNs(since), origin, outcome }
}

fn ack(lane: &mut Lane, batch: LaneBatch, upto_sequence: u64) -> Vec<Origin> {
    let mut released = Vec::new();
    let upto = batch.last();
    let upto_sequence = Sequence(upto_sequence);
    let ack = Ack { shard: ShardId(0), upto, upto_sequence, buffer: batch.bytes };
    lane.acknowledge(ack, |waiting| released.push(waiting.origin));
    released
}

#[test]
fn outcomes_leave_with_their_records_and_in_order() {
    let mut lane = lane();
    let first = append(&mut lane);
    let batch = lane.flush().unwrap();
    let second = append(&mut lane);
    lane.wait(waiting(second, 2, 0));
    // A duplicate rests on an earlier record, and still does not overtake.
    lane.wait(waiting(first, 3, 0));
    assert!(ack(&mut lane, batch, 7).is_empty() && lane.is_acked(first));
    let batch = lane.flush().unwrap();
    assert_eq!((batch.first, batch.count), (second, 1));
    let released = ack(&mut lane, batch, 8);
    assert_eq!(released, [2, 3].map(|ticket| Origin::Control { ticket }));
    assert!(lane.is_quiet());
    lane.watermarks(true, Sequence(7));
    assert_eq!(lane.applied(), first);
    lane.watermarks(true, Sequence(8));
    assert_eq!(lane.applied(), second);
}

#[test]
fn what_is_taken_back_was_never_there() {
    let mut lane = lane();
    append(&mut lane);
    let mark = lane.mark();
    append(&mut lane);
    lane.roll_back(mark);
    assert_eq!(lane.last(), LaneSequence(1));
    assert_eq!(lane.flush().unwrap().count, 1);
    assert!(lane.flush().is_none());
}

#[test]
fn what_is_reserved_is_kept_free() {
    let mut lane = lane();
    assert!(lane.reserve(LANE_BYTES_MAX - RECORD_BYTES_MAX) && lane.has_room(1));
    assert!(!lane.has_room(2) && !lane.reserve(RECORD_BYTES_MAX + 1));
    lane.release(LANE_BYTES_MAX - RECORD_BYTES_MAX);
    let mut framed = Vec::new();
    for counter in [1, 2] {
        let revision = Revision { epoch: 0, counter };
        record::append(&Record::Erase { user: "u", revision, at: WallMs(1) }, &mut framed);
    }
    assert_eq!(lane.append_framed(&framed), LaneSequence(2));
    assert_eq!(lane.flush().unwrap().count, 2);
}

#[test]
fn each_bound_refuses_and_opens_again() {
    let mut full = lane();
    assert!(full.has_room(100));
    full.watermarks(false, Sequence(0));
    assert!(!full.has_room(1) && !full.reserve(1), "the journal takes nothing");
    assert!(full.reserve(0), "nothing always fits");
    assert!(full.has_room_promised(1) && full.reserve_promised(1), "but what was promised");
    full.release(1);
    full.watermarks(true, Sequence(0));

    let batches: Vec<_> = (0..LANE_BATCHES_MAX)
        .map(|_| {
            append(&mut full);
            full.flush().unwrap()
        })
        .collect();
    assert!(!full.has_room(1) && !full.has_room_promised(1), "too many batches are under way");
    for (sequence, batch) in (1..).zip(batches) {
        ack(&mut full, batch, sequence);
    }
    assert!(full.has_room(1));

    assert!(!full.has_room(LANE_BYTES_MAX / RECORD_BYTES_MAX + 1), "too many bytes");
    assert!(!full.reserve_promised(LANE_BYTES_MAX + 1), "of promised ones too");
    let upto = append(&mut full);
    full.wait(waiting(upto, 0, WAITING_BYTES_MAX));
    assert!(!full.has_room(1), "too many bytes of answers wait");
    let mut given_up = 0;
    full.expire(MonoNs(0).plus_ms(ACK_DEADLINE_MS - 1), |_| given_up += 1);
    assert_eq!(given_up, 0);
    full.expire(MonoNs(0).plus_ms(ACK_DEADLINE_MS), |_| given_up += 1);
    assert!(given_up == 1 && full.has_room(1));
    (0..PARKED_MAX).for_each(|_| full.wait(waiting(upto, 0, 0)));
    assert!(!full.has_room(1), "too many answers wait");
}
