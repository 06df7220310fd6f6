//! The keeper of Redis: who else there is, whether Redis has lost writes, and what is done about
//! it. Pure: what was read goes in, what is to be done comes out. Must not know sockets, SQL or
//! threads.
//!
//! `rounds` what is read and carried out · `core` what follows from it · `peers` the other nodes ·
//! `partition_table` the metas of all partitions · `barrier` when this node acknowledges a rebuild
//! · `scripts` what Redis does in one step · `rights` what it has to let the node do · `metrics`
//! what was done.
//!
//! # Why nobody is shown twice
//!
//! A show is *granted* when its commit is done in Redis and its record is in a journal; only then
//! its answer leaves. It has to hold that no commit rests on a state that lacks a show which a node
//! that is alive was granted.
//!
//! While a partition is open and nothing is lost, Redis itself sees to that: a commit names the
//! revision that it was made from. Now Redis loses writes.
//!
//! 1. *Without an epoch* (empty, wiped) every commit is refused, until a new epoch is begun.
//! 2. *With an older state* (an older file, a replica behind) Redis is another run. No shard sends
//!    it a commit before its keeper has cleared the run; and a keeper says that it has compared a
//!    run only after every partition that any of its shards found behind what it had seen is
//!    *fenced*: closed in Redis, for everyone. A run is cleared when every node that is alive has
//!    said so. A node that comes too late for that can no longer tell from the counters; it fences
//!    every partition that it may have worked in.
//! 3. *A new epoch* is handed out by SQL, once: nobody else begins the same, and all that is done
//!    about it is done only where the partition still has it. Beginning closes the partition. When
//!    it is begun everywhere, the epoch is sealed; nothing is begun with it after that.
//! 4. *The acknowledgement.* Each node acknowledges the sealed epoch when all that it was granted
//!    before is in SQL (`barrier`). All of it is granted before: after the begin nothing is done in
//!    these partitions, and what was done before has been answered, or given up, within twice the
//!    deadline of a command.
//! 5. *Filling* (phase f) begins when every node that is alive has acknowledged. A shard believes
//!    a value only if it was written in this epoch; else it reads SQL too, and the higher revision
//!    goes on. A commit whose state was not made in this epoch is turned away by the script, so a
//!    copy from before the loss, or the belief that a user is new, is of no use even where Redis
//!    again has the revision that it was made from.
//! 6. *Open.* Then every user of SQL is in Redis with at least the revision of SQL, as is every
//!    user that an older file has brought back: a user who is missing is new.
//!
//! Two keepers at once: leading is a lock with a term, and only saves work. Each step is made where
//! epoch and phase are still those that it was decided on, and what it rests on stays true: an
//! acknowledgement once given, a user once filled. A leader that dies leaves its epoch to the next
//! one, which goes on where it is sealed and begins anew where it is not.
//!
//! Redis is lost again in the middle: wiped, the epoch is gone, and 1. holds. With an older file it
//! is another run: 2. holds, acknowledgements of another run do not count, and what was filled is
//! filled again.
//!
//! What is not promised: a show that was granted to a node which is then silent for
//! `PEER_SILENT_MS` is not waited for; its journal is applied when it returns. With
//! `queue = "redis"` records that are lost with their list are lost.

pub mod barrier;
pub mod core;
pub mod metrics;
pub mod partition_table;
pub mod peers;
pub mod rights;
pub mod rounds;
pub mod scripts;

#[cfg(test)]
mod tests;
