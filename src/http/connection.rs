//! One connection's whole life, without its socket: bytes in, requests out; answers in, bytes out.
//! LIFECYCLE.md beside this file has the states and what moves them.
//!
//! While a request arrives in one piece it is read where it lies: nothing is copied and nothing
//! is kept. Otherwise its bytes wait in a pooled buffer, and each of them is looked at once. An
//! idle connection is [`Connection`] alone, at most [`CONNECTION_BYTES_MAX`], without a buffer.
//!
//! Must not know sockets, routes or popups. Limits: those of HTTP in `base::limits`.

mod intake;
mod timing;
mod unsent;

pub use timing::Timeouts;

use std::mem;

use super::body::ChunkDecoder;
use super::early::EarlyAnswers;
use super::head::{HeadReader, Request};
use super::known::KnownFields;
use super::pool::BufferPool;
use super::refusal::HttpRefusal;
use super::reply::{CONTINUE, ImfDate, ResponseFlags};
use super::slots::Slots;
use nudged_base::limits::{
    ADMIN_BODY_BYTES_MAX, BODY_BYTES_MAX, CONNECTION_INPUT_BYTES_MAX, LINGER_BYTES_MAX,
};
use nudged_base::time::MonoNs;

/// Memory of a connection that holds no buffer, in bytes.
pub(crate) const CONNECTION_BYTES_MAX: usize = 128;
const _: () = assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX);

/// What every call takes from its turn of the loop.
pub struct ConnectionTurn<'t> {
    /// The turn's time.
    pub now: MonoNs,
    /// The turn's date.
    pub date: &'t ImfDate,
    /// How long peers may take.
    pub timeouts: &'t Timeouts,
    /// Where buffers are borrowed.
    pub pool: &'t mut BufferPool,
    /// What is answered before a request is handed out.
    pub early: &'t dyn EarlyAnswers,
    /// The fields that this connection sent last, where they are kept.
    pub known: Option<&'t mut KnownFields>,
}

/// What a handler did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It appended the whole answer.
    Now,
    /// It appended nothing and will call [`Connection::answer`] with the request's slot.
    Later,
}

/// What [`Connection::expire`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// No deadline has passed.
    Nothing,
    /// A request that was begun has been answered with 408; the connection ends after it.
    Answered,
    /// The connection has ended: close it.
    Closed,
    /// The peer takes no bytes: reset the connection. A send may still be under way.
    Reset,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It goes on, or is waiting for its end.
    Open,
    /// All is sent: shut the sending direction down, say so by [`Connection::shut_down`], and go on
    /// reading, so that the peer's bytes are not answered with a reset that overtakes the answer.
    ShutDown,
    /// Close it.
    Close,
}

/// A send that failed, whatever the reason: the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendFailed;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// A head, or nothing yet.
    Head(HeadReader),
    /// A body of known size; both lengths in bytes. The request's bytes stand together.
    Sized { head_bytes: u16, body_bytes: u32 },
    /// A chunked body. `input` holds the head and what is decoded.
    Chunked { head_bytes: u16, decoder: ChunkDecoder },
}

/// Between two requests.
const BETWEEN: Phase = Phase::Head(HeadReader::NEW);

/// Facts about a connection, one bit each.
mod flag {
    /// No byte of a request has come yet.
    pub(crate) const FRESH: u16 = 1 << 0;
    /// A send is under way.
    pub(crate) const SENDING: u16 = 1 << 1;
    /// No request is taken any more; the last answer says so.
    pub(crate) const CLOSING: u16 = 1 << 2;
    /// The peer may be sending still when all is answered.
    pub(crate) const LINGER: u16 = 1 << 3;
    /// The sending direction is shut down.
    pub(crate) const SHUT: u16 = 1 << 4;
    /// The peer has ended its direction.
    pub(crate) const PEER_CLOSED: u16 = 1 << 5;
    /// The next answer is to be the last one.
    pub(crate) const DRAINING: u16 = 1 << 6;
    /// The request's sender waits for `100 Continue`.
    pub(crate) const CONTINUE_DUE: u16 = 1 << 7;
    /// Nothing more can be done: sending failed or stalled, or lingering is over.
    pub(crate) const DEAD: u16 = 1 << 8;
    /// The connection ends as soon as it is idle.
    pub(crate) const IDLE_ENDS: u16 = 1 << 9;
    /// Bodies may be as large as operators need them.
    pub(crate) const LARGE_BODIES: u16 = 1 << 10;
    /// An empty line was skipped before the request that comes.
    pub(crate) const EMPTY_LINE: u16 = 1 << 11;
    /// The peer speaks TLS.
    pub(crate) const TLS_HELLO: u16 = 1 << 12;
    /// One answer at a time: memory for those that are not taken is short.
    pub(crate) const SPARING: u16 = 1 << 13;
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Bytes that wait: raw from `start` on, or, in [`Phase::Chunked`], a head and what is decoded.
    input: Vec<u8>,
    /// Answers that wait for a send.
    output: Vec<u8>,
    slots: Slots,
    /// When the present stage of reading began.
    since: MonoNs,
    /// When the send under way began, or last made progress.
    sending_since: MonoNs,
    /// First byte of `input` that is not done with. Once closing: bytes dropped.
    start: u32,
    /// Bytes of the send under way.
    sending_bytes: u32,
    phase: Phase,
    flags: u16,
    refusal: Option<HttpRefusal>,
}

impl Connection {
    /// A connection that was accepted at `now`, with bodies of up to [`BODY_BYTES_MAX`]. Does not
    /// allocate.
    pub fn new(now: MonoNs) -> Connection {
        Connection {
            input: Vec::new(),
            output: Vec::new(),
            slots: Slots::default(),
            since: now,
            sending_since: now,
            start: 0,
            sending_bytes: 0,
            phase: BETWEEN,
            flags: flag::FRESH,
            refusal: None,
        }
    }

    /// As [`Connection::new`], with bodies of up to [`ADMIN_BODY_BYTES_MAX`].
    pub fn with_large_bodies(now: MonoNs) -> Connection {
        Connection { flags: flag::FRESH | flag::LARGE_BODIES, ..Connection::new(now) }
    }

    fn body_bytes_max(&self) -> usize {
        if self.has(flag::LARGE_BODIES) { ADMIN_BODY_BYTES_MAX } else { BODY_BYTES_MAX }
    }

    /// Bytes that are kept of what may not be parsed yet: a larger body takes as much more.
    fn input_bytes_max(&self) -> usize {
        CONNECTION_INPUT_BYTES_MAX - BODY_BYTES_MAX + self.body_bytes_max()
    }

    /// Takes bytes that have arrived. Each whole request goes to `handler` with its slot and the
    /// buffer for its answer, to which it may only append; what breaks the rules is answered here.
    /// Allocates only where a buffer has to be had or to grow.
    pub fn receive<H>(&mut self, bytes: &[u8], turn: &mut ConnectionTurn<'_>, handler: &mut H)
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        if bytes.is_empty() {
            return;
        }
        if self.has(flag::CLOSING) {
            self.drop_bytes(bytes.len());
        } else if self.input.is_empty() || matches!(self.phase, Phase::Chunked { .. }) {
            let used = self.run(bytes, turn, handler);
            self.keep(&bytes[used..], turn);
        } else {
            self.keep(bytes, turn);
            self.work_off(turn, handler);
        }
        self.settle(turn);
    }

    /// Goes on with bytes that had to wait for answers or sends: to be called where
    /// [`Connection::can_resume`] says so.
    pub fn resume<H>(&mut self, turn: &mut ConnectionTurn<'_>, handler: &mut H)
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        if self.can_resume() {
            self.work_off(turn, handler);
            self.settle(turn);
        }
    }

    /// Whether whole requests may be waiting in the buffer that can be taken now.
    pub fn can_resume(&self) -> bool {
        !self.has(flag::CLOSING) && !self.in_request() && !self.input.is_empty() && self.has_room()
    }

    /// Whether bytes may be received: false while too many answers are due, and after the peer's
    /// end. Bytes that arrive all the same are kept, up to `CONNECTION_INPUT_BYTES_MAX`; after the
    /// last request they are dropped, and wanted up to `LINGER_BYTES_MAX`.
    pub fn wants_reading(&self) -> bool {
        if self.has(flag::PEER_CLOSED | flag::DEAD) {
            return false;
        }
        if self.has(flag::CLOSING) {
            return self.offset() <= LINGER_BYTES_MAX;
        }
        self.in_request() || self.has_room()
    }

    /// Writes the answer of a request that was to be answered later. Returns false, without calling
    /// `write`, where no such request waits.
    pub fn answer(
        &mut self,
        slot: u32,
        turn: &mut ConnectionTurn<'_>,
        write: impl FnOnce(&mut Vec<u8>, &ResponseFlags<'_>),
    ) -> bool {
        let Some(index) = self.slots.waiting(slot) else { return false };
        let close = self.closes_after(index);
        let (head_only, http_1_0) = self.slots.kind(index);
        let frame = ResponseFlags { date: turn.date, close, head_only, http_1_0 };
        let before = self.output.len() + self.slots.held_bytes();
        if close && !self.has(flag::CLOSING) {
            self.flags |= flag::CLOSING | flag::LINGER;
        }
        if index == 0 {
            self.open_output(turn.pool);
            write(&mut self.output, &frame);
            self.note_answer(before);
            self.slots.pop();
            self.slots.release(&mut self.output, turn.pool);
        } else {
            self.slots.hold(slot, turn.pool, |held| {
                write(held, &frame);
                true
            });
            self.note_answer(before);
            self.slots.set_ready(index);
        }
        self.settle(turn);
        true
    }

    /// The bytes to send now, where there are any and no send is under way. The buffer comes back
    /// by [`Connection::sent`].
    pub fn take_output(&mut self, now: MonoNs) -> Option<Vec<u8>> {
        if self.output.is_empty() || self.has(flag::SENDING | flag::DEAD) {
            return None;
        }
        self.flags |= flag::SENDING;
        self.sending_since = now;
        self.sending_bytes = u32::try_from(self.output.len()).unwrap_or(u32::MAX);
        Some(mem::take(&mut self.output))
    }

    /// Takes the buffer of a send back, with the number of its bytes that were sent. What is
    /// missing goes out first in the next one.
    pub fn sent(
        &mut self,
        mut buffer: Vec<u8>,
        result: Result<usize, SendFailed>,
        turn: &mut ConnectionTurn<'_>,
    ) {
        debug_assert!(self.has(flag::SENDING) || self.has(flag::DEAD));
        self.flags &= !flag::SENDING;
        self.sending_bytes = 0;
        match result {
            Ok(count) if count == buffer.len() => turn.pool.give(buffer),
            Ok(count) if count > 0 && count < buffer.len() => {
                buffer.drain(..count);
                buffer.extend_from_slice(&self.output);
                turn.pool.give(mem::replace(&mut self.output, buffer));
            }
            Ok(_) | Err(SendFailed) => {
                turn.pool.give(buffer);
                self.flags |= flag::CLOSING | flag::DEAD;
            }
        }
        if self.is_idle() {
            self.since = turn.now;
        }
        self.settle(turn);
    }

    /// Answers a request that came without TLS where TLS is spoken; `bytes` are its first.
    pub fn refuse_plain_http(&mut self, bytes: &[u8], turn: &mut ConnectionTurn<'_>) {
        self.flags &= !flag::FRESH;
        self.refuse(HttpRefusal::PlainHttp, bytes, turn);
        self.settle(turn);
    }

    /// The peer has ended its direction: whole requests are still answered, those that wait in the
    /// buffer too, then the connection ends.
    pub fn peer_closed(&mut self, turn: &mut ConnectionTurn<'_>) {
        self.flags = (self.flags | flag::PEER_CLOSED) & !flag::FRESH;
        self.settle(turn);
    }

    /// From now on the next answer after which nothing waits is the last one and says so; idle
    /// connections stay, for clients that honour it.
    pub fn lame_duck(&mut self) {
        self.flags |= flag::DRAINING;
    }

    /// As [`Connection::lame_duck`], and the connection ends as soon as it is idle. One that has
    /// not sent a byte yet keeps its time for it.
    pub fn drain(&mut self, turn: &mut ConnectionTurn<'_>) {
        self.flags |= flag::DRAINING | flag::IDLE_ENDS;
        self.settle(turn);
    }

    /// What the end of this connection needs now.
    pub fn ending(&self) -> ConnectionEnd {
        if self.has(flag::DEAD) {
            return ConnectionEnd::Close;
        }
        let done = self.slots.is_empty() && self.output.is_empty() && !self.has(flag::SENDING);
        if !done || !self.has(flag::CLOSING) {
            return ConnectionEnd::Open;
        }
        match self.has(flag::LINGER) && !self.has(flag::PEER_CLOSED) {
            true if self.has(flag::SHUT) => ConnectionEnd::Open,
            true => ConnectionEnd::ShutDown,
            false => ConnectionEnd::Close,
        }
    }

    /// The sending direction has been shut down, as [`ConnectionEnd::ShutDown`] asked for.
    pub fn shut_down(&mut self, now: MonoNs) {
        debug_assert!(self.has(flag::CLOSING));
        self.flags |= flag::SHUT;
        self.since = now;
        self.start = 0;
    }

    /// Why the connection refused its last request, where it did: for counters.
    pub fn refusal(&self) -> Option<HttpRefusal> {
        self.refusal
    }

    /// Whether what was refused is the begin of TLS: somebody takes this port for one of https.
    pub fn is_tls(&self) -> bool {
        self.has(flag::TLS_HELLO)
    }

    /// Whether it waits for the next request and has nothing else to do: no buffer of its own, no
    /// deadline but that between two requests.
    pub fn is_at_rest(&self) -> bool {
        self.is_idle() && !self.has(flag::FRESH)
    }

    /// Requests that have been handed out and not answered.
    pub fn unanswered(&self) -> usize {
        self.slots.count()
    }

    fn has(&self, any: u16) -> bool {
        self.flags & any != 0
    }

    /// Whether a request has begun and not ended.
    fn in_request(&self) -> bool {
        !matches!(self.phase, Phase::Head(reader) if reader.is_before_line())
    }

    fn is_idle(&self) -> bool {
        self.slots.is_empty()
            && !self.in_request()
            && self.input.is_empty()
            && self.output.is_empty()
            && !self.has(flag::SENDING | flag::CLOSING)
    }

    fn offset(&self) -> usize {
        usize::try_from(self.start).expect("an offset in the input")
    }

    /// Whether the answer at a position is the last one.
    fn closes_after(&self, index: usize) -> bool {
        let last = index + 1 == self.slots.count();
        let ends = self.has(flag::DRAINING | flag::PEER_CLOSED) && self.input.is_empty();
        last && (ends || self.has(flag::CLOSING))
    }

    fn open_output(&mut self, pool: &mut BufferPool) {
        if self.output.capacity() == 0 {
            self.output = pool.take();
        }
    }

    /// Draws the conclusions after each change.
    fn settle(&mut self, turn: &mut ConnectionTurn<'_>) {
        let ended = self.has(flag::PEER_CLOSED) && (self.in_request() || self.input.is_empty());
        if ended {
            self.flags |= flag::CLOSING;
        }
        if self.has(flag::IDLE_ENDS) && !self.has(flag::FRESH) && self.is_idle() {
            self.flags |= flag::CLOSING | flag::LINGER;
        }
        if self.has(flag::CLOSING) {
            self.phase = BETWEEN;
            self.flags &= !flag::CONTINUE_DUE;
            if self.input.capacity() > 0 {
                self.start = 0;
                turn.pool.give(mem::take(&mut self.input));
            }
        } else if self.has(flag::CONTINUE_DUE) && self.slots.is_empty() {
            self.flags &= !flag::CONTINUE_DUE;
            self.open_output(turn.pool);
            self.output.extend_from_slice(CONTINUE);
        }
        if self.output.is_empty() && self.output.capacity() > 0 {
            turn.pool.give(mem::take(&mut self.output));
        }
        debug_assert!(self.has(flag::CLOSING) || self.input.len() >= self.offset());
    }
}
