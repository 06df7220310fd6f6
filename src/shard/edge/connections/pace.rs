//! What connections want at the end of a turn, and what becomes of those whose time is up.

use super::{Connections, NEVER, ShardTurn, ticks};
use crate::seam::{Effect, Outbox};
use crate::view::View;
use nudged_base::limits::LINGER_TIMEOUT_MS;
use nudged_base::time::MonoNs;
use nudged_http::connection::{Connection, ConnectionEnd, Expiry, Timeouts};

impl Connections {
    /// Acts on the deadlines that have passed.
    pub fn expire(&mut self, turn: &mut ShardTurn<'_>) {
        self.pool.shrink();
        let tick = ticks(turn.now.mono);
        for index in 0..self.deadlines.len() {
            if self.deadlines[index] > tick {
                continue;
            }
            self.deadlines[index] = NEVER;
            let entry = &self.entries[index];
            let number = u32::try_from(index).expect("numbers have 32 bits");
            if !entry.is_open {
                continue;
            }
            if entry.is_refused && !entry.is_answered {
                self.deadlines[index] = ticks(turn.now.mono.plus_ms(LINGER_TIMEOUT_MS));
                self.answer_refused(turn, number, &[]);
                continue;
            }
            if entry.is_refused {
                // In order: a reset could overtake its answer.
                self.close(number, false, turn.outbox);
                continue;
            }
            match self.with_http(turn, number, Connection::expire) {
                Expiry::Nothing | Expiry::Answered => {
                    if self.entries[index].http.is_sending() {
                        turn.outbox.push(Effect::AskUntaken { connection: number });
                    }
                    self.mark(number);
                }
                Expiry::Closed => self.close(number, false, turn.outbox),
                Expiry::Reset => self.close(number, true, turn.outbox),
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
            ConnectionEnd::Open => {}
            ConnectionEnd::ShutDown => {
                entry.http.shut_down(now);
                outbox.push(Effect::ShutDown { connection: number });
            }
            ConnectionEnd::Close => return self.close(number, false, outbox),
        }
        let is_paused = !entry.http.wants_reading();
        if is_paused != entry.is_paused {
            entry.is_paused = is_paused;
            outbox.push(match is_paused {
                true => Effect::StopReading { connection: number },
                false => Effect::ResumeReading { connection: number },
            });
        }
        let mut ends = entry.http.deadline(timeouts).map_or(NEVER, |at| ticks(at) + 1);
        if entry.http.is_sending() {
            ends = ends.min(ticks(now.plus_ms(look_ms)) + 1);
        }
        self.deadlines[number as usize] = ends;
    }
}
