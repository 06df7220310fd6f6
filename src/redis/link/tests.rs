//! Property: each ticket gets exactly one reply, its own, after at most one expiry, whatever the
//! server, the connection and the clock do.

use proptest::prelude::*;

use super::*;
use crate::command::Meta;
use nudged_base::telemetry::counters::Counter;

const HELLO: &str = "%1\r\n+proto\r\n:3\r\n";
const NO_SCRIPT: &str = "-NOSCRIPT No matching script. Please use EVAL.\r\n";

/// A link with its clock and the bytes that it has sent.
struct Bench {
    link: Link,
    now: MonoNs,
    sent: Vec<u8>,
}

fn settings() -> LinkSettings {
    LinkSettings { window: 8, retry_budget_percent: 100, ..LinkSettings::default() }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn about(version: &str) -> String {
    let server = bulk(&format!("redis_version:{version}\r\nrun_id:abc\r\n"));
    let memory = bulk("maxmemory_policy:noeviction\r\n");
    format!("{server}{memory}-NOPERM no\r\n")
}

/// The reply to a `Meta` whose counter is `number`.
fn meta(number: u64) -> String {
    format!("*4\r\n:5\r\n:1\r\n:{number}\r\n$0\r\n\r\n")
}

impl Bench {
    fn new(settings: LinkSettings) -> Bench {
        let mut link = Link::new(Arc::new(settings), Arc::default(), 7);
        assert_eq!(link.wish(), Some(LinkRequest::Connect));
        link.tick(MonoNs(0));
        Bench { link, now: MonoNs(0), sent: Vec::new() }
    }

    fn up(settings: LinkSettings) -> Bench {
        let mut bench = Bench::new(settings);
        bench.greet();
        bench
    }

    /// The connection stands and the server introduces itself.
    fn greet(&mut self) {
        self.link.connected(self.now);
        self.say(HELLO);
        self.say(&about("7.0.15"));
        let up = self.events().into_iter().find(|event| matches!(event, LinkEvent::Up(_)));
        assert!(up.is_some());
        self.sent.clear();
    }

    fn say(&mut self, text: &str) {
        self.flush();
        self.link.received(self.now, text.as_bytes());
        self.flush();
    }

    fn flush(&mut self) {
        self.link.take_output(&mut self.sent);
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.link.tick(self.now);
    }

    /// Asks for a meta; its right answer is `meta(ticket)`.
    fn ask(&mut self, ticket: u64) -> Result<(), NotSent> {
        let partition = Partition(u16::try_from(ticket).unwrap());
        let sent = self.link.send(self.now, ticket, &RedisCommand::Meta { partition });
        self.flush();
        sent
    }

    fn events(&mut self) -> Vec<LinkEvent> {
        std::iter::from_fn(|| self.link.next_event()).collect()
    }

    fn wishes(&mut self) -> Vec<LinkRequest> {
        std::iter::from_fn(|| self.link.wish()).collect()
    }

    fn sent_text(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
    }
}

fn answered(ticket: u64, late: bool) -> LinkEvent {
    let at = nudged_base::time::WallMs(5);
    let phase = crate::command::PartitionPhase::Open;
    let meta = Meta { at, epoch: Some(1), counter: ticket, phase, is_doubted: false };
    LinkEvent::Reply { ticket, late, result: Ok(Reply::Meta(meta)) }
}

fn failed(ticket: u64, late: bool, failure: CommandFailure) -> LinkEvent {
    LinkEvent::Reply { ticket, late, result: Err(failure) }
}

#[test]
fn a_connection_that_nobody_speaks_on_is_asked_and_given_up_where_it_is_dead() {
    let mut bench = Bench::up(settings());
    assert_eq!(bench.link.next_deadline(), Some(bench.now.plus_ms(LINK_IDLE_MS)));
    bench.pass(LINK_IDLE_MS - 1);
    bench.flush();
    assert_eq!(bench.sent_text(), "");
    bench.pass(1);
    bench.flush();
    assert_eq!(bench.sent_text(), "*1\r\n$4\r\nPING\r\n");
    bench.say("+PONG\r\n");
    assert!(bench.link.is_open(bench.now) && bench.events().is_empty());
    // Nothing more comes.
    bench.pass(LINK_IDLE_MS);
    bench.pass(2 * settings().deadline_ms);
    assert_eq!(bench.events(), [LinkEvent::Down]);
    assert_eq!(bench.wishes(), [LinkRequest::Close]);
    bench.pass(0);
    assert_eq!(bench.wishes(), [LinkRequest::Connect]);
}

#[test]
fn the_server_is_told_who_we_are_and_says_who_it_is() {
    let (_, mut told) = LinkSettings::of_url("redis://u:p@h/2").unwrap();
    told.subscriptions = vec![Partition(3), Partition(1_023)];
    let mut bench = Bench::new(told);
    bench.link.connected(bench.now);
    bench.flush();
    let hello = bench.sent_text();
    assert!(hello.contains("HELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n"), "{hello}");
    bench.say(HELLO);
    let rest = bench.sent_text();
    for word in ["SELECT", "nudged:changed:3", "nudged:changed:1023", "server", "appendfsync"] {
        assert!(rest.contains(word), "{word} in {rest}");
    }
    assert!(!bench.link.is_open(bench.now));
    bench.say("+OK\r\n>3\r\n+subscribe\r\n+nudged:changed:3\r\n:1\r\n");
    bench.say(">3\r\n+subscribe\r\n+nudged:changed:1023\r\n:2\r\n");
    bench.say(&about("7.0.15"));
    let [LinkEvent::Up(server)] = bench.events()[..] else { panic!("it is up") };
    assert!(server.subscribed && server.resp3 && !server.evicts);
    assert_eq!(server.syncs_always, None, "it may not say");
    let change = "\0\0\0\x01\0\0\0\0\0\0\0\x02u1";
    bench.say(&format!(">3\r\n+message\r\n+nudged:changed:3\r\n{}", bulk(change)));
    let revision = nudged_base::ids::Revision { epoch: 1, counter: 2 };
    let changed = LinkEvent::Changed { partition: Partition(3), user: "u1".into(), revision };
    assert_eq!(bench.events(), [changed]);
}

#[test]
fn an_old_protocol_and_denied_channels_are_lived_with() {
    let subscriptions = vec![Partition(0)];
    let mut bench = Bench::new(LinkSettings { subscriptions: subscriptions.clone(), ..settings() });
    bench.link.connected(bench.now);
    bench.say("-ERR unknown command 'HELLO'\r\n");
    bench.say(&format!("+OK\r\n{}", about("7.2.0")));
    let [LinkEvent::Up(server)] = bench.events()[..] else { panic!("it is up") };
    assert!(!server.resp3 && !server.subscribed);
    let mut bench = Bench::new(LinkSettings { subscriptions, ..settings() });
    bench.link.connected(bench.now);
    bench.say(HELLO);
    bench.say(&format!("-NOPERM channels\r\n{}", about("7.2.0")));
    let [LinkEvent::Denied, LinkEvent::Up(server)] = bench.events()[..] else {
        panic!("it is up, and the denial is told")
    };
    assert!(server.resp3 && !server.subscribed);
    bench.link.renew(bench.now);
    assert_eq!(bench.events(), [LinkEvent::Down]);
    bench.pass(200);
    assert_eq!(bench.wishes(), [LinkRequest::Close, LinkRequest::Connect], "and asks anew");
}

#[test]
fn an_unfit_server_is_asked_again_slowly() {
    for (replies, unfit) in [
        (vec!["-WRONGPASS no".to_owned() + "\r\n"], Incompatible::NotLetIn),
        (vec!["-NOAUTH no\r\n".to_owned()], Incompatible::NotLetIn),
        (vec![HELLO.to_owned(), about("6.2.0")], Incompatible::TooOld),
        (vec![HELLO.to_owned(), bulk("x:y")], Incompatible::Unnamed),
        (vec![HELLO.to_owned(), "-NOPERM info\r\n".to_owned()], Incompatible::Denied("info")),
    ] {
        let mut bench = Bench::new(settings());
        bench.link.connected(bench.now);
        for reply in replies {
            bench.say(&reply);
        }
        assert_eq!(bench.events(), [LinkEvent::Incompatible(unfit)]);
        assert_eq!(bench.wishes(), [LinkRequest::Close]);
        bench.pass(999);
        assert_eq!(bench.wishes(), []);
        bench.pass(1);
        assert_eq!(bench.wishes(), [LinkRequest::Connect]);
    }
}

#[test]
fn a_late_reply_is_never_the_next_ones() {
    let mut bench = Bench::up(settings());
    bench.ask(1).unwrap();
    bench.pass(20);
    assert_eq!(bench.events(), [LinkEvent::Expired { ticket: 1 }]);
    bench.ask(2).unwrap();
    bench.say(&meta(1));
    assert_eq!(bench.events(), [answered(1, true)]);
    bench.say(&meta(2));
    assert_eq!(bench.events(), [answered(2, false)]);
    let counters = &bench.link.counters;
    let counts =
        [&counters.redis_link_expired, &counters.redis_link_late, &counters.redis_link_replies];
    assert_eq!(counts.map(Counter::get), [1, 1, 1]);
}

#[test]
fn a_frozen_connection_is_given_up_at_twice_the_deadline() {
    let mut bench = Bench::up(settings());
    bench.ask(1).unwrap();
    bench.pass(30);
    bench.ask(2).unwrap();
    bench.pass(9);
    assert_eq!(bench.events(), [LinkEvent::Expired { ticket: 1 }]);
    assert_eq!(bench.wishes(), []);
    bench.pass(1);
    let unknown = CommandFailure::Unknown;
    assert_eq!(
        bench.events(),
        [LinkEvent::Down, failed(1, true, unknown), failed(2, false, unknown)]
    );
    assert_eq!(bench.wishes(), [LinkRequest::Close]);
    assert_eq!(bench.ask(3), Err(NotSent::Closed));
}

#[test]
fn bytes_that_are_no_reply_end_the_connection() {
    for bytes in ["x", "*65536\r\n", "+PONG\r\n", "$70000\r\n"] {
        let mut bench = Bench::up(settings());
        bench.ask(1).unwrap();
        bench.say(bytes);
        let unknown = failed(1, false, CommandFailure::Unknown);
        let events = bench.events();
        assert!(events.contains(&unknown) && events.contains(&LinkEvent::Down), "{bytes}");
        assert_eq!((bench.wishes(), events.len()), (vec![LinkRequest::Close], 2), "{bytes}");
        assert_eq!(bench.link.counters.redis_link_malformed.get(), 1);
    }
    let mut bench = Bench::up(settings());
    bench.say(&meta(1));
    assert_eq!(bench.events(), [LinkEvent::Down], "a reply that nobody asked for");
}

#[test]
fn a_missing_script_is_sent_for_its_slot_alone() {
    let mut bench = Bench::up(settings());
    for ticket in 1..=3 {
        bench.ask(ticket).unwrap();
    }
    bench.sent.clear();
    bench.say(&format!("{}{NO_SCRIPT}{}", meta(1), meta(3)));
    let text = bench.sent_text();
    assert_eq!((text.matches("EVAL\r\n").count(), text.contains("{p2}")), (1, true), "{text}");
    assert_eq!(bench.events(), [answered(1, false), answered(3, false)]);
    bench.ask(4).unwrap();
    bench.say(&format!("{}{}", meta(2), meta(4)));
    assert_eq!(bench.events(), [answered(2, false), answered(4, false)]);
    assert_eq!(bench.link.counters.redis_link_noscript.get(), 1);
}

#[test]
fn a_lost_connections_commands_are_sent_again_once() {
    let mut bench = Bench::up(settings());
    for ticket in 1..=3 {
        bench.ask(ticket).unwrap();
    }
    bench.say(&meta(1));
    bench.events();
    bench.pass(10);
    bench.link.broken(bench.now);
    assert_eq!(bench.events(), [LinkEvent::Down]);
    // The connection was young, so the next one waits; it comes before the deadline only if the
    // wait is short.
    let until = bench.link.next_deadline().unwrap();
    assert!(until > bench.now);
    bench.now = until;
    bench.link.tick(bench.now);
    let unknown =
        [failed(2, true, CommandFailure::Unknown), failed(3, true, CommandFailure::Unknown)];
    let expired = [2, 3].map(|ticket| LinkEvent::Expired { ticket });
    assert_eq!(bench.events(), [expired, unknown].concat());

    let mut bench = Bench::up(settings());
    for _ in 0..LINK_STEADY_MS / LINK_IDLE_MS {
        bench.pass(LINK_IDLE_MS);
        bench.say("+PONG\r\n");
    }
    for ticket in 1..=3 {
        bench.ask(ticket).unwrap();
    }
    bench.say(&meta(1));
    bench.link.broken(bench.now);
    bench.pass(0);
    assert_eq!(bench.wishes(), [LinkRequest::Connect], "at once, for it was steady");
    bench.events();
    bench.greet();
    bench.flush();
    bench.say(&meta(2));
    assert_eq!(bench.events(), [answered(2, false)]);
    bench.link.broken(bench.now);
    assert_eq!(
        bench.events(),
        [LinkEvent::Down, failed(3, false, CommandFailure::Unknown)],
        "only once"
    );
    assert_eq!(bench.link.counters.redis_link_retries.get(), 2);
}

#[test]
fn retries_are_earned() {
    let mut bench = Bench::up(LinkSettings { retry_budget_percent: 50, ..settings() });
    bench.pass(1_000);
    for ticket in 1..=4 {
        bench.ask(ticket).unwrap();
    }
    bench.link.broken(bench.now);
    let unknown = |ticket| failed(ticket, false, CommandFailure::Unknown);
    assert_eq!(bench.events(), [LinkEvent::Down, unknown(3), unknown(4)]);
}

#[test]
fn errors_open_the_breaker_and_one_command_closes_it() {
    let mut bench = Bench::up(settings());
    for ticket in 1..=5 {
        bench.ask(ticket).unwrap();
        bench.say("-LOADING Redis is loading the dataset in memory\r\n");
    }
    assert_eq!(bench.events().len(), 5);
    assert_eq!(bench.ask(6), Err(NotSent::Closed));
    assert_eq!(bench.link.counters.redis_refused.of("loading").get(), 5);
    bench.sent.clear();
    bench.pass(100);
    bench.flush();
    assert_eq!(bench.sent_text(), "*1\r\n$4\r\nPING\r\n");
    assert!(!bench.link.is_open(bench.now));
    bench.say("+PONG\r\n");
    bench.ask(7).unwrap();
    assert_eq!(bench.ask(8), Err(NotSent::Closed), "one at a time");
    bench.say(&meta(7));
    bench.ask(8).unwrap();
    bench.ask(9).unwrap();
    assert_eq!(bench.events(), [answered(7, false)]);
}

/// A link whose breaker has opened and whose probe was answered, and on which nothing is asked.
fn in_trial() -> Bench {
    let mut bench = Bench::up(settings());
    for ticket in 1..=5 {
        bench.ask(ticket).unwrap();
        bench.say("-LOADING Redis is loading the dataset in memory\r\n");
    }
    bench.events();
    bench.pass(100);
    bench.say("+PONG\r\n");
    bench.sent.clear();
    assert_eq!(bench.link.breaker.state(), BreakerState::Probing);
    assert_eq!(bench.link.next_deadline(), Some(bench.now.plus_ms(LINK_IDLE_MS)));
    bench.pass(LINK_IDLE_MS - 1);
    bench.flush();
    assert_eq!(bench.sent_text(), "", "a command may still come");
    bench.pass(1);
    bench.flush();
    assert_eq!(bench.sent_text(), "*1\r\n$4\r\nPING\r\n");
    assert!(!bench.link.is_open(bench.now), "this is the trial");
    bench
}

// A shard that nobody asks anything would say for ever that it is probing.
#[test]
fn without_a_command_a_ping_closes_the_breaker_or_opens_it_again() {
    let mut good = in_trial();
    good.say("+PONG\r\n");
    assert_eq!(good.link.breaker.state(), BreakerState::Closed);
    good.ask(6).unwrap();
    good.ask(7).unwrap();

    let mut refused = in_trial();
    refused.say("-LOADING Redis is loading the dataset in memory\r\n");
    assert_eq!(refused.link.breaker.state(), BreakerState::Open);

    // A late one says that somebody is there again, and no more.
    let mut late = in_trial();
    late.pass(settings().deadline_ms);
    assert_eq!(late.link.breaker.state(), BreakerState::Open);
    late.say("+PONG\r\n");
    assert_eq!(late.link.breaker.state(), BreakerState::Probing);
    late.ask(6).unwrap();
    late.say(&meta(6));
    assert_eq!(late.link.breaker.state(), BreakerState::Closed);

    let mut lost = in_trial();
    lost.link.broken(lost.now);
    assert_eq!(lost.link.breaker.state(), BreakerState::Open);
}

#[test]
fn the_window_holds() {
    let mut bench = Bench::up(settings());
    for ticket in 0..8 {
        assert_eq!(bench.link.room() as u64, 8 - ticket);
        bench.ask(ticket).unwrap();
    }
    assert_eq!((bench.link.room(), bench.ask(8)), (0, Err(NotSent::Full)));
    bench.say(&meta(0));
    bench.ask(8).unwrap();
}

#[test]
fn a_connection_that_is_not_made_is_tried_again_with_growing_delays() {
    let mut bench = Bench::new(settings());
    for longest in [100, 200, 400, 500, 500] {
        bench.link.broken(bench.now);
        let until = bench.link.next_deadline().unwrap();
        let delay = (until.0 - bench.now.0) / 1_000_000;
        assert!((longest / 2..=longest).contains(&delay), "{delay} of {longest}");
        bench.now = until;
        bench.link.tick(bench.now);
        assert_eq!(bench.wishes(), [LinkRequest::Connect]);
    }
    // Neither a connection nor a greeting may hang.
    bench.pass(LINK_HANDSHAKE_MS);
    assert_eq!(bench.wishes(), [LinkRequest::Close]);
}

/// A step of the world.
#[derive(Clone, Debug)]
enum Step {
    Ask,
    Answer(usize),
    NoScript,
    Refuse,
    Pass(u64),
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Ask),
        5 => (1_usize..4).prop_map(Step::Answer),
        1 => Just(Step::NoScript),
        1 => Just(Step::Refuse),
        3 => (0_u64..30).prop_map(Step::Pass),
        1 => Just(Step::Break),
    ]
}

/// A server that answers what it reads: the number of each meta's partition, or a pong.
fn commands_in(sent: &mut Vec<u8>) -> Vec<String> {
    let text = String::from_utf8(std::mem::take(sent)).unwrap();
    let mut answers = Vec::new();
    for piece in text.split("\r\n") {
        if let Some(rest) = piece.strip_prefix("nudged:{p") {
            answers.push(meta(rest.split('}').next().unwrap().parse().unwrap()));
        } else if piece == "PING" {
            answers.push("+PONG\r\n".to_owned());
        }
    }
    answers
}

proptest! {
    #[test]
    fn each_ticket_has_one_outcome_and_it_is_its_own(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut bench = Bench::up(settings());
        let mut waiting: VecDeque<String> = VecDeque::new();
        let (mut asked, mut outcomes) = (0_u64, Vec::new());
        for step in steps {
            match step {
                Step::Ask => {
                    if bench.ask(asked).is_ok() {
                        asked += 1;
                    }
                }
                Step::Answer(count) => {
                    let count = count.min(waiting.len());
                    let text: String = waiting.drain(..count).collect();
                    bench.link.received(bench.now, text.as_bytes());
                }
                Step::NoScript if waiting.front().is_some_and(|front| front.starts_with('*')) => {
                    waiting.pop_front();
                    bench.link.received(bench.now, NO_SCRIPT.as_bytes());
                }
                Step::Refuse if !waiting.is_empty() => {
                    waiting.pop_front();
                    bench.link.received(bench.now, b"-BUSY x\r\n");
                }
                Step::NoScript | Step::Refuse => {}
                Step::Pass(ms) => bench.pass(ms),
                Step::Break => bench.link.broken(bench.now),
            }
            outcomes.extend(bench.events());
            for wish in bench.wishes() {
                waiting.clear();
                bench.sent.clear();
                if wish == LinkRequest::Connect {
                    bench.link.connected(bench.now);
                    bench.say(HELLO);
                    bench.say(&about("7.0.15"));
                }
            }
            bench.flush();
            waiting.extend(commands_in(&mut bench.sent));
        }
        bench.pass(1_000);
        bench.pass(1_000);
        outcomes.extend(bench.events());
        let mut expired = vec![false; usize::try_from(asked).unwrap()];
        let mut replied = vec![false; usize::try_from(asked).unwrap()];
        for outcome in outcomes {
            match outcome {
                LinkEvent::Expired { ticket } => {
                    let place = usize::try_from(ticket).unwrap();
                    prop_assert!(!expired[place] && !replied[place]);
                    expired[place] = true;
                }
                LinkEvent::Reply { ticket, late, result } => {
                    let place = usize::try_from(ticket).unwrap();
                    prop_assert!(!replied[place], "{ticket} twice");
                    prop_assert_eq!(late, expired[place]);
                    replied[place] = true;
                    if let Ok(Reply::Meta(meta)) = result {
                        prop_assert_eq!(meta.counter, ticket, "another one's reply");
                    }
                }
                _ => {}
            }
        }
        prop_assert!(replied.iter().all(|is_replied| *is_replied));
    }
}
