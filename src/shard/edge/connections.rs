//! The connections of a shard: each an HTTP state machine, at the place that the driver numbered.
//! Owns their deadlines and turns what they want into effects, once a turn. Knows nothing of what a
//! request asks.

mod early;
mod owing;
mod pace;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use early::ShardEarlyAnswers;

use super::serve::Arrived;
use crate::origin::RequestSlot;
use crate::seam::{Effect, Outbox};
use crate::view::View;
use nudged_api::early as api_early;
use nudged_base::clock::Now;
use nudged_base::limits::{BUFFERS_POOLED_MAX, LINGER_TIMEOUT_MS, TICK_MS};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::MonoNs;
use nudged_http::connection::{self, Answer, Connection, SendFailed};
use nudged_http::early::HeadArrival;
use nudged_http::head::Request;
use nudged_http::known::HeadMemory;
use nudged_http::pool::BufferPool;
use nudged_http::reply::ResponseFlags;

/// No deadline.
const NEVER: u32 = u32::MAX;

#[derive(Debug)]
struct ConnectionEntry {
    http: Connection,
    generation: u32,
    listener: u16,
    is_open: bool,
    is_dirty: bool,
    is_paused: bool,
    /// Bytes that the kernel had at the last look and the peer had not acknowledged.
    untaken: u32,
    /// What the buffer of the send under way takes beyond its bytes, in bytes.
    sending_spare: u32,
    /// Memory of its answers as it is counted in [`Connections::unsent`], in bytes.
    unsent: u32,
    /// Beyond the bound: its answer is fixed, but for the origin that may read it.
    is_refused: bool,
    /// A refused one has its answer.
    is_answered: bool,
}

impl ConnectionEntry {
    fn new(now: MonoNs, listener: u16) -> ConnectionEntry {
        ConnectionEntry {
            http: Connection::new(now),
            generation: 0,
            listener,
            is_open: false,
            is_dirty: false,
            is_paused: false,
            untaken: u32::MAX,
            sending_spare: 0,
            unsent: 0,
            is_refused: false,
            is_answered: false,
        }
    }

    /// Where its requests come in, by their slots.
    fn arrived(&self, connection: u32, source: Option<IpAddr>) -> impl Fn(u32) -> Arrived + use<> {
        let (generation, listener) = (self.generation, self.listener);
        move |slot| Arrived { slot: RequestSlot { connection, generation, slot }, listener, source }
    }
}

/// What a call takes from its step.
pub struct ShardTurn<'t> {
    /// The shard's settings and date.
    pub view: &'t View,
    /// The turn's time.
    pub now: Now,
    /// Where effects go.
    pub outbox: &'t mut Outbox,
}

/// The connections of one shard.
#[derive(Debug)]
pub struct Connections {
    entries: Vec<ConnectionEntry>,
    /// By connection, in ticks: apart from the entries, so that a look at all of them is cheap.
    deadlines: Vec<u32>,
    /// By connection, as far as any is known: none where nobody says whose connections are.
    sources: Vec<Option<IpAddr>>,
    dirty: Vec<u32>,
    open: u32,
    open_max: u32,
    /// Memory of all answers that clients have not taken, in bytes.
    unsent: u64,
    unsent_max: u64,
    /// When it is looked next for clients that do not read, where the bound is passed.
    looks_at: MonoNs,
    /// How large answers that come later are on average, in bytes.
    answer_bytes: u32,
    /// Somebody began to speak TLS since that was last asked for.
    is_tls_seen: bool,
    /// Connections were reset for what they owed since that was last asked for.
    is_cut: bool,
    pool: BufferPool,
    heads: HeadMemory,
    counters: Arc<ShardCounters>,
}

impl Connections {
    /// No connections yet; at most `open_max` are served, and their unsent answers take at most
    /// `unsent_max` bytes.
    pub fn new(open_max: u32, unsent_max: u64, counters: Arc<ShardCounters>) -> Connections {
        Connections {
            entries: Vec::new(),
            deadlines: Vec::new(),
            sources: Vec::new(),
            dirty: Vec::new(),
            open: 0,
            open_max,
            unsent: 0,
            unsent_max,
            looks_at: MonoNs(0),
            answer_bytes: 0,
            is_tls_seen: false,
            is_cut: false,
            pool: BufferPool::new(BUFFERS_POOLED_MAX),
            heads: HeadMemory::default(),
            counters,
        }
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// A connection was accepted; whether it is served, and not one too many.
    pub fn accept(&mut self, turn: &mut ShardTurn<'_>, number: u32, listener: u16) -> bool {
        let (index, now) = (number as usize, turn.now.mono);
        while self.entries.len() <= index {
            self.entries.push(ConnectionEntry::new(now, listener));
            self.deadlines.push(NEVER);
        }
        let entry = &mut self.entries[index];
        assert!(!entry.is_open, "the driver gives a number again only after its close");
        if let Some(source) = self.sources.get_mut(index) {
            *source = None;
        }
        self.counters.connections_accepted.add(1);
        let of_listener = self.counters.listeners.at(listener);
        of_listener.accepted.increment();
        of_listener.open.increment();
        self.open += 1;
        self.counters.connections_open.set(u64::from(self.open));
        *entry = ConnectionEntry {
            generation: entry.generation.wrapping_add(1),
            is_open: true,
            is_refused: self.open > self.open_max,
            ..ConnectionEntry::new(now, listener)
        };
        if entry.is_refused {
            self.counters.connections_refused.add(1);
            of_listener.refused.increment();
            self.deadlines[index] = ticks(now.plus_ms(LINGER_TIMEOUT_MS));
            if !api_early::needs_origin(&turn.view.rules.cors) {
                self.answer_refused(turn, number, &[]);
            }
            return false;
        }
        self.heads.of(number).forget();
        entry.http.expect_answers_of(self.answer_bytes);
        if turn.view.closing {
            entry.http.lame_duck();
        }
        self.mark(number);
        true
    }

    /// Takes whose a connection is.
    pub(crate) fn set_source(&mut self, number: u32, source: IpAddr) {
        let index = number as usize;
        if self.sources.len() <= index {
            self.sources.resize(index + 1, None);
        }
        self.sources[index] = Some(source);
    }

    /// Tells a connection beyond the bound so, once. `bytes` are the first of its request, where
    /// they were waited for: of several origins only the one that asks is granted anything.
    fn answer_refused(&mut self, turn: &mut ShardTurn<'_>, number: u32, bytes: &[u8]) {
        if std::mem::replace(&mut self.entries[number as usize].is_answered, true) {
            return;
        }
        let mut buffer = self.pool.take();
        let (begun, cors) = (HeadArrival::of(bytes), &turn.view.rules.cors);
        api_early::write_overloaded(&begun, cors, &turn.view.date, &mut buffer);
        turn.outbox.push(Effect::Send { connection: number, buffer });
    }

    /// Connections that are served at once.
    pub(crate) fn open_max(&self) -> u32 {
        self.open_max
    }

    /// Bytes arrived: each whole request goes to `serve`, with the place of its answer and the
    /// buffer for it.
    pub fn receive<S>(&mut self, turn: &mut ShardTurn<'_>, number: u32, bytes: &[u8], mut serve: S)
    where
        S: FnMut(&Request<'_>, Arrived, &mut Vec<u8>) -> Answer,
    {
        let is_sparing = self.is_beyond_bound();
        let entry = &mut self.entries[number as usize];
        if !entry.is_open {
            return;
        }
        if entry.is_refused {
            return self.answer_refused(turn, number, bytes);
        }
        entry.http.spare(is_sparing);
        let arrived = entry.arrived(number, source_of(&self.sources, number));
        let was_refused = entry.http.refusal().is_some();
        let is_tls = self.with_http(turn, number, |http, turn| {
            http.receive(bytes, turn, &mut |request: &Request<'_>, slot, out: &mut Vec<u8>| {
                serve(request, arrived(slot), out)
            });
            http.is_tls()
        });
        self.is_tls_seen |= !was_refused && is_tls;
        self.mark(number);
    }

    /// Has a connection act with what it takes from the turn.
    fn with_http<R>(
        &mut self,
        turn: &ShardTurn<'_>,
        number: u32,
        act: impl FnOnce(&mut Connection, &mut connection::ConnectionTurn<'_>) -> R,
    ) -> R {
        let Connections { entries, pool, heads, counters, .. } = self;
        let (entry, known) = (&mut entries[number as usize], Some(heads.of(number)));
        let ShardTurn { view, now, .. } = *turn;
        let early = &ShardEarlyAnswers { view, now, listener: entry.listener, counters };
        let (date, timeouts) = (&view.date, &view.timeouts);
        let now = now.mono;
        let mut turn = connection::ConnectionTurn { now, date, timeouts, pool, early, known };
        act(&mut entry.http, &mut turn)
    }

    /// A request that was to be answered later has its answer, which `write` appends. Gives whether
    /// requests that had to wait can go on: [`Connections::resume`] comes next.
    pub fn answer(
        &mut self,
        turn: &mut ShardTurn<'_>,
        to: RequestSlot,
        write: impl FnOnce(&mut Vec<u8>, &ResponseFlags<'_>),
    ) -> bool {
        let is_sparing = self.is_beyond_bound();
        let entry = &mut self.entries[to.connection as usize];
        if !entry.is_open || entry.generation != to.generation {
            return false;
        }
        entry.http.spare(is_sparing);
        let (answer_bytes, can_resume) = self.with_http(turn, to.connection, |http, turn| {
            http.answer(to.slot, turn, write);
            (http.answer_bytes(), http.can_resume())
        });
        // An average of averages: the latest counts a little, and no connection more than others.
        self.answer_bytes = self.answer_bytes.midpoint(answer_bytes);
        self.mark(to.connection);
        can_resume
    }

    /// Goes on with the requests of a connection that had to wait.
    pub fn resume<S>(&mut self, turn: &mut ShardTurn<'_>, number: u32, mut serve: S)
    where
        S: FnMut(&Request<'_>, Arrived, &mut Vec<u8>) -> Answer,
    {
        let source = source_of(&self.sources, number);
        let arrived = self.entries[number as usize].arrived(number, source);
        self.with_http(turn, number, |http, turn| {
            http.resume(turn, &mut |request: &Request<'_>, slot, out: &mut Vec<u8>| {
                serve(request, arrived(slot), out)
            });
        });
        self.mark(number);
    }

    /// A send has ended: `sent` of its bytes were taken, none where it failed. Gives whether
    /// requests that had to wait can go on: [`Connections::resume`] comes next.
    pub fn sent(
        &mut self,
        turn: &mut ShardTurn<'_>,
        number: u32,
        buffer: Vec<u8>,
        sent: Option<usize>,
    ) -> bool {
        let is_sparing = self.is_beyond_bound();
        let entry = &mut self.entries[number as usize];
        if !entry.is_open || entry.is_refused {
            self.pool.give(buffer);
            if entry.is_open {
                turn.outbox.push(Effect::ShutDown { connection: number });
            }
            return false;
        }
        (entry.untaken, entry.sending_spare) = (u32::MAX, 0);
        entry.http.spare(is_sparing);
        let (can_resume, is_at_rest) = self.with_http(turn, number, |http, turn| {
            http.sent(buffer, sent.ok_or(SendFailed), turn);
            (http.can_resume(), http.is_at_rest())
        });
        if is_at_rest && !self.entries[number as usize].is_paused {
            self.rest(turn, number);
        } else {
            self.mark(number);
        }
        can_resume
    }

    /// HTTP arrived in clear where TLS is spoken.
    pub(crate) fn refuse_plain_http(
        &mut self,
        turn: &mut ShardTurn<'_>,
        number: u32,
        bytes: &[u8],
    ) {
        let entry = &self.entries[number as usize];
        if entry.is_open && !entry.is_refused {
            self.with_http(turn, number, |http, turn| http.refuse_plain_http(bytes, turn));
            self.mark(number);
        }
    }

    /// A connection wants nothing but its next request, as most do after each answer. What it owes
    /// is taken off at once. It need not be asked at the end of the turn: the look that its send
    /// was to have comes all the same, and sets its deadline then.
    fn rest(&mut self, turn: &ShardTurn<'_>, number: u32) {
        let entry = &mut self.entries[number as usize];
        debug_assert_eq!(entry.http.unsent_bytes(), 0, "a connection at rest has no buffer");
        self.unsent -= u64::from(std::mem::take(&mut entry.unsent));
        let idle_ends = ticks(turn.now.mono.plus_ms(turn.view.timeouts.idle_ms)) + 1;
        let deadline = &mut self.deadlines[number as usize];
        *deadline = idle_ends.min(*deadline);
    }

    /// The peer has ended its direction.
    pub fn peer_closed(&mut self, turn: &mut ShardTurn<'_>, number: u32) {
        let entry = &self.entries[number as usize];
        if !entry.is_open {
            return;
        }
        if entry.is_refused {
            return self.close(number, false, turn.outbox);
        }
        self.with_http(turn, number, Connection::peer_closed);
        self.mark(number);
    }

    /// The connection broke: nothing can be sent any more.
    pub fn broken(&mut self, number: u32, outbox: &mut Outbox) {
        if self.entries[number as usize].is_open {
            self.close(number, false, outbox);
        }
    }

    /// Every connection ends after what it has begun; idle ones end now.
    pub fn drain(&mut self, turn: &mut ShardTurn<'_>) {
        for number in 0..u32::try_from(self.entries.len()).expect("numbers have 32 bits") {
            let entry = &self.entries[number as usize];
            if entry.is_open && !entry.is_refused {
                self.with_http(turn, number, Connection::drain);
                self.mark(number);
            }
        }
    }

    /// From now on answers end their connections, and say so.
    pub fn lame_duck(&mut self) {
        let open = self.entries.iter_mut().filter(|entry| entry.is_open);
        open.for_each(|entry| entry.http.lame_duck());
    }

    fn close(&mut self, number: u32, reset: bool, outbox: &mut Outbox) {
        let entry = &mut self.entries[number as usize];
        debug_assert!(entry.is_open);
        entry.is_open = false;
        let listener = entry.listener;
        if let Some(refusal) = entry.http.refusal() {
            let status = refusal.status();
            self.counters.http_errors.of(itoa::Buffer::new().format(status)).add(1);
        }
        self.unsent -= u64::from(std::mem::take(&mut entry.unsent));
        entry.http.give_up(&mut self.pool);
        entry.http = Connection::new(MonoNs(0));
        self.deadlines[number as usize] = NEVER;
        self.open -= 1;
        self.counters.connections_open.set(u64::from(self.open));
        let of_listener = self.counters.listeners.at(listener);
        of_listener.open.set(of_listener.open.get().saturating_sub(1));
        outbox.push(Effect::Close { connection: number, reset });
    }

    /// Something happened to a connection: what it owes is counted anew, and it is asked at the end
    /// of the turn what it wants.
    fn mark(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        let unsent = u32::try_from(entry.http.unsent_bytes()).unwrap_or(u32::MAX);
        let unsent = unsent.saturating_add(entry.sending_spare);
        self.unsent = self.unsent - u64::from(entry.unsent) + u64::from(unsent);
        entry.unsent = unsent;
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty.push(number);
        }
    }
}

fn source_of(sources: &[Option<IpAddr>], number: u32) -> Option<IpAddr> {
    sources.get(number as usize).copied().flatten()
}

/// The tick that a time falls into.
fn ticks(at: MonoNs) -> u32 {
    u32::try_from(at.0 / (TICK_MS * 1_000_000)).unwrap_or(NEVER - 1)
}
