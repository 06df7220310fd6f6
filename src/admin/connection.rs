//! One connection on a thread of its own: blocking reads and writes around the same HTTP machine
//! that the shards drive. Its deadlines are that machine's.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use super::answer::StreamBody;
use super::routes::Router;
use super::seats::Seat;
use super::stream::AdminStream;
use super::unread::Share;
use nudged_base::limits::WRITE_STALL_TIMEOUT_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_http::connection::{
    self as machine, Connection, ConnectionEnd, ConnectionTurn, Expiry, SendFailed, Timeouts,
};
use nudged_http::early::EarlyAnswers;
use nudged_http::head::{Method, Request};
use nudged_http::pool::BufferPool;
use nudged_http::reply::{ImfDate, ResponseFlags};
use nudged_runtime::clocks;

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1_024;
/// Buffers that a connection keeps: one comes in, one goes out.
const BUFFERS: usize = 2;
/// `[limits]` is for visitors; operators have the defaults.
const TIMEOUTS: Timeouts = Timeouts::DEFAULT;

/// Serves a connection until it ends. `peer` is who is there, for the audit, and has a seat.
pub(super) fn serve(
    stream: AdminStream,
    (peer, seat): (&str, &Seat),
    router: &Router,
    unread: Share<'_>,
) {
    let timeout = Duration::from_millis(WRITE_STALL_TIMEOUT_MS);
    if stream.set_write_timeout(timeout).is_err() {
        return;
    }
    let now = clocks::mono();
    let mut conversation = Conversation {
        stream,
        connection: Connection::with_large_bodies(now),
        pool: BufferPool::new(BUFFERS),
        date: ImfDate::of(clocks::wall()),
        now,
        early: EarlyRefusals { peer, router, seat },
        unread,
        streamed: None,
    };
    let mut bytes = vec![0; READ_BYTES];
    while conversation.turn(&mut bytes) {}
}

/// Answers those who wait with a body that will not be read.
struct EarlyRefusals<'s> {
    peer: &'s str,
    router: &'s Router,
    seat: &'s Seat,
}

impl EarlyAnswers for EarlyRefusals<'_> {
    fn answer_head(
        &self,
        request: &Request<'_>,
        frame: &ResponseFlags<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let admitted = self.router.admit(request, self.peer);
        admitted.map_err(|answer| answer.write(out, frame)).is_err()
    }
}

struct Conversation<'s> {
    stream: AdminStream,
    connection: Connection,
    pool: BufferPool,
    date: ImfDate,
    now: MonoNs,
    early: EarlyRefusals<'s>,
    unread: Share<'s>,
    /// What goes on behind the last answer: nothing follows it on this connection.
    streamed: Option<StreamBody>,
}

impl Conversation<'_> {
    /// Waits for bytes or a deadline and acts on it; false once the connection has ended.
    fn turn(&mut self, bytes: &mut [u8]) -> bool {
        self.early.seat.wait(clocks::mono());
        let arrived = match self.wait() {
            Some(timeout) if self.stream.set_read_timeout(timeout).is_ok() => {
                self.stream.read(bytes)
            }
            Some(_) => return false,
            None => Err(io::ErrorKind::TimedOut.into()),
        };
        self.early.seat.work();
        self.now = clocks::mono();
        self.date.refresh(clocks::wall());
        let mut turn = turn_of(self.now, &self.date, &mut self.pool, &self.early);
        match arrived {
            Ok(0) => self.connection.peer_closed(&mut turn),
            Ok(count) => {
                let kept = (&mut self.unread, &mut self.streamed);
                let mut handler = handler(&self.early, turn.date, kept);
                let was_refused = self.connection.refusal().is_some();
                self.connection.receive(&bytes[..count], &mut turn, &mut handler);
                if !was_refused && self.connection.is_tls() {
                    self.early
                        .router
                        .service
                        .log(Message::TlsSeen, &[("listener", LogValue::Text("admin"))]);
                }
            }
            Err(error) if is_timeout(&error) => match self.connection.expire(&mut turn) {
                Expiry::Nothing | Expiry::Answered => {}
                Expiry::Closed | Expiry::Reset => return false,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
        self.send_all() && self.go_on()
    }

    /// How long to wait for bytes; `None` where a deadline has passed.
    fn wait(&self) -> Option<Duration> {
        let Some(deadline) = self.connection.deadline(&TIMEOUTS) else {
            return Some(Duration::from_millis(WRITE_STALL_TIMEOUT_MS));
        };
        let left_ns = deadline.0.saturating_sub(clocks::mono().0);
        // Shorter waits than a microsecond would be taken for none at all.
        (left_ns > 0).then(|| Duration::from_nanos(left_ns.max(1_000)))
    }

    /// Sends what is due, and works off requests that had to wait for that.
    fn send_all(&mut self) -> bool {
        loop {
            while let Some(buffer) = self.connection.take_output(self.now) {
                let sent = self.stream.write_all(&buffer);
                let result = sent.map(|()| buffer.len()).map_err(|_| SendFailed);
                self.now = clocks::mono();
                let mut turn = turn_of(self.now, &self.date, &mut self.pool, &self.early);
                self.connection.sent(buffer, result, &mut turn);
            }
            // Each answer is written at once, so all are sent.
            self.unread.give_back();
            if !self.connection.can_resume() {
                return true;
            }
            let mut turn = turn_of(self.now, &self.date, &mut self.pool, &self.early);
            let kept = (&mut self.unread, &mut self.streamed);
            let mut handler = handler(&self.early, turn.date, kept);
            self.connection.resume(&mut turn, &mut handler);
        }
    }

    fn go_on(&mut self) -> bool {
        if let Some(streamed) = self.streamed.take() {
            streamed.run(&mut self.stream);
            // Where the peer has gone there is nobody to tell.
            let _ = self.stream.end_sending();
            return false;
        }
        match self.connection.ending() {
            ConnectionEnd::Open => true,
            ConnectionEnd::Close => {
                self.stream.end();
                false
            }
            ConnectionEnd::ShutDown => {
                self.connection.shut_down(self.now);
                self.stream.end_sending().is_ok()
            }
        }
    }
}

fn turn_of<'t>(
    now: MonoNs,
    date: &'t ImfDate,
    pool: &'t mut BufferPool,
    early: &'t EarlyRefusals<'_>,
) -> ConnectionTurn<'t> {
    ConnectionTurn { now, date, pool, timeouts: &TIMEOUTS, early, known: None }
}

/// Answers each request at once: nobody else waits for this thread.
fn handler<'h>(
    early: &'h EarlyRefusals<'_>,
    date: &'h ImfDate,
    (unread, streamed): (&'h mut Share<'_>, &'h mut Option<StreamBody>),
) -> impl FnMut(&Request<'_>, u32, &mut Vec<u8>) -> machine::Answer + 'h {
    move |request, _slot, out| {
        // What was sent behind the request for a stream is not answered.
        if streamed.is_some() {
            return machine::Answer::Now;
        }
        let mut answer = early.router.answer(request, early.peer);
        if early.router.access.has_credentials(request) && answer.status != 401 {
            early.seat.show_token();
        }
        // What was changed is told whatever it takes.
        if request.method == Method::Get {
            answer = unread.admit(answer);
        }
        answer.write(out, &request.frame(date));
        *streamed = answer.streamed.filter(|_| request.method != Method::Head);
        machine::Answer::Now
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
