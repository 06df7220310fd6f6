//! Property: what a round asks for, in its order, and what it does with each answer. Each test is a
//! table of inputs with what comes of them: what the node is told, and the next effect.

use nudged_base::clock::Now;
use nudged_base::ids::{Partition, Revision, UserKey};
use nudged_base::telemetry::log::Level;
use nudged_base::time::WallMs;
use nudged_domain::state::user::UserState;
use nudged_redis::command::PartitionPhase;
use nudged_redis::request::{CommandWords, OwnedReply, RedisRequest};
use nudged_redis::scripts::hash_of;

use super::*;
use crate::keeper::barrier::NodeProgress;
use crate::keeper::core::{KeeperAction, SealedEpoch};
use crate::keeper::partition_table::Vanishing;
use crate::keeper::scripts;
use crate::sql_failure::{SqlFailure, SqlMeaning};

const OWN: NodeId = NodeId(1);
const OWN_ID: &str = "00000000000000000000000000000001";
const RUN: u64 = 7;
/// The run of `INFO`, whose hash stands for it.
const RUN_ID: &str = "0123456789abcdef0123456789abcdef01234567";

struct Bench {
    machine: Rounds,
    view: View,
}

fn bench() -> Bench {
    let machine = Rounds::new(RoundsSetup {
        node: OWN,
        token: "token".to_owned(),
        sql_from: MonoNs(0),
        times_ms: (20, 0),
        needs_sync: false,
        lists: None,
        sizes: FillSizes { users: 2, keys: 10 },
        log: Log::new(Level::Error, false, &[]),
        metrics: Arc::default(),
    });
    let view = View {
        now: Now { mono: MonoNs(1_000_000_000), wall: WallMs(1_000) },
        is_stopping: false,
        own_compared: None,
        own_lost: Vec::new(),
        own_cleared: None,
        progress: NodeProgress::default(),
        denials: 0,
        unfit: None,
        refused: [0; RedisRefusal::COUNT],
        connects: 1,
    };
    Bench { machine, view }
}

impl Bench {
    /// What the node is told and the next effect, in short.
    fn step(&mut self, input: Input) -> String {
        let effect = self.machine.step(&self.view, input);
        let told = self.machine.take_notices();
        let told = told.iter().map(|notice| match notice {
            Notice::Learn(learned) if learned.run == NO_RUN => "learn nothing".to_owned(),
            Notice::Learn(_) => "learn".to_owned(),
            Notice::Fitness(..) => "fitness".to_owned(),
            Notice::GiveUp(_) => "give up".to_owned(),
            other => format!("{other:?}"),
        });
        told.chain([short(&effect)]).collect::<Vec<_>>().join("; ")
    }

    fn play(&mut self, rows: Vec<(Input, &str)>) {
        for (place, (input, expected)) in rows.into_iter().enumerate() {
            let named = format!("row {place}: {input:.80?}");
            assert_eq!(self.step(input), expected, "{named}");
        }
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Ask(RedisRequest::Pipeline(commands)) => {
            format!("pipeline {}", short_of_all(commands))
        }
        Effect::Ask(RedisRequest::Each(commands)) => format!("each {}", short_of_all(commands)),
        Effect::Ask(RedisRequest::Script { body, key, arguments }) => {
            let arguments: Vec<_> =
                arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
            format!("script {} {key} {}", name_of(&hash_of(body)), arguments.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// Scripts by their names; of many commands of one kind in a row the first, with their number.
fn short_of_all(commands: &[CommandWords]) -> String {
    let same = |one: &CommandWords, other: &CommandWords| one[0] == other[0];
    let short = commands.chunk_by(same).map(|commands| match commands {
        [one] => short_of(one),
        [first, .., last] => {
            format!("{}..{} ({})", short_of(first), short_of(last), commands.len())
        }
        [] => unreachable!("chunks are not empty"),
    });
    short.collect::<Vec<_>>().join(", ")
}

fn short_of(command: &CommandWords) -> String {
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    match (&*text(&command[0]), command.len()) {
        ("SCRIPT", _) => format!("load {}", name_of(&hash_of(&text(&command[2])))),
        ("EVALSHA", _) if command[2] == b"0" => format!("call {}", name_of(&command[1])),
        ("EVALSHA", _) => {
            let words: Vec<String> = command[3..].iter().map(text).collect();
            let words = words.join(" ");
            let words: String = words.chars().filter(|sign| !sign.is_control()).collect();
            format!("call {} {words:.40}", name_of(&command[1]))
        }
        ("EVAL", _) => "EVAL".to_owned(),
        _ => command.iter().map(text).collect::<Vec<_>>().join(" "),
    }
}

fn name_of(hash: &[u8]) -> &'static str {
    let known = [
        ("fence", scripts::FENCE),
        ("begin", scripts::BEGIN),
        ("doubt", scripts::DOUBT),
        ("advance", scripts::ADVANCE),
        ("lead", scripts::LEAD),
        ("refill", scripts::REFILL),
        ("heartbeat", scripts::HEARTBEAT),
        ("rights", scripts::RIGHTS),
    ];
    known.into_iter().find(|(_, body)| hash_of(body) == *hash).expect("a script of the keeper").0
}

fn text(text: &str) -> OwnedReply {
    OwnedReply::Text(text.as_bytes().to_vec())
}

fn texts(words: &[&str]) -> OwnedReply {
    OwnedReply::List(words.iter().map(|word| text(word)).collect())
}

fn answered(answers: impl IntoIterator<Item = OwnedReply>) -> Input {
    Input::Answered(Ok(answers.into_iter().collect()))
}

fn done() -> Input {
    answered([OwnedReply::Int(1)])
}

fn lost() -> Input {
    Input::Answered(Err(RedisError::Timeout))
}

fn sql_failed() -> SqlFailure {
    SqlFailure { meaning: SqlMeaning::Passing, cause: "unreachable", text: "gone".to_owned() }
}

/// A partition's meta: epoch and phase.
fn meta(epoch: Option<u32>, phase: PartitionPhase) -> OwnedReply {
    let epoch = epoch.map_or(OwnedReply::Nil, |epoch| text(&epoch.to_string()));
    let phase = match phase {
        PartitionPhase::Open => OwnedReply::Nil,
        PartitionPhase::Barrier => text("b"),
        PartitionPhase::Filling => text("f"),
    };
    OwnedReply::List(vec![
        epoch,
        text("0"),
        phase,
        OwnedReply::Nil,
        OwnedReply::Nil,
        OwnedReply::Nil,
    ])
}

/// What Redis says of itself, with the metas where they were asked for: all are open but one.
fn looked(seal: Option<u32>, lock: OwnedReply, fifth: Option<OwnedReply>) -> Input {
    let info = format!("redis_version:7.2.0\r\nrun_id:{RUN_ID}\r\nmaxmemory_policy:noeviction\r\n");
    let seal = seal.map_or(OwnedReply::List(vec![OwnedReply::Nil, OwnedReply::Nil]), |epoch| {
        texts(&[&epoch.to_string(), &run().to_string()])
    });
    let metas = fifth.into_iter().flat_map(|fifth| {
        let open = || meta(Some(1), PartitionPhase::Open);
        (0..PARTITIONS).map(move |at| if at == 5 { fifth.clone() } else { open() })
    });
    answered([text(&info), texts(&[]), seal, lock].into_iter().chain(metas))
}

fn run() -> u64 {
    let info = format!("redis_version:7.2.0\r\nrun_id:{RUN_ID}\r\n");
    nudged_redis::greeting::run_of_info(info.as_bytes()).unwrap()
}

/// Only this node is alive.
fn alone() -> Input {
    answered([OwnedReply::List(vec![OwnedReply::Int(1_000), OwnedReply::List(vec![])])])
}

fn members(members: &[&str]) -> Input {
    answered([texts(members)])
}

/// What is asked for first in each round, less the run that stands in the keys.
const METAS: &str = "each INFO server memory stats replication, CONFIG GET appendfsync appendonly, \
                     HMGET nudged:rebuild epoch run, GET nudged:rebuild:lock, \
                     HMGET nudged:{p0}:m e c s h v x..HMGET nudged:{p1023}:m e c s h v x (1024)";

/// The first round of a node that finds an open Redis, which its shards have compared.
fn first_round() -> Vec<(Input, String)> {
    let compared = format!("nudged:compared:{}", run());
    let rights = answered([text("hash"), texts(&[]), texts(&[]), texts(&[])]);
    let rows = [
        (Input::Go, format!("Heartbeat({OWN_ID:?})")),
        (
            Input::Nodes(Ok(vec![OWN])),
            "each load rights, call rights, EVAL, CONFIG GET appendfsync".to_owned(),
        ),
        (rights, "Hear([\"nudged:changed:0\", \"nudged:catalog\"])".to_owned()),
        (Input::Heard(Ok(())), format!("learn nothing; {METAS}")),
        (
            looked(None, OwnedReply::Nil, Some(meta(Some(1), PartitionPhase::Open))),
            format!("learn; script heartbeat nudged:nodes {OWN_ID}"),
        ),
        (alone(), format!("pipeline SMEMBERS {compared}")),
        (members(&[]), format!("pipeline SADD {compared} {OWN_ID}")),
        (done(), format!("pipeline EXPIRE {compared} 604800")),
        (done(), "fitness; Sleep(0)".to_owned()),
    ];
    rows.into()
}

#[test]
fn a_round_reads_all_before_it_decides_and_says_what_it_compared() {
    let mut bench = bench();
    bench.view.own_compared = Some(run());
    for (input, expected) in first_round() {
        assert_eq!(bench.step(input), expected);
    }
    // The next one: SQL and the rights are not due, and it has said so itself. Nobody else lives.
    let compared = format!("nudged:compared:{}", run());
    bench.play(vec![
        (Input::Go, &format!("learn; {METAS}")),
        (
            looked(None, OwnedReply::Nil, Some(meta(Some(1), PartitionPhase::Open))),
            &format!("learn; script heartbeat nudged:nodes {OWN_ID}"),
        ),
        (alone(), &format!("pipeline SMEMBERS {compared}")),
        (members(&[OWN_ID]), &format!("pipeline SADD {compared} {OWN_ID} cleared")),
        (done(), &format!("pipeline EXPIRE {compared} 604800")),
        (done(), &format!("Clear({}); fitness; Sleep(0)", run())),
    ]);
    // And then it is quiet: the metas are not looked at either.
    bench.view.own_cleared = Some(run());
    bench.play(vec![
        (Input::Go, &format!("learn; {METAS}")),
        (
            looked(None, OwnedReply::Nil, Some(meta(Some(1), PartitionPhase::Open))),
            &format!("learn; script heartbeat nudged:nodes {OWN_ID}"),
        ),
        (alone(), &format!("pipeline SMEMBERS {compared}")),
        (members(&[OWN_ID, "cleared"]), "fitness; Sleep(250)"),
        (Input::Go, &format!("learn; {}", METAS.split(", HMGET nudged:{").next().unwrap())),
    ]);
}

#[test]
fn wherever_redis_fails_the_round_ends_and_the_next_one_reads_all_again() {
    let asked = first_round().len();
    for failing in 2..asked {
        let mut bench = bench();
        bench.view.own_compared = Some(run());
        for (input, _) in first_round().into_iter().take(failing) {
            bench.step(input);
        }
        let is_hearing = failing == 3;
        if is_hearing {
            // Nothing is learnt of rights without a connection, and the round goes on.
            let heard = bench.step(Input::Heard(Err(RedisError::Timeout)));
            assert_eq!(heard, format!("learn nothing; {METAS}"));
        }
        let failed = bench.step(lost());
        assert_eq!(failed, "learn nothing; give up; fitness; Rest", "after {failing} inputs");
        let again = bench.step(Input::Go);
        let is_tried = failing > 3 || is_hearing;
        let rights = "each load rights, call rights, EVAL, CONFIG GET appendfsync";
        let expected = if is_tried { format!("learn nothing; {METAS}") } else { rights.to_owned() };
        assert_eq!(again, expected, "after {failing} inputs");
    }
}

#[test]
fn an_input_that_nothing_asked_for_ends_the_round_too() {
    for inputs in 1..first_round().len() {
        let mut bench = bench();
        bench.view.own_compared = Some(run());
        for (input, _) in first_round().into_iter().take(inputs) {
            bench.step(input);
        }
        let failed = bench.step(Input::Epoch(Ok(Some(1))));
        assert_eq!(failed, "learn nothing; give up; fitness; Rest", "after {inputs} inputs");
    }
}

#[test]
fn a_stop_leaves_the_lead_and_says_so_in_sql_once_all_is_there() {
    use nudged_base::ids::Sequence;
    for (applied, last) in [(8, "End"), (9, "SayStopped")] {
        let mut bench = bench();
        bench.view.is_stopping = true;
        bench.view.progress =
            NodeProgress { written: Sequence(9), applied: Sequence(applied), ..Default::default() };
        bench.play(vec![
            (Input::Go, "script lead nudged:rebuild:lock token 0"),
            (lost(), last),
            (Input::Go, "End"),
        ]);
    }
}

/// A carrier of actions alone.
struct Carrier {
    actions: Actions,
    common: Common,
    view: View,
}

fn carrier(actions: Vec<KeeperAction>) -> Carrier {
    let Bench { machine, view } = bench();
    let Rounds { mut actions, common, .. } = { machine.with_actions(actions) };
    actions.rebuilt();
    Carrier { actions, common, view }
}

impl Rounds {
    fn with_actions(mut self, actions: Vec<KeeperAction>) -> Rounds {
        self.actions.set(actions);
        self
    }
}

impl Carrier {
    fn begin(&mut self) -> String {
        let effect = self.actions.begin_next(&mut self.common, &self.view);
        self.short(Ok(effect))
    }

    fn step(&mut self, input: Input) -> String {
        let turn = self.actions.step(&mut self.common, &self.view, input);
        self.short(turn)
    }

    /// The effect, and at the end what the node is told and whether it is news.
    fn short(&mut self, turn: Result<Option<Effect>, RoundError>) -> String {
        match turn {
            Ok(Some(effect)) => short(&effect),
            Ok(None) => {
                let told = std::mem::take(&mut self.common.notices);
                let told = told.iter().map(|notice| format!("{notice:?}; "));
                let news = if std::mem::take(&mut self.common.is_news) { "news" } else { "over" };
                told.chain([news.to_owned()]).collect()
            }
            Err(error) => error.to_string(),
        }
    }
}

/// An action, what it asks for with the answers, and its end.
type ActionRow = (KeeperAction, Vec<(&'static str, Input)>, &'static str);

const FIVE: Partition = Partition(5);

fn rows_of_losses_and_leads() -> Vec<ActionRow> {
    let five = FIVE;
    let seal = SealedEpoch { epoch: 4, run: RUN };
    vec![
        (
            KeeperAction::Fence(vec![(five, 3)]),
            vec![("pipeline load fence, call fence nudged:{p5}:m 3", done())],
            "news",
        ),
        (
            KeeperAction::Doubt(vec![(five, 3, Vanishing::Expiry)]),
            vec![("pipeline load doubt, call doubt nudged:{p5}:m 3 t", done())],
            "over",
        ),
        (KeeperAction::ClearLosses(vec![five]), vec![], "ClearLosses([Partition(5)]); over"),
        (KeeperAction::Clear { run: RUN }, vec![], "Clear(7); news"),
        (
            KeeperAction::SayCompared { run: RUN, is_cleared: true },
            vec![
                (
                    "pipeline SADD nudged:compared:7 00000000000000000000000000000001 cleared",
                    done(),
                ),
                ("pipeline EXPIRE nudged:compared:7 604800", done()),
            ],
            "news",
        ),
        (
            KeeperAction::AckDrained(seal),
            vec![
                ("pipeline SADD nudged:rebuild:4:7 00000000000000000000000000000001", done()),
                ("pipeline EXPIRE nudged:rebuild:4:7 604800", done()),
            ],
            "news",
        ),
        (
            KeeperAction::TakeLead,
            vec![("script lead nudged:rebuild:lock token 2000", done())],
            "news",
        ),
        (
            KeeperAction::TakeLead,
            vec![("script lead nudged:rebuild:lock token 2000", answered([OwnedReply::Int(0)]))],
            "over",
        ),
        (
            KeeperAction::KeepLead,
            vec![("script lead nudged:rebuild:lock token 2000", done())],
            "over",
        ),
        (
            KeeperAction::LeaveLead,
            vec![("script lead nudged:rebuild:lock token 0", done())],
            "news",
        ),
    ]
}

fn rows_of_rebuilds() -> Vec<ActionRow> {
    let five = FIVE;
    let begin = KeeperAction::Begin {
        at_least: 4,
        run: RUN,
        evicted: 9,
        vanishing: Some(Vanishing::Eviction),
        partitions: vec![(five, Some(3))],
    };
    let advance = |from| KeeperAction::Advance { from, partitions: vec![(five, 4)] };
    vec![
        (
            begin.clone(),
            vec![
                ("NextEpoch(4)", Input::Epoch(Ok(Some(6)))),
                ("pipeline load begin, call begin nudged:{p5}:m 6 3 7:9 1", done()),
                ("pipeline HSET nudged:rebuild epoch 6 run 7", done()),
            ],
            "news",
        ),
        (begin.clone(), vec![("NextEpoch(4)", Input::Epoch(Err(sql_failed())))], "over"),
        (begin.clone(), vec![("NextEpoch(4)", Input::Epoch(Ok(None)))], "over"),
        (begin, vec![("NextEpoch(4)", lost())], "Redis does not answer"),
        (
            advance(PartitionPhase::Barrier),
            vec![("pipeline load advance, call advance nudged:{p5}:m 4 b f", done())],
            "news",
        ),
        (
            advance(PartitionPhase::Filling),
            vec![("pipeline load advance, call advance nudged:{p5}:m 4 f ", done())],
            "news",
        ),
        (KeeperAction::FillOn, vec![], "over"),
        (KeeperAction::FillStop, vec![], "news"),
        (
            KeeperAction::Fence(vec![(five, 3)]),
            vec![(
                "pipeline load fence, call fence nudged:{p5}:m 3",
                answered([OwnedReply::Nil, OwnedReply::Error("NOPERM no".to_owned())]),
            )],
            "Redis refused a command: NOPERM no",
        ),
    ]
}

#[test]
fn each_action_asks_for_this_and_is_news_or_not() {
    let rows = rows_of_losses_and_leads().into_iter().chain(rows_of_rebuilds());
    for (action, steps, end) in rows {
        let named = format!("{action:?}");
        let mut carrier = carrier(vec![action]);
        let mut now = carrier.begin();
        for (expected, input) in steps {
            assert_eq!(now, expected, "{named}");
            now = carrier.step(input);
        }
        assert_eq!(now, end, "{named}");
    }
}

#[test]
fn actions_are_carried_out_in_their_order_and_none_after_one_that_failed() {
    let two = || vec![KeeperAction::KeepLead, KeeperAction::Fence(vec![(Partition(5), 3)])];
    let mut carrier = carrier(two());
    assert_eq!(carrier.begin(), "script lead nudged:rebuild:lock token 2000");
    assert_eq!(carrier.step(done()), "pipeline load fence, call fence nudged:{p5}:m 3");
    assert_eq!(carrier.step(done()), "news");
    carrier.actions.set(two());
    carrier.begin();
    assert_eq!(carrier.step(lost()), "Redis does not answer");
}

#[test]
fn a_rebuild_is_begun_again_after_a_while_alone() {
    let begin = || {
        let (vanishing, partitions) = (None, vec![(Partition(5), None)]);
        vec![KeeperAction::Begin { at_least: 1, run: RUN, evicted: 0, vanishing, partitions }]
    };
    let mut carrier = carrier(begin());
    for (after_ms, expected) in [(0, "NextEpoch(1)"), (99, "over"), (1, "NextEpoch(1)")] {
        carrier.view.now.mono = carrier.view.now.mono.plus_ms(after_ms);
        carrier.actions.set(begin());
        assert_eq!(carrier.begin(), expected, "{after_ms}");
        if expected != "over" {
            carrier.step(Input::Epoch(Ok(None)));
        }
    }
    carrier.actions.rebuilt();
    carrier.actions.set(begin());
    assert_eq!(carrier.begin(), "NextEpoch(1)", "the next one is begun at once");
}

/// A user of a partition.
fn user_of(partition: u16, number: usize) -> String {
    let users = (0..).map(|user| format!("user-{user}"));
    let own = users.filter(|user| UserKey::of(user.as_bytes()).partition().0 == partition);
    own.into_iter().nth(number).unwrap()
}

fn state(counter: u64) -> Option<UserState> {
    let revision = Revision { epoch: 0, counter };
    Some(UserState { revision, ..UserState::default() })
}

#[test]
fn a_filling_raises_what_is_there_and_then_writes_everybody_of_its_partitions() {
    let [one, two, other] = [user_of(5, 0), user_of(5, 1), user_of(6, 0)];
    let key = |user: &str| scripts::user_key(UserKey::of(user.as_bytes()).partition(), user);
    let keys = |cursor: &str, users: &[&String]| {
        let keys = users.iter().map(|user| text(&key(user))).collect();
        answered([OwnedReply::List(vec![text(cursor), OwnedReply::List(keys)])])
    };
    let scan = |cursor: &str| format!("pipeline SCAN {cursor} MATCH nudged:{{p*}}:u:* COUNT 10");
    let refill = |user: &str| {
        let call = format!("{} ", key(user));
        format!("pipeline load refill, call refill {call:.40}")
    };
    let mut carrier = carrier(vec![KeeperAction::Fill(vec![Partition(5)])]);
    assert_eq!(carrier.begin(), scan("0"));
    // Who is of no partition that is filled is passed over.
    assert_eq!(carrier.step(keys("3", &[&one, &other])), format!("States([{one:?}])"));
    let refilled = carrier.step(Input::States(Ok(vec![state(4)])));
    assert!(refilled.starts_with(refill(&one).trim_end()), "{refilled}");
    assert_eq!(carrier.step(done()), scan("3"));
    assert_eq!(carrier.actions.filling(), crate::keeper::core::Filling::Running);
    // Nobody is left in Redis: now those of SQL, two at a time.
    assert_eq!(carrier.step(keys("0", &[])), "Users(\"\", 2)");
    let listed = carrier.step(Input::Users(Ok(vec![one.clone(), two.clone()])));
    assert_eq!(listed, format!("States([{one:?}, {two:?}])"));
    // One can't be read, and SQL does not know the other: nothing is written of them.
    assert_eq!(carrier.step(Input::States(Ok(vec![None, state(0)]))), "pipeline load refill");
    assert_eq!(carrier.step(answered([text("hash")])), format!("Users({two:?}, 2)"));
    // Fewer than were asked for are the last.
    assert_eq!(carrier.step(Input::Users(Ok(vec![other]))), "news");
    assert_eq!(carrier.actions.filling(), crate::keeper::core::Filling::Done);
    let metrics = &carrier.common.metrics;
    assert_eq!(metrics.users_filled.load(Ordering::Relaxed), 1);
    assert_eq!(metrics.users_unreadable.load(Ordering::Relaxed), 1);
}

#[test]
fn a_filling_rests_as_long_as_it_worked_and_goes_on_where_it_was() {
    let fill = || vec![KeeperAction::Fill(vec![Partition(5)])];
    let empty =
        |cursor: &str| answered([OwnedReply::List(vec![text(cursor), OwnedReply::List(vec![])])]);
    let scan = |cursor: &str| format!("pipeline SCAN {cursor} MATCH nudged:{{p*}}:u:* COUNT 10");
    let mut carrier = carrier(fill());
    carrier.begin();
    carrier.view.now.mono = carrier.view.now.mono.plus_ms(49);
    assert_eq!(carrier.step(empty("1")), scan("1"));
    carrier.view.now.mono = carrier.view.now.mono.plus_ms(1);
    assert_eq!(carrier.step(empty("2")), "Pause(50)");
    assert_eq!(carrier.step(Input::Go), "news");
    carrier.actions.set(vec![KeeperAction::FillOn]);
    assert_eq!(carrier.begin(), scan("2"));
    // SQL fails: the same users come again, once it may be asked.
    let one = user_of(5, 0);
    let key = scripts::user_key(Partition(5), &one);
    let found = answered([OwnedReply::List(vec![text("0"), texts(&[&key])])]);
    assert_eq!(carrier.step(found), format!("States([{one:?}])"));
    assert_eq!(carrier.step(Input::States(Err(sql_failed()))), "over");
    carrier.actions.set(vec![KeeperAction::FillOn]);
    assert_eq!(carrier.begin(), "over", "SQL is left alone");
    carrier.view.now.mono = carrier.view.now.mono.plus_ms(1_000);
    carrier.actions.set(vec![KeeperAction::FillOn]);
    assert_eq!(carrier.begin(), scan("2"));
    // Redis fails: it begins anew.
    assert_eq!(carrier.step(lost()), "Redis does not answer");
    assert_eq!(carrier.actions.filling(), crate::keeper::core::Filling::Idle);
}
