//! What clients owe: the memory of answers that they have not taken, kept to its bound, and whether
//! a slow one takes any. Also what a turn has to say of it.

use std::cmp::Reverse;

use super::{ConnectionEntry, Connections};
use crate::seam::Outbox;
use nudged_base::limits::{TICK_MS, UNSENT_STALLED_LEAST_MS, UNSENT_STALLED_MS};
use nudged_base::time::MonoNs;
use nudged_http::connection::Timeouts;

impl Connections {
    /// The kernel has so many bytes that the peer has not acknowledged: fewer than at the last look
    /// say that the peer is alive, also where it is too slow for the send under way to end.
    pub fn untaken(&mut self, now: MonoNs, number: u32, bytes: u32) {
        let entry = &mut self.entries[number as usize];
        if entry.is_open && entry.http.is_sending() {
            let former = std::mem::replace(&mut entry.untaken, bytes);
            // The first look at a send has nothing to be compared with.
            if former != u32::MAX && bytes < former {
                entry.http.peer_took(now);
            }
        }
    }

    /// Whether clients owe more than they may together: each then gets one answer at a time.
    pub(super) fn is_beyond_bound(&self) -> bool {
        self.unsent > self.unsent_max
    }

    /// How long after a turn it is looked whether a peer takes bytes, in milliseconds: soon where
    /// those that do not are looked for.
    pub(super) fn look_ms(&self, timeouts: &Timeouts) -> u64 {
        let usual = timeouts.stall_look_ms();
        if self.is_beyond_bound() { usual.min(TICK_MS) } else { usual }
    }

    /// Where all together owe more than they may: resets those that owe the most, of two that owe
    /// the same the one whose send has waited longer. Only connections whose send has made no
    /// progress for a while are among them: what the kernel has just been offered, or not yet, says
    /// nothing about its client. An eighth beyond the bound goes with them, and it is looked once a
    /// tick, so that the search for them is paid for by what it frees.
    pub(super) fn keep_to_bound(&mut self, now: MonoNs, outbox: &mut Outbox) {
        if !self.is_beyond_bound() || now < self.looks_at {
            return;
        }
        self.looks_at = now.plus_ms(TICK_MS);
        let is_far_beyond = self.unsent > self.unsent_max.saturating_mul(2);
        let stalled_ms = if is_far_beyond { UNSENT_STALLED_LEAST_MS } else { UNSENT_STALLED_MS };
        let stalled = |entry: &ConnectionEntry| {
            let http = &entry.http;
            http.is_sending() && http.sending_since().plus_ms(stalled_ms) <= now
        };
        let owing = self.entries.iter().enumerate();
        let mut owing: Vec<_> = owing
            .filter(|(_, entry)| entry.unsent > 0 && stalled(entry))
            .map(|(number, entry)| (Reverse(entry.unsent), entry.http.sending_since(), number))
            .collect();
        owing.sort_unstable();
        let goal = self.unsent_max - self.unsent_max / 8;
        for (_, _, number) in owing {
            if self.unsent <= goal {
                break;
            }
            self.counters.connections_cut.add(1);
            self.is_cut = true;
            self.close(u32::try_from(number).expect("numbers have 32 bits"), true, outbox);
            // Their buffers, which came back to it, are what is to be freed.
            self.pool.free();
        }
    }

    /// Whether connections were reset for what they owed since the last call.
    pub(crate) fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.is_cut)
    }

    /// Whether somebody has begun to speak TLS since the last call.
    pub(crate) fn take_tls_seen(&mut self) -> bool {
        std::mem::take(&mut self.is_tls_seen)
    }

    /// Capacity of all buffers that were given back and not kept, so far, in bytes.
    pub fn freed_bytes(&self) -> u64 {
        self.pool.freed_bytes()
    }
}
