//! The connections of a shard: each an HTTP state machine, at the place that the driver numbered.
//! Owns their deadlines and turns what they want into effects, once a turn. Knows nothing of what a
//! request asks.

mod early;
mod owing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use early::Early;

use super::decision::Progress;
use super::origin::Origin;
use super::packed::Packed;
use super::seam::{Effect, Outbox};
use super::view::View;
use crate::api::early as api_early;
use crate::base::clock::Now;
use crate::base::limits::{BUFFERS_POOLED_MAX, LINGER_TIMEOUT_MS, TICK_MS};
use crate::base::time::MonoNs;
use crate::http::connection::{Answer, Connection, Ending, Expiry, SendFailed, Timeouts, Turn};
use crate::http::early::Begun;
use crate::http::head::Request;
use crate::http::pool::BufferPool;
use crate::http::reply;
use crate::telemetry::counters::ShardCounters;

/// No deadline.
const NEVER: u32 = u32::MAX;

/// A connection's number, its generation, and one of its requests.
pub type SlotOf = (u32, u32, u32);

#[derive(Debug)]
struct Entry {
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
    is_told: bool,
}

/// The connections of one shard.
#[derive(Debug)]
pub struct Connections {
    entries: Vec<Entry>,
    /// By connection, in ticks: apart from the entries, so that a look at all of them is cheap.
    deadlines: Vec<u32>,
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
    counters: Arc<ShardCounters>,
}

impl Connections {
    /// No connections yet; at most `open_max` are served, and their unsent answers take at most
    /// `unsent_max` bytes.
    pub fn new(open_max: u32, unsent_max: u64, counters: Arc<ShardCounters>) -> Connections {
        Connections {
            entries: Vec::new(),
            deadlines: Vec::new(),
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
            counters,
        }
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// A connection was accepted; whether it is served, and not one too many.
    pub fn accept(
        &mut self,
        view: &View,
        now: Now,
        number: u32,
        listener: u16,
        outbox: &mut Outbox,
    ) -> bool {
        let index = number as usize;
        while self.entries.len() <= index {
            let http = Connection::new(now.mono);
            self.entries.push(Entry {
                http,
                generation: 0,
                listener,
                is_open: false,
                is_dirty: false,
                is_paused: false,
                untaken: u32::MAX,
                sending_spare: 0,
                unsent: 0,
                is_refused: false,
                is_told: false,
            });
            self.deadlines.push(NEVER);
        }
        let entry = &mut self.entries[index];
        assert!(!entry.is_open, "the driver gives a number again only after its close");
        self.counters.connections_accepted.add(1);
        self.open += 1;
        self.counters.connections_open.set(u64::from(self.open));
        *entry = Entry {
            http: Connection::new(now.mono),
            generation: entry.generation.wrapping_add(1),
            listener,
            is_open: true,
            is_dirty: false,
            is_paused: false,
            untaken: u32::MAX,
            sending_spare: 0,
            unsent: 0,
            is_refused: self.open > self.open_max,
            is_told: false,
        };
        if entry.is_refused {
            self.counters.connections_refused.add(1);
            self.deadlines[index] = ticks(now.mono.plus_ms(LINGER_TIMEOUT_MS));
            if !api_early::needs_origin(&view.rules.cors) {
                self.tell_refused(view, number, &[], outbox);
            }
            return false;
        }
        entry.http.expect_answers_of(self.answer_bytes);
        if view.closing {
            entry.http.lame_duck();
        }
        self.mark(number);
        true
    }

    /// Tells a connection beyond the bound so, once. `bytes` are the first of its request, where
    /// they were waited for: of several origins only the one that asks is granted anything.
    fn tell_refused(&mut self, view: &View, number: u32, bytes: &[u8], outbox: &mut Outbox) {
        if std::mem::replace(&mut self.entries[number as usize].is_told, true) {
            return;
        }
        let mut buffer = self.pool.take();
        let (begun, cors) = (Begun::of(bytes), &view.rules.cors);
        api_early::write_overloaded(&begun, cors, view.date.as_str(), &mut buffer);
        outbox.push(Effect::Send { connection: number, buffer });
    }

    /// Connections that are served at once.
    pub fn open_max(&self) -> u32 {
        self.open_max
    }

    /// Bytes arrived: each whole request goes to `serve`.
    pub fn receive<S>(
        &mut self,
        view: &View,
        now: Now,
        number: u32,
        bytes: &[u8],
        outbox: &mut Outbox,
        mut serve: S,
    ) where
        S: FnMut(&Packed<'_>, Origin, &mut Vec<u8>, &mut Outbox) -> Progress,
    {
        let is_sparing = self.is_beyond_bound();
        let Connections { entries, pool, counters, .. } = self;
        let entry = &mut entries[number as usize];
        if !entry.is_open {
            return;
        }
        if entry.is_refused {
            return self.tell_refused(view, number, bytes, outbox);
        }
        entry.http.spare(is_sparing);
        let early = Early { view, now, listener: entry.listener, counters };
        let mut turn = turn(&early, pool);
        let (listener, generation) = (entry.listener, entry.generation);
        let was_refused = entry.http.refusal().is_some();
        entry.http.receive(bytes, &mut turn, &mut |request, slot, out| {
            handle(request, (number, generation, slot), listener, out, outbox, &mut serve)
        });
        self.is_tls_seen |= !was_refused && entry.http.is_tls();
        self.mark(number);
    }

    /// A request that was to be answered later has its answer.
    pub fn answer<S>(
        &mut self,
        view: &View,
        now: Now,
        to: SlotOf,
        answer: &[u8],
        outbox: &mut Outbox,
        mut serve: S,
    ) where
        S: FnMut(&Packed<'_>, Origin, &mut Vec<u8>, &mut Outbox) -> Progress,
    {
        let (number, generation, slot) = to;
        let is_sparing = self.is_beyond_bound();
        let Connections { entries, pool, counters, .. } = self;
        let entry = &mut entries[number as usize];
        if !entry.is_open || entry.generation != generation {
            return;
        }
        entry.http.spare(is_sparing);
        let early = Early { view, now, listener: entry.listener, counters };
        let mut turn = turn(&early, pool);
        // The answer was written when it was not known to be the connection's last one.
        entry.http.answer(slot, &mut turn, |out, frame| match frame.close {
            true => reply::append_closing(out, answer),
            false => out.extend_from_slice(answer),
        });
        // An average of averages: the latest counts a little, and no connection more than others.
        self.answer_bytes = self.answer_bytes.midpoint(entry.http.answer_bytes());
        let listener = entry.listener;
        entry.http.resume(&mut turn, &mut |request, slot, out| {
            handle(request, (number, generation, slot), listener, out, outbox, &mut serve)
        });
        self.mark(number);
    }

    /// A send has ended: `sent` of its bytes were taken, none where it failed.
    pub fn sent<S>(
        &mut self,
        view: &View,
        now: Now,
        number: u32,
        done: (Vec<u8>, Option<usize>),
        outbox: &mut Outbox,
        mut serve: S,
    ) where
        S: FnMut(&Packed<'_>, Origin, &mut Vec<u8>, &mut Outbox) -> Progress,
    {
        let (buffer, sent) = done;
        let is_sparing = self.is_beyond_bound();
        let Connections { entries, pool, counters, .. } = self;
        let entry = &mut entries[number as usize];
        if !entry.is_open {
            pool.give(buffer);
            return;
        }
        if entry.is_refused {
            pool.give(buffer);
            outbox.push(Effect::ShutDown { connection: number });
            return;
        }
        (entry.untaken, entry.sending_spare) = (u32::MAX, 0);
        entry.http.spare(is_sparing);
        let early = Early { view, now, listener: entry.listener, counters };
        let mut turn = turn(&early, pool);
        entry.http.sent(buffer, sent.ok_or(SendFailed), &mut turn);
        let (listener, generation) = (entry.listener, entry.generation);
        entry.http.resume(&mut turn, &mut |request, slot, out| {
            handle(request, (number, generation, slot), listener, out, outbox, &mut serve)
        });
        self.mark(number);
    }

    /// The peer has ended its direction.
    pub fn peer_closed(&mut self, view: &View, now: Now, number: u32, outbox: &mut Outbox) {
        let Connections { entries, pool, counters, .. } = self;
        let entry = &mut entries[number as usize];
        if !entry.is_open {
            return;
        }
        if entry.is_refused {
            return self.close(number, false, outbox);
        }
        let early = Early { view, now, listener: entry.listener, counters };
        entry.http.peer_closed(&mut turn(&early, pool));
        self.mark(number);
    }

    /// The connection broke: nothing can be sent any more.
    pub fn broken(&mut self, number: u32, outbox: &mut Outbox) {
        if self.entries[number as usize].is_open {
            self.close(number, false, outbox);
        }
    }

    /// Every connection ends after what it has begun; idle ones end now.
    pub fn drain(&mut self, view: &View, now: Now) {
        for number in 0..self.entries.len() {
            let Connections { entries, pool, counters, .. } = self;
            let entry = &mut entries[number];
            if !entry.is_open || entry.is_refused {
                continue;
            }
            let early = Early { view, now, listener: entry.listener, counters };
            entry.http.drain(&mut turn(&early, pool));
            self.mark(u32::try_from(number).expect("numbers have 32 bits"));
        }
    }

    /// From now on answers end their connections, and say so.
    pub fn lame_duck(&mut self) {
        let open = self.entries.iter_mut().filter(|entry| entry.is_open);
        open.for_each(|entry| entry.http.lame_duck());
    }

    /// Acts on the deadlines that have passed.
    pub fn expire(&mut self, view: &View, now: Now, outbox: &mut Outbox) {
        self.pool.shrink();
        let tick = ticks(now.mono);
        for index in 0..self.deadlines.len() {
            if self.deadlines[index] > tick {
                continue;
            }
            self.deadlines[index] = NEVER;
            let Connections { entries, pool, counters, .. } = self;
            let entry = &mut entries[index];
            let number = u32::try_from(index).expect("numbers have 32 bits");
            if !entry.is_open {
                continue;
            }
            if entry.is_refused && !entry.is_told {
                self.deadlines[index] = ticks(now.mono.plus_ms(LINGER_TIMEOUT_MS));
                self.tell_refused(view, number, &[], outbox);
                continue;
            }
            if entry.is_refused {
                // In order: a reset could overtake its answer.
                self.close(number, false, outbox);
                continue;
            }
            let early = Early { view, now, listener: entry.listener, counters };
            let mut turn = turn(&early, pool);
            match entry.http.expire(&mut turn) {
                Expiry::Nothing | Expiry::Answered => {
                    if entry.http.is_sending() {
                        outbox.push(Effect::AskUntaken { connection: number });
                    }
                    self.mark(number);
                }
                Expiry::Closed => self.close(number, false, outbox),
                Expiry::Reset => self.close(number, true, outbox),
            }
        }
    }

    /// Ends a turn: what connections that something happened to want now.
    pub fn flush(&mut self, view: &View, now: MonoNs, outbox: &mut Outbox) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            let entry = &mut self.entries[number as usize];
            entry.is_dirty = false;
            if entry.is_open {
                self.flush_one(number, (now, &view.timeouts), outbox);
            }
        }
        self.dirty = dirty;
        self.keep_to_bound(now, outbox);
        self.counters.unsent_bytes.set(self.unsent);
    }

    fn flush_one(&mut self, number: u32, at: (MonoNs, &Timeouts), outbox: &mut Outbox) {
        let (now, timeouts) = at;
        let look_ms = self.look_ms(timeouts);
        let entry = &mut self.entries[number as usize];
        if let Some(buffer) = entry.http.take_output(now) {
            let spare = buffer.capacity() - buffer.len();
            entry.sending_spare = u32::try_from(spare).unwrap_or(u32::MAX);
            outbox.push(Effect::Send { connection: number, buffer });
        }
        match entry.http.ending() {
            Ending::Open => {}
            Ending::ShutDown => {
                entry.http.shut_down(now);
                outbox.push(Effect::ShutDown { connection: number });
            }
            Ending::Close => return self.close(number, false, outbox),
        }
        let is_paused = !entry.http.wants_reading();
        if is_paused != entry.is_paused {
            entry.is_paused = is_paused;
            outbox.push(match is_paused {
                true => Effect::StopReading { connection: number },
                false => Effect::ResumeReading { connection: number },
            });
        }
        let look = entry.http.is_sending().then(|| now.plus_ms(look_ms));
        let deadline = [entry.http.deadline(timeouts), look].into_iter().flatten().min();
        self.deadlines[number as usize] = deadline.map_or(NEVER, |at| ticks(at) + 1);
    }

    fn close(&mut self, number: u32, reset: bool, outbox: &mut Outbox) {
        let entry = &mut self.entries[number as usize];
        debug_assert!(entry.is_open);
        entry.is_open = false;
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

fn handle<S>(
    request: &Request<'_>,
    from: SlotOf,
    listener: u16,
    out: &mut Vec<u8>,
    outbox: &mut Outbox,
    serve: &mut S,
) -> Answer
where
    S: FnMut(&Packed<'_>, Origin, &mut Vec<u8>, &mut Outbox) -> Progress,
{
    let (connection, generation, slot) = from;
    let origin = Origin::Connection { connection, generation, slot };
    let packed = Packed { request: *request, listener, anonymous: "" };
    match serve(&packed, origin, out, outbox) {
        Progress::Answered => Answer::Now,
        Progress::Later => Answer::Later,
    }
}

fn turn<'t>(early: &'t Early<'_>, pool: &'t mut BufferPool) -> Turn<'t> {
    let Early { view, now, .. } = early;
    Turn { now: now.mono, date: view.date.as_str(), timeouts: &view.timeouts, pool, early }
}

/// The tick that a time falls into.
fn ticks(at: MonoNs) -> u32 {
    u32::try_from(at.0 / (TICK_MS * 1_000_000)).unwrap_or(NEVER - 1)
}
