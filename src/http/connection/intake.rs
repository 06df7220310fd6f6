//! From bytes to requests: the half of [`Connection`] that reads. Requests are taken from the bytes
//! where they lie; what is unfinished is kept, and gone on with where the last byte left off.

use std::mem;

use super::{Answer, BETWEEN, Connection, ConnectionTurn, Phase, flag};
use crate::body::ChunkDecoder;
use crate::early::HeadArrival;
use crate::head::{self, Framing, Head, HeadReader, Request};
use crate::pool::BufferPool;
use crate::refusal::HttpRefusal;
use crate::reply::ResponseFlags;
use nudged_base::limits::LINGER_BYTES_MAX;

/// The first byte of what a client of TLS says first; no request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

impl Connection {
    /// Keeps bytes that could not be taken yet. More than the bound ends the connection after the
    /// answers that are due.
    pub(super) fn keep(&mut self, bytes: &[u8], turn: &mut ConnectionTurn<'_>) {
        if bytes.is_empty() {
            return;
        }
        if self.has(flag::CLOSING)
            || self.input.len() - self.offset() + bytes.len() > self.input_bytes_max()
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
    pub(super) fn work_off<H>(&mut self, turn: &mut ConnectionTurn<'_>, handler: &mut H)
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
    pub(super) fn run<H>(
        &mut self,
        bytes: &[u8],
        turn: &mut ConnectionTurn<'_>,
        handler: &mut H,
    ) -> usize
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
                    if rest[0] == TLS_HANDSHAKE && refusal == HttpRefusal::MalformedRequestLine {
                        self.flags |= flag::TLS_HELLO;
                    }
                    let input = mem::take(&mut self.input);
                    let request = match self.phase {
                        Phase::Chunked { .. } => &input[..],
                        Phase::Head(reader) if reader.is_in_empty_line() => &[],
                        _ => rest,
                    };
                    self.refuse(refusal, request, turn);
                    self.input = input;
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
        turn: &mut ConnectionTurn<'_>,
        handler: &mut H,
    ) -> Result<Option<usize>, HttpRefusal>
    where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        match self.phase {
            Phase::Head(mut reader) => {
                if reader.is_in_empty_line() || (reader.is_new() && bytes[0] == b'\r') {
                    return self.skip_empty_line(reader, bytes[0]);
                }
                if reader.is_new() {
                    self.since = turn.now;
                    self.flags &= !flag::FRESH;
                }
                let known = turn.known.as_deref_mut();
                let found = reader.advance(bytes, self.body_bytes_max(), known)?;
                let Some((head, end)) = found else {
                    self.phase = Phase::Head(reader);
                    return Ok(None);
                };
                let Some(size) = sized_whole(head.framing, &bytes[end..]) else {
                    return Ok(Some(self.begin_body(&head, &bytes[..end], turn)));
                };
                self.phase = BETWEEN;
                self.hand_out(head, &bytes[end..end + size], turn, handler);
                Ok(Some(end + size))
            }
            Phase::Sized { head_bytes, body_bytes } => {
                let end = usize::from(head_bytes);
                let size = usize::try_from(body_bytes).expect("within the limit of a body");
                let Some(body) = bytes.get(end..end + size) else { return Ok(None) };
                let head = head::parse(&bytes[..end], size)?;
                self.phase = BETWEEN;
                self.hand_out(head, body, turn, handler);
                Ok(Some(end + size))
            }
            Phase::Chunked { head_bytes, mut decoder } => {
                let (end, max) = (usize::from(head_bytes), self.body_bytes_max());
                let (used, complete) = decoder.feed(bytes, &mut self.input, (end, max))?;
                self.phase = Phase::Chunked { head_bytes, decoder };
                if complete {
                    let input = mem::take(&mut self.input);
                    let head = head::parse(&input[..end], max)?;
                    self.phase = BETWEEN;
                    self.hand_out(head, &input[end..], turn, handler);
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
        turn: &mut ConnectionTurn<'_>,
    ) -> usize {
        if head.expects_continue && self.answer_head(head, turn) {
            return bytes.len();
        }
        let head_bytes = u16::try_from(bytes.len()).expect("within the limit of a head");
        self.since = turn.now;
        let used = match head.framing {
            Framing::Sized(size) => {
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
        used
    }

    /// Skips a byte of an empty line before a request line, once a request (RFC 9112, 2.2): some
    /// clients end their bodies with one. It begins no request, so none has to follow in time, and
    /// whoever sends nothing else has no more time for it.
    fn skip_empty_line(
        &mut self,
        reader: HeadReader,
        byte: u8,
    ) -> Result<Option<usize>, HttpRefusal> {
        match (reader.is_in_empty_line(), byte) {
            (false, b'\r') if !self.has(flag::EMPTY_LINE) => {
                self.phase = Phase::Head(HeadReader::EMPTY_LINE);
            }
            (true, b'\n') => {
                self.phase = BETWEEN;
                self.flags |= flag::EMPTY_LINE;
            }
            _ => return Err(HttpRefusal::BareLineEnd),
        }
        Ok(Some(1))
    }

    /// Hands a whole request to the handler, and puts its answer where its turn is.
    fn hand_out<'b, H>(
        &mut self,
        head: Head<'b>,
        body: &'b [u8],
        turn: &mut ConnectionTurn<'_>,
        handler: &mut H,
    ) where
        H: FnMut(&Request<'_>, u32, &mut Vec<u8>) -> Answer,
    {
        let Head { mut request, framing, .. } = head;
        let ambiguous = request.method.drops_body() && framing != Framing::Sized(0);
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
        self.flags &= !(flag::CONTINUE_DUE | flag::EMPTY_LINE);
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

    /// Answers a request whose client waits with its body, where its head alone decides; whether it
    /// did. It is the last one then: nobody knows whether the body will come.
    fn answer_head(&mut self, head: &Head<'_>, turn: &mut ConnectionTurn<'_>) -> bool {
        let (request, early) = (head.request, turn.early);
        let frame = ResponseFlags { close: true, ..request.frame(turn.date) };
        let is_answered =
            self.write_last(frame, turn.pool, |out| early.answer_head(&request, &frame, out));
        if is_answered {
            self.phase = BETWEEN;
        }
        is_answered
    }

    /// Answers the present request, whose bytes start `request`, with a refusal; it is the last
    /// one.
    pub(super) fn refuse(
        &mut self,
        refusal: HttpRefusal,
        request: &[u8],
        turn: &mut ConnectionTurn<'_>,
    ) {
        self.refusal = Some(refusal);
        let head_only = request.starts_with(b"HEAD ");
        let frame = ResponseFlags { date: turn.date, close: true, head_only, http_1_0: false };
        let (begun, early) = (HeadArrival::of(request), turn.early);
        self.write_last(frame, turn.pool, |out| {
            early.write_refused(refusal, &begun, &frame, out);
            true
        });
    }

    /// Has `write` append the answer of a request that is not handed out, in its turn; it is the
    /// last one. Nothing is changed where `write` gives false.
    fn write_last(
        &mut self,
        frame: ResponseFlags<'_>,
        pool: &mut BufferPool,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        let is_written = if self.slots.is_empty() {
            self.open_output(pool);
            let is_written = write(&mut self.output);
            if is_written {
                self.slots.pass();
            }
            is_written
        } else {
            let is_written = self.slots.hold(self.slots.next(), pool, write);
            if is_written {
                self.slots.push((frame.head_only, frame.http_1_0));
                self.slots.set_ready(self.slots.count() - 1);
            }
            is_written
        };
        if is_written {
            self.flags |= flag::CLOSING | flag::LINGER;
        }
        is_written
    }

    /// Drops bytes after the last request. Past the bound they are not wanted any more, which ends
    /// a connection that lingers.
    pub(super) fn drop_bytes(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.start = self.start.saturating_add(count);
        self.flags |= flag::LINGER;
        if self.has(flag::SHUT) && self.offset() > LINGER_BYTES_MAX {
            self.flags |= flag::DEAD;
        }
    }
}

/// Size of a body that stands whole at the start of `bytes`; none where more must come, or where it
/// has no size.
fn sized_whole(framing: Framing, bytes: &[u8]) -> Option<usize> {
    let Framing::Sized(size) = framing else { return None };
    let size = usize::try_from(size).ok()?;
    (size <= bytes.len()).then_some(size)
}
