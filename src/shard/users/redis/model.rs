//! A model of Redis for tests: executes commands as the scripts do, and a wire that holds commands
//! and replies until the test lets them pass, loses them or breaks.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use nudged_base::ids::{Partition, Revision};
use nudged_base::limits::PARTITIONS;
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::clock::ServerClock;
use nudged_redis::command::{
    CommandFailure, CommitVerdict, Meta, PartitionPhase, Records, RedisCommand, Reply, RequestId,
    UserValue,
};
use nudged_redis::link::{LinkEvent, LinkMetrics, LinkRequest, NotSent, RedisServer};

/// A command that has left.
#[derive(Clone, Debug)]
pub enum Sent {
    Read(Partition, String),
    Meta(Partition),
    Fill(Partition, String, Revision, Vec<u8>),
    Commit(Box<SentCommit>),
}

#[derive(Clone, Debug)]
pub struct SentCommit {
    partition: Partition,
    user: String,
    base: Option<Revision>,
    request: RequestId,
    now: WallMs,
    valid_until: WallMs,
    revision: Revision,
    state: Vec<u8>,
    publish: bool,
    count: u64,
    framed: Vec<u8>,
    list_max: usize,
}

/// A user's value.
#[derive(Clone, Debug)]
pub struct Stored {
    pub revision: Revision,
    pub requests: Vec<RequestId>,
    pub state: Vec<u8>,
}

/// One Redis.
pub struct Redis {
    /// Its TIME.
    pub at: WallMs,
    pub users: BTreeMap<String, Stored>,
    pub metas: Vec<(Option<u32>, u64, PartitionPhase)>,
    /// Whether users may have vanished, in all partitions.
    pub is_doubted: bool,
    /// Records of the lists.
    pub lists: Vec<Vec<u8>>,
    /// Changes to be told: partition, user, revision.
    pub published: Vec<(Partition, String, Revision)>,
}

impl Redis {
    pub fn new(at: WallMs) -> Redis {
        let metas = vec![(Some(1), 0, PartitionPhase::Open); usize::from(PARTITIONS)];
        let (lists, published) = (Vec::new(), Vec::new());
        Redis { at, users: BTreeMap::new(), metas, is_doubted: false, lists, published }
    }

    fn meta(&self, partition: Partition) -> Meta {
        let (epoch, counter, phase) = self.metas[usize::from(partition.0)];
        Meta { at: self.at, epoch, counter, phase, is_doubted: self.is_doubted }
    }

    fn value(&self, user: &str) -> Option<UserValue> {
        let stored = self.users.get(user)?;
        Some(UserValue { revision: stored.revision, state: stored.state.clone() })
    }

    pub fn execute(&mut self, command: &Sent) -> Reply {
        match command {
            Sent::Read(partition, user) => {
                Reply::Value { meta: self.meta(*partition), value: self.value(user) }
            }
            Sent::Meta(partition) => Reply::Meta(self.meta(*partition)),
            Sent::Fill(partition, user, revision, state) => {
                if self.users.get(user).is_none_or(|stored| stored.revision < *revision) {
                    let (revision, state) = (*revision, state.clone());
                    let stored = Stored { revision, requests: Vec::new(), state };
                    self.users.insert(user.clone(), stored);
                }
                Reply::Value { meta: self.meta(*partition), value: self.value(user) }
            }
            Sent::Commit(commit) => self.commit(commit),
        }
    }

    fn commit(&mut self, commit: &SentCommit) -> Reply {
        let verdict = self.verdict(commit);
        let is_known = self.is_known(commit);
        let stands = self.users.get(&commit.user).map(|stored| stored.revision);
        let is_outdated = is_known && stands != Some(commit.revision);
        let has_value = verdict == CommitVerdict::Moved || is_outdated;
        let value = if has_value { self.value(&commit.user) } else { None };
        if verdict == CommitVerdict::Done && !is_known {
            let former = self.users.get(&commit.user);
            let mut requests = vec![commit.request];
            requests.extend(former.iter().flat_map(|stored| &stored.requests).take(3));
            let (revision, state) = (commit.revision, commit.state.clone());
            self.users.insert(commit.user.clone(), Stored { revision, requests, state });
            self.metas[usize::from(commit.partition.0)].1 += commit.count;
            if !commit.framed.is_empty() {
                self.lists.push(commit.framed.clone());
            }
            if commit.publish {
                self.published.push((commit.partition, commit.user.clone(), revision));
            }
        }
        Reply::Commit { meta: self.meta(commit.partition), verdict, value }
    }

    fn is_known(&self, commit: &SentCommit) -> bool {
        let stored = self.users.get(&commit.user);
        stored.is_some_and(|stored| stored.requests.contains(&commit.request))
    }

    fn verdict(&self, commit: &SentCommit) -> CommitVerdict {
        let (epoch, _, phase) = self.metas[usize::from(commit.partition.0)];
        let stands = self.users.get(&commit.user).map(|stored| stored.revision);
        if self.is_known(commit) {
            CommitVerdict::Done
        } else if epoch.is_none() || phase == PartitionPhase::Barrier {
            CommitVerdict::Lost
        } else if self.at > commit.valid_until || commit.now.0 > self.at.0 + 100 {
            CommitVerdict::Late
        } else if epoch != Some(commit.revision.epoch) || stands != commit.base {
            CommitVerdict::Moved
        } else if self.lists.len() >= commit.list_max {
            CommitVerdict::Full
        } else {
            CommitVerdict::Done
        }
    }
}

#[derive(Default)]
struct Held {
    is_open: bool,
    window: usize,
    sent: VecDeque<(u64, Sent)>,
    replies: VecDeque<(u64, Reply)>,
    events: VecDeque<LinkEvent>,
    clock: ServerClock,
}

/// A wire between an arbiter and a Redis.
#[derive(Clone, Default)]
pub struct Wire(Rc<RefCell<Held>>);

impl Wire {
    /// A reply has told the time.
    pub(crate) fn told_time(&self, now: MonoNs, time: WallMs) {
        self.0.borrow_mut().clock.observe(now, now, time);
    }

    /// As `Link::wall`.
    pub fn wall(&self, now: MonoNs) -> Option<WallMs> {
        self.0.borrow().clock.at(now)
    }

    /// The connection stands.
    pub fn up(&self, run: u64, evicts: bool) {
        self.up_syncing(run, evicts, Some(false));
    }

    /// The connection stands, and the server says so of its syncs.
    pub(crate) fn up_syncing(&self, run: u64, evicts: bool, syncs_always: Option<bool>) {
        let mut held = self.0.borrow_mut();
        (held.is_open, held.window) = (true, 256);
        let server = RedisServer { run, resp3: true, subscribed: true, evicts, syncs_always };
        held.events.push_back(LinkEvent::Up(server));
    }

    /// The connection is lost: nobody knows what became of what had left.
    pub fn down(&self) {
        let mut held = self.0.borrow_mut();
        held.is_open = false;
        held.events.push_back(LinkEvent::Down);
        let replied: Vec<u64> = held.replies.drain(..).map(|(ticket, _)| ticket).collect();
        let sent: Vec<u64> = held.sent.drain(..).map(|(ticket, _)| ticket).collect();
        for ticket in replied.into_iter().chain(sent) {
            let result = Err(CommandFailure::Unknown);
            held.events.push_back(LinkEvent::Reply { ticket, late: false, result });
        }
    }

    /// The breaker opens or closes on a connection that stands.
    pub(crate) fn let_pass(&self, is_open: bool) {
        self.0.borrow_mut().is_open = is_open;
    }

    /// Redis refuses the next command, or nobody can say how far it came.
    pub fn fail(&self, failure: CommandFailure) -> bool {
        let mut held = self.0.borrow_mut();
        let Some((ticket, _)) = held.sent.pop_front() else { return false };
        held.events.push_back(LinkEvent::Reply { ticket, late: false, result: Err(failure) });
        true
    }

    /// The next command reaches Redis.
    pub fn execute(&self, redis: &mut Redis) -> bool {
        let Some((ticket, command)) = self.0.borrow_mut().sent.pop_front() else { return false };
        let reply = redis.execute(&command);
        self.0.borrow_mut().replies.push_back((ticket, reply));
        true
    }

    /// The next reply comes back.
    pub fn deliver(&self) -> bool {
        let mut held = self.0.borrow_mut();
        let Some((ticket, reply)) = held.replies.pop_front() else { return false };
        held.events.push_back(LinkEvent::Reply { ticket, late: false, result: Ok(reply) });
        true
    }

    /// Another node's change is told.
    pub fn tell(&self, (partition, user, revision): &(Partition, String, Revision)) {
        let mut held = self.0.borrow_mut();
        if held.is_open {
            let (partition, user, revision) = (*partition, user.as_str().into(), *revision);
            held.events.push_back(LinkEvent::Changed { partition, user, revision });
        }
    }

    /// Commands that wait to be executed.
    pub fn waiting(&self) -> usize {
        self.0.borrow().sent.len()
    }

    pub fn is_open(&self, _now: MonoNs) -> bool {
        self.0.borrow().is_open
    }

    pub fn send(
        &self,
        _now: MonoNs,
        ticket: u64,
        command: &RedisCommand<'_>,
    ) -> Result<(), NotSent> {
        let mut held = self.0.borrow_mut();
        if !held.is_open {
            return Err(NotSent::Closed);
        }
        if held.sent.len() + held.replies.len() >= held.window {
            return Err(NotSent::Full);
        }
        let command = owned(command);
        held.sent.push_back((ticket, command));
        Ok(())
    }

    pub fn next_event(&self) -> Option<LinkEvent> {
        self.0.borrow_mut().events.pop_front()
    }

    pub fn connected(&self, _now: MonoNs) {}
    pub fn received(&self, _now: MonoNs, _bytes: &[u8]) {}
    pub fn broken(&self, _now: MonoNs) {}
    pub fn tick(&self, _now: MonoNs) {}
    pub fn renew(&self, _now: MonoNs) {}

    pub fn next_deadline(&self) -> Option<MonoNs> {
        None
    }

    pub fn wish(&self) -> Option<LinkRequest> {
        None
    }

    pub fn take_output(&self, _output: &mut Vec<u8>) -> bool {
        false
    }

    pub fn figures(&self) -> LinkMetrics {
        LinkMetrics::default()
    }
}

fn owned(command: &RedisCommand<'_>) -> Sent {
    match command {
        RedisCommand::Read { partition, user } => Sent::Read(*partition, (*user).to_owned()),
        RedisCommand::Meta { partition } => Sent::Meta(*partition),
        RedisCommand::Fill { partition, user, revision, state, .. } => {
            Sent::Fill(*partition, (*user).to_owned(), *revision, state.to_vec())
        }
        RedisCommand::Ping => unreachable!("the link's own"),
        RedisCommand::Commit(commit) => {
            let (count, framed, list_max) = match commit.records {
                Records::Journal { count } => (count, &[][..], u32::MAX),
                Records::List { framed, list_max } => (1, framed, list_max),
            };
            Sent::Commit(Box::new(SentCommit {
                partition: commit.partition,
                user: commit.user.to_owned(),
                base: commit.base,
                request: commit.request,
                now: commit.now,
                valid_until: commit.valid_until,
                revision: commit.revision,
                state: commit.state.to_vec(),
                publish: commit.publish,
                count: u64::from(count),
                framed: framed.to_vec(),
                list_max: usize::try_from(list_max).expect("32 bits fit"),
            }))
        }
    }
}
