//! Property: whatever was acknowledged is in SQL exactly once, and nobody is shown a popup twice
//! within its gap, although the server is killed again and again in the midst of its work, with
//! another number of shards each time (docs/guarantees.md#g1a, #g2, #g3).
//!
//! `NUDGED_KILL_ROUNDS` sets the number of kills; `tools/kill-loop` runs a hundred.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::{Client, event, request};
use crate::database;
use crate::harness::{Setup, until};

/// Kills where nobody asks for another number.
const ROUNDS: u64 = 8;
/// Clients at once, each with one connection and users of its own.
const CLIENTS: usize = 4;
/// Requests that a client sends before it reads.
const PIPELINED: usize = 10;
/// A node is ready again within this; said, and asserted with room for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// Two popups: with the first's show the second is next, so that a user is asked for more often
/// than once before all is said.
const POPUPS: &str = "[[popup]]\nid = \"first\"\npriority = 1\n[[popup]]\nid = \"second\"\n";

/// One client, with what it was told, over all rounds.
#[derive(Default)]
struct Visitor {
    name: usize,
    /// Users asked for so far: the latest are asked for again.
    users: usize,
    /// Acknowledged shows.
    shows: HashMap<String, (usize, String)>,
    /// Events that are to be posted, or were and were not answered.
    pending: Vec<(String, &'static str)>,
    /// Acknowledged events.
    taken: HashSet<(String, &'static str)>,
    duplicates: u64,
    degraded: u64,
}

impl Visitor {
    fn user(&self, number: usize) -> String {
        format!("visitor-{}-{number}", self.name)
    }

    /// Works until the connection breaks.
    fn visit(&mut self, address: SocketAddr, acknowledged: &AtomicU64) {
        let broken = Client::try_connect(address).and_then(|mut client| {
            loop {
                self.post(&mut client)?;
                self.decide(&mut client, acknowledged)?;
            }
        });
        let _: Result<(), io::Error> = broken;
    }

    /// New users, and as many who were asked for before, perhaps by another process.
    fn decide(&mut self, client: &mut Client, acknowledged: &AtomicU64) -> io::Result<()> {
        let first = self.users.saturating_sub(PIPELINED / 2);
        let numbers: Vec<usize> = (first..first + PIPELINED).collect();
        let target = |number: &usize| format!("/v1/decide?user={}", self.user(*number));
        let requests = numbers.iter().flat_map(|number| request("GET", &target(number), ""));
        let requests: Vec<u8> = requests.collect();
        self.users = first + PIPELINED;
        client.try_send(&requests)?;
        for number in numbers {
            let answer = client.try_answer()?;
            let Some(token) = answer.token() else {
                self.degraded += u64::from(answer.reason() == "degraded");
                continue;
            };
            let popup = answer.popup().unwrap();
            acknowledged.fetch_add(1, Ordering::Relaxed);
            let former = self.shows.insert(token.clone(), (number, popup));
            assert_eq!(former, None, "a token is given once");
            self.pending.push((token.clone(), "shown"));
            self.pending.push((token, "clicked"));
        }
        Ok(())
    }

    /// Posts what is pending. What a kill left unanswered is posted again: it is then taken or a
    /// duplicate, and in SQL once either way.
    fn post(&mut self, client: &mut Client) -> io::Result<()> {
        while !self.pending.is_empty() {
            let count = self.pending.len().min(100);
            let batch = &self.pending[..count];
            let events: Vec<String> =
                batch.iter().map(|(token, action)| event(token, action)).collect();
            let answer =
                client.try_ask("POST", "/v1/events", &format!("[{}]", events.join(",")))?;
            if answer.status == 503 {
                continue;
            }
            let body = answer.expect(202).json();
            let rejected = body["rejected"].as_array().unwrap();
            let again: Vec<usize> = rejected
                .iter()
                .map(|one| {
                    assert_eq!(one["code"], "overloaded", "{one}");
                    usize::try_from(one["index"].as_u64().unwrap()).unwrap()
                })
                .collect();
            let settled = body["accepted"].as_u64().unwrap() + body["duplicate"].as_u64().unwrap();
            assert_eq!(usize::try_from(settled).unwrap() + again.len(), count, "{body}");
            self.duplicates += body["duplicate"].as_u64().unwrap();
            for (index, one) in
                self.pending.drain(..count).collect::<Vec<_>>().into_iter().enumerate()
            {
                if again.contains(&index) {
                    self.pending.push(one);
                } else {
                    self.taken.insert(one);
                }
            }
        }
        Ok(())
    }
}

fn rounds() -> u64 {
    let asked = std::env::var("NUDGED_KILL_ROUNDS").ok();
    asked.map_or(ROUNDS, |rounds| rounds.parse().expect("NUDGED_KILL_ROUNDS is a number"))
}

/// Moments of the kills: uneven, and the same in each run.
fn shows_before_kill(round: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    100 + mixed % 400
}

#[test]
fn acknowledged_is_kept_and_nobody_is_shown_twice() {
    let setup = Setup::new(POPUPS);
    let mut visitors: Vec<Visitor> =
        (0..CLIENTS).map(|name| Visitor { name, ..Visitor::default() }).collect();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds() {
        let server = setup.start_with(&["--shards", ["1", "2", "3"][(round % 3) as usize]]);
        slowest = slowest.max(server.ready_after);
        let acknowledged = AtomicU64::new(0);
        let address = server.data;
        std::thread::scope(|scope| {
            for visitor in &mut visitors {
                scope.spawn(|| visitor.visit(address, &acknowledged));
            }
            let wanted = shows_before_kill(round);
            until("shows before the kill", || {
                (acknowledged.load(Ordering::Relaxed) >= wanted).then_some(())
            });
            server.kill();
        });
    }
    let server = setup.start();
    slowest = slowest.max(server.ready_after);
    for visitor in &mut visitors {
        visitor.post(&mut server.client()).unwrap();
    }
    server.stop();
    check(&setup, &visitors);
    let count = |of: fn(&Visitor) -> usize| visitors.iter().map(of).sum::<usize>();
    println!(
        "{} kills, {} shows and {} events acknowledged, 0 lost; {} posted twice; {} degraded; \
         slowest start {slowest:?}",
        rounds(),
        count(|visitor| visitor.shows.len()),
        count(|visitor| visitor.taken.len()),
        visitors.iter().map(|visitor| visitor.duplicates).sum::<u64>(),
        visitors.iter().map(|visitor| visitor.degraded).sum::<u64>(),
    );
    assert!(slowest < READY_WITHIN, "{slowest:?}");
}

fn check(setup: &Setup, visitors: &[Visitor]) {
    let events = database::events(setup.data());
    for visitor in visitors {
        assert!(!visitor.shows.is_empty() && !visitor.taken.is_empty(), "it did something");
        for token in visitor.shows.keys() {
            let key = (token.clone(), "decided".to_owned());
            assert_eq!(events.get(&key), Some(&1), "an acknowledged show: {token}");
        }
        for (token, action) in &visitor.taken {
            let key = (token.clone(), (*action).to_owned());
            assert_eq!(events.get(&key), Some(&1), "an acknowledged event: {action} {token}");
        }
        let mut seen = HashSet::new();
        for show in visitor.shows.values() {
            assert!(seen.insert(show), "shown twice within the gap: {show:?}");
        }
    }
    let twice = "SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE action = 'decided' \
                 GROUP BY user_id, popup_id HAVING COUNT(*) > 1)";
    assert_eq!(database::number(setup.data(), twice), 0, "shown twice, once unseen");
    let apart = "SELECT COUNT(*) FROM user_popups WHERE shows <> (SELECT COUNT(*) FROM events \
                 WHERE action = 'decided' AND events.user_id = user_popups.user_id \
                 AND events.popup_id = user_popups.popup_id)";
    assert_eq!(database::number(setup.data(), apart), 0, "states and events agree");
    let unapplied = "SELECT MAX(seq) - (SELECT off FROM writer_position) FROM events";
    assert_eq!(database::number(setup.data(), unapplied), 0, "the position is the last record's");
}
