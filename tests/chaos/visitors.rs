//! The load: clients that ask for hot users at whatever node runs, post what users do, and write
//! down what they were told.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Answer, Client, event};
use crate::history::{History, Show};
use crate::random::Random;

/// Users that everybody asks for.
const HOT_USERS: usize = 100;
/// What they do with what they see.
const ACTIONS: [&str; 4] = ["shown", "clicked", "dismissed", "converted"];
/// Decisions of one connection; then it goes to another node.
const DECISIONS_A_VISIT: usize = 50;
/// Events that wait for a node that takes them; more are dropped, which loses nothing that was
/// acknowledged.
const PENDING_MAX: usize = 10_000;
/// Where no node runs, the next look.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What clients and the world share.
#[derive(Default)]
pub struct Traffic {
    /// Where each node is, if it runs.
    pub nodes: Mutex<Vec<Option<SocketAddr>>>,
    /// Whether the run is over.
    pub is_over: AtomicBool,
}

/// One client.
pub struct Visitor {
    random: Random,
    begun: Instant,
    /// Posted and not answered, or not posted yet.
    pending: Vec<(String, String)>,
    /// What it was told.
    pub history: History,
}

impl Visitor {
    /// The client of a number; all have the same begin.
    pub fn new(seed: u64, number: usize, begun: Instant) -> Visitor {
        let chooser = u64::try_from(number).unwrap() + 1;
        let random = Random::new(seed, chooser);
        Visitor { random, begun, pending: Vec::new(), history: History::default() }
    }

    /// Visits nodes until the run is over.
    pub fn run(&mut self, traffic: &Traffic) {
        while !traffic.is_over.load(Ordering::Relaxed) {
            let running: Vec<SocketAddr> =
                traffic.nodes.lock().unwrap().iter().flatten().copied().collect();
            if running.is_empty() {
                std::thread::park_timeout(LOOK_AGAIN);
                continue;
            }
            let address = *self.random.pick(&running);
            // Its end in the midst of a request is the unknown that the history is about.
            if self.visit(address, traffic).is_err() {
                self.history.unknown += 1;
            }
        }
    }

    fn visit(&mut self, address: SocketAddr, traffic: &Traffic) -> io::Result<()> {
        let mut client = Client::try_connect(address)?;
        for _ in 0..DECISIONS_A_VISIT {
            if traffic.is_over.load(Ordering::Relaxed) {
                break;
            }
            self.decide(&mut client)?;
            self.post(&mut client)?;
        }
        Ok(())
    }

    fn decide(&mut self, client: &mut Client) -> io::Result<()> {
        let user = format!("hot-{}", self.random.below(HOT_USERS));
        let sent_ms = self.now_ms();
        let answer = client.try_ask("GET", &format!("/v1/decide?user={user}"), "")?;
        let answered_ms = self.now_ms();
        match answer.status {
            200 => {
                let (token, popup) = (answer.token().unwrap(), answer.popup().unwrap());
                if self.pending.len() < PENDING_MAX {
                    let action = (*self.random.pick(&ACTIONS)).to_owned();
                    self.pending.push((token.clone(), action));
                }
                self.history.shows.push(Show { user, popup, token, sent_ms, answered_ms });
            }
            204 if answer.reason() == "degraded" => self.history.degraded += 1,
            204 => self.history.nothing += 1,
            _ => self.history.wrong.push(format!("a decision was answered {}", told(&answer))),
        }
        Ok(())
    }

    /// Posts what is pending. What was not answered stays, and is taken or a duplicate later.
    pub fn post(&mut self, client: &mut Client) -> io::Result<()> {
        while !self.pending.is_empty() {
            let count = self.pending.len().min(100);
            let batch: Vec<String> =
                self.pending[..count].iter().map(|(token, action)| event(token, action)).collect();
            let answer = client.try_ask("POST", "/v1/events", &format!("[{}]", batch.join(",")))?;
            if answer.status == 503 {
                return Ok(());
            }
            if answer.status != 202 {
                self.history.wrong.push(format!("events were answered {}", told(&answer)));
                return Ok(());
            }
            if !self.settle(count, &answer) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sorts a batch by its answer; false where some of it has to be posted again later.
    fn settle(&mut self, count: usize, answer: &Answer) -> bool {
        let body = answer.json();
        let mut refused = vec![None; count];
        for one in body["rejected"].as_array().unwrap() {
            let index = usize::try_from(one["index"].as_u64().unwrap()).unwrap();
            refused[index] = Some(one["code"].as_str().unwrap().to_owned());
        }
        let mut is_settled = true;
        let batch: Vec<(String, String)> = self.pending.drain(..count).collect();
        for (one, code) in batch.into_iter().zip(refused) {
            match code.as_deref() {
                None => self.history.events.push(one),
                Some("overloaded") => {
                    is_settled = false;
                    self.pending.push(one);
                }
                Some(code) => self.history.refused.push(code.to_owned()),
            }
        }
        is_settled
    }

    /// How much has to be posted yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }
}

fn told(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.body)
}
