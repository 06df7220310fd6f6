//! What clients owe: the memory of answers that they have not taken, kept to its bound, and whether
//! a slow one takes any. Also what a turn has to say of it.

use std::cmp::Reverse;

use super::Connections;
use crate::base::time::MonoNs;
use crate::shard::seam::Outbox;

impl Connections {
    /// The kernel has so many bytes that the peer has not acknowledged: fewer than at the last look
    /// say that the peer is alive, also where it is too slow for the send under way to end.
    pub fn untaken(&mut self, now: MonoNs, number: u32, bytes: u32) {
        let entry = &mut self.entries[number as usize];
        if entry.is_open && entry.http.is_sending() {
            let former = std::mem::replace(&mut entry.untaken, bytes);
            if bytes < former {
                entry.http.peer_took(now);
            }
        }
    }

    /// Resets those that owe the most, of two that owe the same the one whose send has waited
    /// longer, where all together owe more than they may. An eighth beyond that goes with them, so
    /// that the search for them is paid for by what it frees.
    pub(super) fn keep_to_bound(&mut self, outbox: &mut Outbox) {
        if self.unsent <= self.unsent_max {
            return;
        }
        let owing = self.entries.iter().enumerate().filter(|(_, entry)| entry.unsent > 0);
        let mut owing: Vec<_> = owing
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
        }
    }

    /// Whether connections were reset for what they owed since the last call.
    pub fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.is_cut)
    }

    /// Whether somebody has begun to speak TLS since the last call.
    pub fn take_tls_seen(&mut self) -> bool {
        std::mem::take(&mut self.is_tls_seen)
    }

    /// Capacity of all buffers that were given back and not kept, so far, in bytes.
    pub fn freed_bytes(&self) -> u64 {
        self.pool.freed_bytes()
    }
}
