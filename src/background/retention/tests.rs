//! Property: what retention asks for, in its order, whatever comes of it, and never more than 5 %
//! of the time.

use proptest::prelude::*;

use super::*;
use crate::sql_failure::SqlMeaning;

const OWN: Option<StreamId> = Some(StreamId(4));

struct Bench {
    machine: Retention,
    metrics: RetentionMetrics,
    view: RetentionView,
    now_ms: u64,
}

fn bench(is_shared: bool) -> Bench {
    let (events_before, hours_before) = (Some(WallMs(100)), Some(WallMs(90)));
    let users_before = None;
    Bench {
        machine: Retention::default(),
        metrics: RetentionMetrics::default(),
        view: RetentionView { events_before, users_before, hours_before, is_shared },
        now_ms: 1_000,
    }
}

impl Bench {
    fn now(&self) -> MonoNs {
        MonoNs(self.now_ms * 1_000_000)
    }

    /// The step that begins once it is due.
    fn begin(&mut self) -> Option<RetentionStep> {
        self.now_ms = self.now_ms.max(self.machine.due().0.div_ceil(1_000_000));
        self.machine.begin(self.now(), OWN, &self.view)
    }

    /// Takes a millisecond for each step.
    fn play(&mut self, rows: Vec<(&str, RetentionOutcome)>) {
        for (place, (expected, outcome)) in rows.into_iter().enumerate() {
            let step = self.begin().map_or("none".to_owned(), |step| format!("{step:?}"));
            assert_eq!(step, expected, "row {place}");
            self.now_ms += 1;
            assert_eq!(self.machine.end(self.now(), Ok(outcome), &self.metrics), Ok(()));
        }
    }
}

fn place(popup: &str) -> Option<StatPlace> {
    Some((popup.to_owned(), "v".to_owned()))
}

fn delete(stream: u32, from: u64) -> String {
    let (stream, from) = (StreamId(stream), Sequence(from));
    format!("{:?}", RetentionStep::DeleteEvents { stream, from, before: WallMs(100) })
}

fn fold(after: Option<StatPlace>) -> String {
    format!("{:?}", RetentionStep::FoldHours { after, before: WallMs(90) })
}

#[test]
fn every_stream_is_cleared_and_then_hours_become_days() {
    use RetentionOutcome::{Chosen, Events, Hours, Stream};
    for is_shared in [false, true] {
        let mut bench = bench(is_shared);
        if is_shared {
            bench.play(vec![("Choose(StreamId(4))", Chosen(true))]);
        }
        bench.play(vec![
            ("NextStream(None)", Stream(Some(StreamId(2)))),
            (&delete(2, 0), Events { deleted: 500, next: Some(Sequence(777)) }),
            (&delete(2, 777), Events { deleted: 3, next: None }),
            ("NextStream(Some(StreamId(2)))", Stream(Some(StreamId(4)))),
            (&delete(4, 0), Events { deleted: 0, next: None }),
            ("NextStream(Some(StreamId(4)))", Stream(None)),
            (&fold(None), Hours { folded: 500, next: Some(None) }),
            (&fold(None), Hours { folded: 20, next: Some(place("a")) }),
            (&fold(place("a")), Hours { folded: 0, next: None }),
        ]);
        assert_eq!(bench.metrics.events.load(Ordering::Relaxed), 503);
        assert_eq!(bench.metrics.hours.load(Ordering::Relaxed), 520);
        // The next pass comes after a while, and folds once another day is old enough.
        assert_eq!(bench.machine.due(), bench.now().plus_ms(RETENTION_PERIOD_MS));
        if is_shared {
            bench.play(vec![("Choose(StreamId(4))", Chosen(true))]);
        }
        bench.play(vec![("NextStream(None)", Stream(None))]);
        assert_eq!(bench.begin(), None);
        bench.view.hours_before = Some(WallMs(91));
        if is_shared {
            bench.play(vec![("Choose(StreamId(4))", Chosen(true))]);
        }
        bench.play(vec![("NextStream(None)", Stream(None))]);
        assert!(matches!(bench.begin(), Some(RetentionStep::FoldHours { .. })));
    }
}

#[test]
fn users_are_looked_through_once_a_day_between_events_and_hours() {
    use RetentionOutcome::{Hours, Stream, Users};
    let mut bench = bench(false);
    bench.view.users_before = Some(WallMs(80));
    let find = |after: &str| {
        let step = RetentionStep::FindUsers { after: after.to_owned(), before: WallMs(80) };
        format!("{step:?}")
    };
    for _ in 0..2 {
        bench.play(vec![
            ("NextStream(None)", Stream(None)),
            (&find(""), Users { found: Vec::new(), next: Some("m".to_owned()) }),
            (&find("m"), Users { found: Vec::new(), next: None }),
            (&fold(None), Hours { folded: 0, next: None }),
            ("NextStream(None)", Stream(None)),
        ]);
        assert_eq!(bench.begin(), None, "that was today");
        // Other ages: at once, and all of it.
        bench.machine.hasten();
        assert_eq!(bench.machine.due(), bench.now());
    }
    // Also in the midst of a pass, and of a step.
    bench.play(vec![
        ("NextStream(None)", Stream(None)),
        (&find(""), Users { found: Vec::new(), next: Some("m".to_owned()) }),
    ]);
    assert_eq!(bench.begin().map(|step| format!("{step:?}")), Some(find("m")));
    bench.machine.hasten();
    let outcome = Users { found: Vec::new(), next: Some("q".to_owned()) };
    bench.machine.end(bench.now(), Ok(outcome), &bench.metrics).unwrap();
    bench.play(vec![
        ("NextStream(None)", Stream(None)),
        (&find(""), Users { found: Vec::new(), next: None }),
    ]);
}

#[test]
fn what_is_never_old_is_left_alone_from_the_next_step_on() {
    let mut bench = bench(false);
    bench.play(vec![("NextStream(None)", RetentionOutcome::Stream(Some(StreamId(2))))]);
    bench.view.events_before = None;
    assert_eq!(format!("{:?}", bench.begin().unwrap()), fold(None));
    bench.machine = Retention::default();
    bench.view = RetentionView::default();
    assert_eq!(bench.begin(), None);
    assert_eq!(bench.machine.begin(MonoNs(u64::MAX), None, &bench.view), None, "no stream yet");
}

#[test]
fn one_of_several_nodes_does_it_and_a_failure_ends_the_pass() {
    let mut bench = bench(true);
    bench.play(vec![("Choose(StreamId(4))", RetentionOutcome::Chosen(false))]);
    assert_eq!(bench.machine.due(), bench.now().plus_ms(RETENTION_PERIOD_MS));
    bench.play(vec![
        ("Choose(StreamId(4))", RetentionOutcome::Chosen(true)),
        ("NextStream(None)", RetentionOutcome::Stream(Some(StreamId(2)))),
    ]);
    assert!(bench.begin().is_some());
    let failure =
        SqlFailure { meaning: SqlMeaning::Passing, cause: "unreachable", text: "gone".to_owned() };
    let ended = bench.machine.end(bench.now(), Err(failure.clone()), &bench.metrics);
    assert_eq!(ended, Err(failure));
    assert_eq!(bench.metrics.failures.load(Ordering::Relaxed), 1);
    assert_eq!(bench.machine.due(), bench.now().plus_ms(RETENTION_PERIOD_MS));
    bench.play(vec![("Choose(StreamId(4))", RetentionOutcome::Chosen(true))]);
}

proptest! {
    /// However long steps take and however often it is asked, it has had at most 5 % of the time
    /// that has passed when a step begins.
    #[test]
    fn it_takes_one_part_in_twenty(
        steps in prop::collection::vec((1..5_000_000_u64, 0..3_000_000_u64), 1..200),
    ) {
        let mut machine = Retention::default();
        let metrics = RetentionMetrics::default();
        let view = bench(false).view;
        let (mut now, mut busy_ns) = (MonoNs(0), 0);
        for (spent_ns, wait_ns) in steps {
            now.0 += wait_ns;
            let Some(step) = machine.begin(now, OWN, &view) else { continue };
            prop_assert!(busy_ns * 20 <= now.0, "{busy_ns} of {}", now.0);
            now.0 += spent_ns;
            busy_ns += spent_ns;
            let outcome = match step {
                RetentionStep::NextStream(_) => RetentionOutcome::Stream(OWN),
                RetentionStep::DeleteEvents { from, .. } => {
                    RetentionOutcome::Events { deleted: 1, next: Some(from) }
                }
                other => panic!("{other:?}"),
            };
            machine.end(now, Ok(outcome), &metrics).unwrap();
        }
        prop_assert_eq!(metrics.busy_ns.load(Ordering::Relaxed), busy_ns);
    }
}
