//! The loop: opens what is closed, sends what is due, takes what has come, and waits for the next
//! of these. It never waits for an answer before it sends what is due.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use rustix::time::{ClockId, clock_gettime};

use crate::arguments::Arguments;
use crate::connections::{Asked, Connections, Taken};
use crate::job::{Kind, Requests};
use crate::latencies::Latencies;
use crate::report::Report;
use crate::schedule::Schedule;
use nudged_runtime::clocks;

/// Requests that leave before answers are looked for again.
const SENDS_A_TURN: usize = 16;
/// Requests without an answer are looked for this often, in nanoseconds.
const EXPIRE_PERIOD_NS: u64 = 100_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What was counted: of requests that were due while it was measured, but for errors, which count
/// whenever they happen.
#[derive(Debug, Default)]
pub struct Figures {
    /// Requests that left.
    pub sent: u64,
    /// Those with the answer that was wanted.
    pub answered: u64,
    /// Those among them that were in time.
    pub in_time: u64,
    /// Requests that found no free connection, where these are dropped.
    pub dropped: u64,
    /// Requests without an answer yet when the run ended, where these are dropped.
    pub unanswered: u64,
    /// From when a request was due to its 503.
    pub refusals: Latencies,
    /// Decisions that showed a popup.
    pub shown: u64,
    /// Answers with a status that was not wanted.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections that broke, asked or not.
    pub resets: u64,
    /// Requests that were not answered in time, or did not even leave.
    pub timeouts: u64,
    /// From when a decision was due to its answer, or to when it was given up.
    pub decisions: Latencies,
    /// Those among them of users who were never seen.
    pub new_users: Latencies,
    /// From a show to the answer to its event, or to when it was given up.
    pub events: Latencies,
    /// From when a request was due and had a connection to when it left.
    pub lags: Latencies,
    /// Between the first request that was due and the last answer.
    pub elapsed_ns: u64,
    /// The share of the time that was measured that this process was on its CPU.
    pub cpu_share: f64,
}

/// An event that is to be told.
struct Event {
    token: Vec<u8>,
    due_ns: u64,
}

/// A load and what has come of it so far.
pub struct Load {
    arguments: Arguments,
    connections: Connections,
    requests: Requests,
    events: VecDeque<Event>,
    figures: Figures,
    output: Vec<u8>,
    measured_from_ns: u64,
    open_due_ns: u64,
    expire_due_ns: u64,
    /// When something last went as it should.
    progress_ns: u64,
    /// Nothing is opened again.
    is_held: bool,
}

impl Load {
    /// A load that has not begun.
    ///
    /// # Errors
    /// Where the system has no epoll for us.
    pub fn new(arguments: &Arguments, requests: Requests) -> io::Result<Load> {
        let Arguments { address, source, connections, .. } = *arguments;
        Ok(Load {
            connections: Connections::new(address, source, connections)?,
            arguments: arguments.clone(),
            requests,
            events: VecDeque::new(),
            figures: Figures::default(),
            output: Vec::new(),
            measured_from_ns: u64::MAX,
            open_due_ns: 0,
            expire_due_ns: 0,
            progress_ns: 0,
            is_held: false,
        })
    }

    /// Opens all connections.
    ///
    /// # Errors
    /// Where not all are open in time.
    pub fn open_all(&mut self) -> io::Result<()> {
        let Arguments { connections, connect_rate, timeout, .. } = self.arguments;
        let limit_ns = clocks::mono().0 + (connections / connect_rate + timeout) * SECOND_NS;
        while self.open_connections() < connections {
            if clocks::mono().0 > limit_ns {
                let open = self.open_connections();
                let text = format!("{open} of {connections} connections could be opened");
                return Err(io::Error::other(text));
            }
            self.open_due()?;
            self.take_answers(self.open_due_ns)?;
        }
        self.figures.resets = 0;
        Ok(())
    }

    /// Connections that are open.
    pub fn open_connections(&self) -> u64 {
        let open = self.connections.free() + self.connections.busy();
        u64::try_from(open).unwrap_or(u64::MAX)
    }

    /// Asks for so many known users, as fast as it goes.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub fn prepare(&mut self, count: u64) -> io::Result<()> {
        self.run(&Schedule::at_once(count), u64::MAX)
    }

    /// Sends a schedule's requests and waits for the last answer; what is due from
    /// `measured_from_ns` on is counted.
    ///
    /// # Errors
    /// Where the system fails us; what the server does wrong is counted.
    pub fn run(&mut self, schedule: &Schedule, measured_from_ns: u64) -> io::Result<()> {
        self.measured_from_ns = measured_from_ns;
        self.progress_ns = clocks::mono().0;
        // When it began to be measured, and the CPU time of then.
        let mut begun = None;
        let mut number = 0;
        loop {
            self.open_due()?;
            self.send_due(schedule, &mut number);
            if self.arguments.drop && schedule.is_steady() {
                self.drop_due(schedule, &mut number);
            }
            let due_ns = schedule.due_ns(number);
            if due_ns.is_none() && self.arguments.drop && schedule.is_steady() {
                self.figures.unanswered = self.connections.busy() as u64;
                self.progress_ns = clocks::mono().0;
                break;
            }
            if due_ns.is_none() && self.events.is_empty() && self.connections.busy() == 0 {
                break;
            }
            self.take_answers(due_ns.unwrap_or(u64::MAX))?;
            self.expire();
            let now_ns = clocks::mono().0;
            if begun.is_none() && now_ns >= measured_from_ns {
                begun = Some((now_ns, cpu_now_ns()));
            }
            if due_ns.is_some_and(|due_ns| due_ns > now_ns) {
                self.progress_ns = now_ns;
            }
            if now_ns > self.progress_ns + self.arguments.timeout * SECOND_NS + EXPIRE_PERIOD_NS {
                self.give_up(schedule, number);
                break;
            }
        }
        self.figures.elapsed_ns = self.progress_ns.saturating_sub(measured_from_ns);
        if let Some((begun_ns, cpu_ns)) = begun {
            let (wall_ns, spent_ns) = (clocks::mono().0 - begun_ns, cpu_now_ns() - cpu_ns);
            self.figures.cpu_share = spent_ns as f64 / wall_ns.max(1) as f64;
        }
        Ok(())
    }

    /// Holds what is open and asks nothing.
    ///
    /// # Errors
    /// Where the epoll fails.
    pub fn hold(&mut self, seconds: u64) -> io::Result<()> {
        self.is_held = true;
        let until_ns = clocks::mono().0 + seconds * SECOND_NS;
        while clocks::mono().0 < until_ns {
            self.take_answers(until_ns)?;
        }
        Ok(())
    }

    /// What has come of it.
    pub fn report(self) -> Report {
        Report { arguments: self.arguments, figures: self.figures }
    }

    /// Opens connections, so many a second.
    fn open_due(&mut self) -> io::Result<()> {
        let now_ns = clocks::mono().0;
        let gap_ns = SECOND_NS / self.arguments.connect_rate;
        // What was not opened in time is not opened in a burst.
        self.open_due_ns = self.open_due_ns.max(now_ns.saturating_sub(gap_ns * 16));
        while self.connections.closed() > 0 && !self.is_held && self.open_due_ns <= now_ns {
            self.connections.open_one()?;
            self.open_due_ns += gap_ns;
        }
        Ok(())
    }

    fn send_due(&mut self, schedule: &Schedule, number: &mut u64) {
        for _ in 0..SENDS_A_TURN {
            let Some(free_since_ns) = self.connections.free_since_ns() else { return };
            let now_ns = clocks::mono().0;
            self.output.clear();
            let (kind, due_ns) = match (self.events.pop_front(), schedule.due_ns(*number)) {
                (Some(event), _) => {
                    self.requests.write_event(&event.token, &mut self.output);
                    (Kind::Event, event.due_ns)
                }
                (None, Some(due_ns)) if due_ns <= now_ns => {
                    *number += 1;
                    match schedule.is_steady() {
                        true => (self.requests.write_next(&mut self.output), due_ns),
                        false => (self.requests.write_known(&mut self.output), now_ns),
                    }
                }
                _ => return,
            };
            let asked = Asked { kind, due_ns, sent_ns: now_ns };
            let is_sent = self.connections.send(&self.output, asked);
            self.figures.resets += u64::from(!is_sent);
            if due_ns >= self.measured_from_ns {
                self.figures.sent += 1;
                self.figures.lags.record(now_ns - due_ns.max(free_since_ns).min(now_ns));
            }
        }
    }

    /// Passes over what is due and finds no connection.
    fn drop_due(&mut self, schedule: &Schedule, number: &mut u64) {
        let now_ns = clocks::mono().0;
        while self.connections.free() == 0
            && let Some(due_ns) = schedule.due_ns(*number).filter(|due_ns| *due_ns <= now_ns)
        {
            *number += 1;
            self.figures.dropped += u64::from(due_ns >= self.measured_from_ns);
        }
    }

    /// Waits until something comes or is to be done, and takes what came.
    fn take_answers(&mut self, due_ns: u64) -> io::Result<()> {
        let mut until_ns = self.expire_due_ns;
        if self.connections.free() > 0 {
            until_ns = until_ns.min(if self.events.is_empty() { due_ns } else { 0 });
        }
        if self.connections.closed() > 0 && !self.is_held {
            until_ns = until_ns.min(self.open_due_ns);
        }
        let now_ns = clocks::mono().0;
        self.expire_due_ns = self.expire_due_ns.max(now_ns);
        let count = self.connections.wait(until_ns.saturating_sub(now_ns))?;
        for event in 0..count {
            let now_ns = clocks::mono().0;
            let deadline_ns = self.arguments.deadline_ms * 1_000_000;
            let Load { connections, figures, requests, events, .. } = self;
            match connections.take(event, now_ns)? {
                Taken::Nothing => {}
                Taken::Opened => self.progress_ns = now_ns,
                Taken::Broken => figures.resets += 1,
                Taken::Answer(asked, answer) => {
                    self.progress_ns = now_ns;
                    let is_measured = asked.due_ns >= self.measured_from_ns;
                    let measured_at_ns = is_measured.then_some(now_ns);
                    figures.take(asked, answer.status, measured_at_ns, deadline_ns);
                    if let Some(token) = requests.token_of(asked.kind, answer.body) {
                        events.push_back(Event { token: token.to_vec(), due_ns: now_ns });
                    }
                }
            }
        }
        Ok(())
    }

    fn expire(&mut self) {
        let now_ns = clocks::mono().0;
        if now_ns < self.expire_due_ns {
            return;
        }
        self.expire_due_ns = now_ns + EXPIRE_PERIOD_NS;
        let before_ns = now_ns.saturating_sub(self.arguments.timeout * SECOND_NS);
        for asked in self.connections.close_late(before_ns) {
            self.time_out(asked.kind, asked.due_ns, now_ns);
        }
    }

    /// Nobody answers any more: what did not leave yet never will.
    fn give_up(&mut self, schedule: &Schedule, number: u64) {
        let now_ns = clocks::mono().0;
        for due_ns in (number..).map_while(|number| schedule.due_ns(number)) {
            self.time_out(Kind::Known, due_ns, now_ns);
        }
    }

    /// A latency that left out what was never answered would be too good. What is due later only
    /// has none yet.
    fn time_out(&mut self, kind: Kind, due_ns: u64, now_ns: u64) {
        self.figures.timeouts += 1;
        if (self.measured_from_ns..=now_ns).contains(&due_ns) {
            self.figures.record(kind, now_ns - due_ns);
        }
    }
}

impl Figures {
    fn take(&mut self, asked: Asked, status: u16, measured_at_ns: Option<u64>, deadline_ns: u64) {
        let is_wanted = match asked.kind {
            Kind::Event => matches!(status, 200 | 202),
            Kind::Known | Kind::New => matches!(status, 200 | 204),
        };
        if !is_wanted {
            *self.statuses.entry(status).or_default() += 1;
            if let (503, Some(now_ns)) = (status, measured_at_ns) {
                self.refusals.record(now_ns.saturating_sub(asked.due_ns));
            }
            return;
        }
        let Some(now_ns) = measured_at_ns else { return };
        self.answered += 1;
        self.in_time += u64::from(now_ns.saturating_sub(asked.due_ns) <= deadline_ns);
        self.shown += u64::from(asked.kind != Kind::Event && status == 200);
        self.record(asked.kind, now_ns.saturating_sub(asked.due_ns));
    }

    fn record(&mut self, kind: Kind, latency_ns: u64) {
        match kind {
            Kind::Event => self.events.record(latency_ns),
            Kind::Known => self.decisions.record(latency_ns),
            Kind::New => {
                self.new_users.record(latency_ns);
                self.decisions.record(latency_ns);
            }
        }
    }
}

/// CPU time that this process has used.
fn cpu_now_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let of = |number: i64| u64::try_from(number).unwrap_or(0);
    of(time.tv_sec) * SECOND_NS + of(time.tv_nsec)
}
