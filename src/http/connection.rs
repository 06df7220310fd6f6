//! One connection's whole life, without its socket: bytes in, requests out; answers in, bytes out.
//! LIFECYCLE.md beside this file has the states and what moves them.
//!
//! While a request arrives in one piece it is read where it lies: nothing is copied and nothing
//! is kept. Otherwise its bytes wait in a pooled buffer, and each of them is looked at once. An
//! idle connection is [`Connection`] alone, at most [`CONNECTION_BYTES_MAX`], without a buffer.
//!
//! Must not know sockets, routes or popups. Limits: those of HTTP in `base::limits`.

use std::mem;

use super::body::ChunkDecoder;
use super::head::{self, Framing, Head, Request};
use super::pool::BufferPool;
use super::refusal::Refusal;
use super::reply::{CONTINUE, Frame};
use super::scan::HeadScan;
use super::slots::Slots;
use crate::base::limits::{
    BODY_BYTES_MAX, BODY_TIMEOUT_MS, CONNECTION_INPUT_BYTES_MAX, CONNECTION_OUTPUT_BYTES_MAX,
    FIRST_BYTE_TIMEOUT_MS, HEAD_TIMEOUT_MS, IDLE_TIMEOUT_MS, LINGER_BYTES_MAX, LINGER_TIMEOUT_MS,
    WRITE_STALL_TIMEOUT_MS,
};
use crate::base::time::MonoNs;

/// Memory of a connection that holds no buffer, in bytes.
pub const CONNECTION_BYTES_MAX: usize = 128;
const _: () = assert!(size_of::<Connection>() <= CONNECTION_BYTES_MAX);

/// What every call takes from its turn of the loop.
#[derive(Debug)]
pub struct Turn<'t> {
    /// The turn's time.
    pub now: MonoNs,
    /// The turn's date in IMF form, 29 bytes.
    pub date: &'t str,
    /// Where buffers are borrowed.
    pub pool: &'t mut BufferPool,
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
pub enum Ending {
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
    Head(HeadScan),
    /// A body of known size; both lengths in bytes. The request's bytes stand together.
    Sized { head_bytes: u16, body_bytes: u32 },
    /// A chunked body. `input` holds the head and what is decoded.
    Chunked { head_bytes: u16, decoder: ChunkDecoder },
}

/// Between two requests.
const BETWEEN: Phase = Phase::Head(HeadScan::NEW);

/// Facts about a connection, one bit each.
mod flag {
    /// No byte has come yet.
    pub const FRESH: u16 = 1 << 0;
    /// A send is under way.
    pub const SENDING: u16 = 1 << 1;
    /// No request is taken any more; the last answer says so.
    pub const CLOSING: u16 = 1 << 2;
    /// The peer may be sending still when all is answered.
    pub const LINGER: u16 = 1 << 3;
    /// The sending direction is shut down.
    pub const SHUT: u16 = 1 << 4;
    /// The peer has ended its direction.
    pub const PEER_CLOSED: u16 = 1 << 5;
    /// The next answer is to be the last one.
    pub const DRAINING: u16 = 1 << 6;
    /// The request's sender waits for `100 Continue`.
    pub const CONTINUE_DUE: u16 = 1 << 7;
    /// Nothing more can be done: sending failed or stalled, or lingering is over.
    pub const DEAD: u16 = 1 << 8;
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
    /// When the send under way began.
    sending_since: MonoNs,
    /// First byte of `input` that is not done with. Once closing: bytes dropped.
    start: u32,
    phase: Phase,
    flags: u16,
    refusal: Option<Refusal>,
}

impl Connection {
    /// A connection that was accepted at `now`. Does not allocate.
    pub fn new(now: MonoNs) -> Connection {
        Connection {
            input: Vec::new(),
            output: Vec::new(),
            slots: Slots::default(),
            since: now,
            sending_since: now,
            start: 0,
            phase: BETWEEN,
            flags: flag::FRESH,
            refusal: None,
        }
    }

    /// Takes bytes that have arrived. Each whole request goes to `handler` with its slot and the
    /// buffer for its answer, to which it may only append; what breaks the rules is answered here.
    /// Allocates only where a buffer has to be had or to grow.
    pub fn receive<H>(&mut self, bytes: &[u8], turn: &mut Turn<'_>, handler: &mut H)
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        if bytes.is_empty() {
            return;
        }
        self.flags &= !flag::FRESH;
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
    pub fn resume<H>(&mut self, turn: &mut Turn<'_>, handler: &mut H)
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
        turn: &mut Turn<'_>,
        write: impl FnOnce(&mut Vec<u8>, &Frame<'_>),
    ) -> bool {
        let Some(index) = self.slots.waiting(slot) else { return false };
        let close = self.closes_after(index);
        let (head_only, http_1_0) = self.slots.kind(index);
        let frame = Frame { date: turn.date, close, head_only, http_1_0 };
        if close && !self.has(flag::CLOSING) {
            self.flags |= flag::CLOSING | flag::LINGER;
        }
        if index == 0 {
            self.open_output(turn.pool);
            write(&mut self.output, &frame);
            self.slots.pop();
            self.slots.release(&mut self.output, turn.pool);
        } else {
            self.slots.hold(slot, turn.pool, |held| {
                write(held, &frame);
                true
            });
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
        Some(mem::take(&mut self.output))
    }

    /// Takes the buffer of a send back, with the number of its bytes that were sent. What is
    /// missing goes out first in the next one.
    pub fn sent(
        &mut self,
        mut buffer: Vec<u8>,
        result: Result<usize, SendFailed>,
        turn: &mut Turn<'_>,
    ) {
        debug_assert!(self.has(flag::SENDING) || self.has(flag::DEAD));
        self.flags &= !flag::SENDING;
        match result {
            Ok(count) if count == buffer.len() => turn.pool.give(buffer),
            Ok(count) if count > 0 && count < buffer.len() => {
                buffer.drain(..count);
                buffer.extend_from_slice(&self.output);
                turn.pool.give(mem::replace(&mut self.output, buffer));
            }
            Ok(_) | Err(SendFailed) => {
                turn.pool.give(buffer);
                self.flags |= flag::DEAD;
            }
        }
        if self.is_idle() {
            self.since = turn.now;
        }
        self.settle(turn);
    }

    /// The peer has ended its direction: whole requests are still answered, then the connection
    /// ends.
    pub fn peer_closed(&mut self, turn: &mut Turn<'_>) {
        self.flags = (self.flags | flag::PEER_CLOSED) & !flag::FRESH;
        self.settle(turn);
    }

    /// From now on the next answer after which nothing waits is the last one and says so; idle
    /// connections stay, for clients that honour it.
    pub fn lame_duck(&mut self) {
        self.flags |= flag::DRAINING;
    }

    /// As [`Connection::lame_duck`], and an idle connection ends now. One that has not sent a byte
    /// yet keeps its time for it.
    pub fn drain(&mut self, turn: &mut Turn<'_>) {
        self.lame_duck();
        if self.is_idle() && !self.has(flag::FRESH) {
            self.flags |= flag::CLOSING | flag::LINGER;
            self.settle(turn);
        }
    }

    /// What the end of this connection needs now.
    pub fn ending(&self) -> Ending {
        if self.has(flag::DEAD) {
            return Ending::Close;
        }
        let done = self.slots.is_empty() && self.output.is_empty() && !self.has(flag::SENDING);
        if !done || !self.has(flag::CLOSING) {
            return Ending::Open;
        }
        match self.has(flag::LINGER) && !self.has(flag::PEER_CLOSED) {
            true if self.has(flag::SHUT) => Ending::Open,
            true => Ending::ShutDown,
            false => Ending::Close,
        }
    }

    /// Whether the connection is to be closed now.
    pub fn should_close(&self) -> bool {
        self.ending() == Ending::Close
    }

    /// The sending direction has been shut down, as [`Ending::ShutDown`] asked for.
    pub fn shut_down(&mut self, now: MonoNs) {
        debug_assert!(self.has(flag::CLOSING));
        self.flags |= flag::SHUT;
        self.since = now;
        self.start = 0;
    }

    /// When [`Connection::expire`] has to be called next; none while only this server is waited
    /// for.
    pub fn deadline(&self) -> Option<MonoNs> {
        let sending = self.sending_deadline();
        let reading = self.reading_deadline();
        match (sending, reading) {
            (Some(sending), Some(reading)) => Some(sending.min(reading)),
            (one, None) | (None, one) => one,
        }
    }

    /// Acts on the deadlines that have passed at the turn's time.
    pub fn expire(&mut self, turn: &mut Turn<'_>) -> Expiry {
        if self.sending_deadline().is_some_and(|at| at <= turn.now) {
            self.flags |= flag::CLOSING | flag::DEAD;
            self.settle(turn);
            return Expiry::Reset;
        }
        if self.reading_deadline().is_none_or(|at| at > turn.now) {
            return Expiry::Nothing;
        }
        if self.in_request() {
            let head_only = self.input[self.offset()..].starts_with(b"HEAD ");
            self.refuse(Refusal::Timeout, head_only, turn);
            self.settle(turn);
            return Expiry::Answered;
        }
        self.flags |= flag::CLOSING | flag::DEAD;
        self.settle(turn);
        Expiry::Closed
    }

    /// Why the connection refused its last request, where it did: for counters.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
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
        !matches!(self.phase, Phase::Head(scan) if scan.is_new())
    }

    /// Whether another request may be begun.
    fn has_room(&self) -> bool {
        !self.slots.is_full() && self.output.len() < CONNECTION_OUTPUT_BYTES_MAX
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

    fn sending_deadline(&self) -> Option<MonoNs> {
        let running = self.has(flag::SENDING) && !self.has(flag::DEAD);
        running.then(|| self.sending_since.plus_ms(WRITE_STALL_TIMEOUT_MS))
    }

    fn reading_deadline(&self) -> Option<MonoNs> {
        let timeout_ms = match self.phase {
            _ if self.has(flag::DEAD) => return None,
            _ if self.has(flag::SHUT) => LINGER_TIMEOUT_MS,
            _ if self.has(flag::CLOSING) => return None,
            Phase::Sized { .. } | Phase::Chunked { .. } => BODY_TIMEOUT_MS,
            Phase::Head(scan) if !scan.is_new() => HEAD_TIMEOUT_MS,
            _ if self.has(flag::FRESH) => FIRST_BYTE_TIMEOUT_MS,
            _ if self.is_idle() => IDLE_TIMEOUT_MS,
            _ => return None,
        };
        Some(self.since.plus_ms(timeout_ms))
    }

    /// Keeps bytes that could not be taken yet. More than the bound ends the connection after the
    /// answers that are due.
    fn keep(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        if bytes.is_empty() {
            return;
        }
        if self.has(flag::CLOSING)
            || self.input.len() - self.offset() + bytes.len() > CONNECTION_INPUT_BYTES_MAX
        {
            self.flags |= flag::CLOSING | flag::LINGER;
            return;
        }
        if self.input.capacity() == 0 {
            self.input = turn.pool.take();
        }
        // Moving the rest down once at least half is done with costs no more than its arrival did.
        if self.offset() > 0 && self.offset() * 2 >= self.input.len() {
            self.input.drain(..self.offset());
            self.start = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Goes over the raw bytes that wait.
    fn work_off<H>(&mut self, turn: &mut Turn<'_>, handler: &mut H)
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        let raw = mem::take(&mut self.input);
        let start = mem::take(&mut self.start);
        let from = usize::try_from(start).expect("an offset in the input");
        let used = from + self.run(&raw[from..], turn, handler);
        if used == raw.len() || self.has(flag::CLOSING) {
            if used < raw.len() {
                self.flags |= flag::LINGER;
            }
            turn.pool.give(raw);
        } else {
            debug_assert!(self.input.is_empty(), "a chunked body takes all bytes");
            self.input = raw;
            self.start = u32::try_from(used).expect("within the bound of the input");
        }
    }

    /// Takes requests from the start of `bytes` while there is room for their answers; gives how
    /// many bytes are done with. The others, if any, start with a request's first byte.
    fn run<H>(&mut self, bytes: &[u8], turn: &mut Turn<'_>, handler: &mut H) -> usize
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        let mut used = 0;
        while used < bytes.len() && !self.has(flag::CLOSING) {
            if !self.in_request() && !self.has_room() {
                break;
            }
            let rest = &bytes[used..];
            match self.advance(rest, turn, handler) {
                Ok(Some(count)) => used += count,
                Ok(None) => break,
                Err(refusal) => {
                    let chunked = matches!(self.phase, Phase::Chunked { .. });
                    let request = if chunked { &self.input[..] } else { rest };
                    let head_only = request.starts_with(b"HEAD ");
                    self.refuse(refusal, head_only, turn);
                }
            }
        }
        used
    }

    /// Takes one step over bytes that start with the present request's first byte or, in a chunked
    /// body, with its next one. Gives how many are done with, or none where more must come.
    fn advance<H>(
        &mut self,
        bytes: &[u8],
        turn: &mut Turn<'_>,
        handler: &mut H,
    ) -> Result<Option<usize>, Refusal>
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        match self.phase {
            Phase::Head(mut scan) => {
                if scan.is_new() {
                    self.since = turn.now;
                }
                let Some(end) = scan.advance(bytes)? else {
                    self.phase = Phase::Head(scan);
                    return Ok(None);
                };
                let head = head::parse(&bytes[..end])?;
                let Some(size) = sized_whole(head.framing, &bytes[end..]) else {
                    return self.begin_body(&head, &bytes[..end], turn);
                };
                self.phase = BETWEEN;
                self.hand_out(&head, &bytes[end..end + size], turn, handler);
                Ok(Some(end + size))
            }
            Phase::Sized { head_bytes, body_bytes } => {
                let end = usize::from(head_bytes);
                let size = usize::try_from(body_bytes).expect("within the limit of a body");
                let Some(body) = bytes.get(end..end + size) else { return Ok(None) };
                let head = head::parse(&bytes[..end])?;
                self.phase = BETWEEN;
                self.hand_out(&head, body, turn, handler);
                Ok(Some(end + size))
            }
            Phase::Chunked { head_bytes, mut decoder } => {
                let end = usize::from(head_bytes);
                let (used, complete) = decoder.feed(bytes, &mut self.input, end)?;
                self.phase = Phase::Chunked { head_bytes, decoder };
                if complete {
                    let input = mem::take(&mut self.input);
                    let head = head::parse(&input[..end])?;
                    self.phase = BETWEEN;
                    self.hand_out(&head, &input[end..], turn, handler);
                    turn.pool.give(input);
                }
                Ok(Some(used))
            }
        }
    }

    /// Turns from a whole head to its body. Gives how many bytes are done with: none of a sized
    /// request, which stays together, and the head of a chunked one, which moves to the buffer
    /// that the body is decoded into.
    fn begin_body(
        &mut self,
        head: &Head<'_>,
        bytes: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<Option<usize>, Refusal> {
        let head_bytes = u16::try_from(bytes.len()).expect("within the limit of a head");
        self.since = turn.now;
        let used = match head.framing {
            Framing::Sized(size) => {
                let fits = usize::try_from(size).is_ok_and(|size| size <= BODY_BYTES_MAX);
                if !fits {
                    return Err(Refusal::BodyTooLarge);
                }
                let body_bytes = u32::try_from(size).expect("within the limit of a body");
                self.phase = Phase::Sized { head_bytes, body_bytes };
                0
            }
            Framing::Chunked => {
                debug_assert!(self.input.is_empty(), "raw bytes were taken out");
                self.input = turn.pool.take();
                self.input.extend_from_slice(bytes);
                self.phase = Phase::Chunked { head_bytes, decoder: ChunkDecoder::new() };
                bytes.len()
            }
        };
        if head.expects_continue {
            self.flags |= flag::CONTINUE_DUE;
        }
        Ok(Some(used))
    }

    /// Hands a whole request to the handler, and puts its answer where its turn is.
    fn hand_out<H>(&mut self, head: &Head<'_>, body: &[u8], turn: &mut Turn<'_>, handler: &mut H)
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        let mut request = head.request;
        let ambiguous = request.method.drops_body() && head.framing != Framing::Sized(0);
        if ambiguous || self.has(flag::DRAINING) {
            request.close = true;
            self.flags |= flag::LINGER;
        }
        if !request.method.drops_body() {
            request.body = body;
        }
        if request.close {
            self.flags |= flag::CLOSING;
        }
        self.flags &= !flag::CONTINUE_DUE;
        let slot = self.slots.next();
        let frame = request.frame(turn.date);
        let kind = (frame.head_only, frame.http_1_0);
        if self.slots.is_empty() {
            self.open_output(turn.pool);
            let before = self.output.len();
            match handler(&request, slot, &mut self.output) {
                Answer::Now => self.slots.pass(),
                Answer::Later => {
                    debug_assert_eq!(self.output.len(), before, "an answer for later is not begun");
                    self.output.truncate(before);
                    self.slots.push(kind);
                }
            }
            return;
        }
        let ready =
            self.slots.hold(slot, turn.pool, |out| handler(&request, slot, out) == Answer::Now);
        self.slots.push(kind);
        if ready {
            self.slots.set_ready(self.slots.count() - 1);
        }
    }

    /// Answers the present request with a refusal; it is the last one.
    fn refuse(&mut self, refusal: Refusal, head_only: bool, turn: &mut Turn<'_>) {
        self.refusal = Some(refusal);
        self.flags |= flag::CLOSING | flag::LINGER;
        let frame = Frame { date: turn.date, close: true, head_only, http_1_0: false };
        if self.slots.is_empty() {
            self.open_output(turn.pool);
            refusal.write(&mut self.output, &frame);
            self.slots.pass();
            return;
        }
        let slot = self.slots.next();
        self.slots.hold(slot, turn.pool, |out| {
            refusal.write(out, &frame);
            true
        });
        self.slots.push((head_only, false));
        self.slots.set_ready(self.slots.count() - 1);
    }

    fn open_output(&mut self, pool: &mut BufferPool) {
        if self.output.capacity() == 0 {
            self.output = pool.take();
        }
    }

    /// Drops bytes after the last request. Past the bound they are not wanted any more, which ends
    /// a connection that lingers.
    fn drop_bytes(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.start = self.start.saturating_add(count);
        self.flags |= flag::LINGER;
        if self.has(flag::SHUT) && self.offset() > LINGER_BYTES_MAX {
            self.flags |= flag::DEAD;
        }
    }

    /// Draws the conclusions after each change.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        let ended = self.has(flag::PEER_CLOSED) && (self.in_request() || self.input.is_empty());
        if ended {
            self.flags |= flag::CLOSING;
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

/// Size of a body that stands whole at the start of `bytes`; none where more must come, where it
/// is over the limit, or where it has no size.
fn sized_whole(framing: Framing, bytes: &[u8]) -> Option<usize> {
    let Framing::Sized(size) = framing else { return None };
    let size = usize::try_from(size).ok()?;
    (size <= BODY_BYTES_MAX && size <= bytes.len()).then_some(size)
}
