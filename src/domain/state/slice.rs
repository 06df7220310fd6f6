//! A shard's bounded table of users: encoded states by user id, in a fixed number of bytes.
//!
//! Owns the bytes and which users stay; knows nothing of what a state holds. An entry whose last
//! change SQL has applied may be evicted, since it can be read back; one that SQL has not applied
//! never is.
//!
//! ```text
//! index   user id -keyed hash-> slot        8 bytes a bucket, three of four in use at most
//! pages   64 KiB each, of one size class    slot = header (12) + id + state, rounded up
//! hand -> sweeps page after page (CLOCK): who was not asked for since it last came by is evicted
//! ```
//!
//! The hand goes over all pages in turn, whatever their class, so that all users age alike. Where
//! room is wanted in another class than that of the page under the hand, those who stay are moved
//! into holes of other pages of their class, and the emptied page changes class. So memory follows
//! the sizes that are in use.
//!
//! Limits: `bytes_max` in all. A put that evicts sweeps whole pages, 64 KiB at a time, and gains
//! room for many; it sweeps at most [`SLICE_SWEEP_PAGES_MAX`] pages before it evicts who is in use,
//! too. Pages where SQL has applied nothing are passed over unread.

mod index;
mod pages;

use index::Index;
use nudged_base::hash::Keyed;
use nudged_base::ids::LaneSequence;
use nudged_base::limits::{
    SLICE_PAGE_BYTES, SLICE_SHARD_BYTES_MAX, SLICE_SHARD_BYTES_MIN, SLICE_SWEEP_PAGES_MAX,
    STATE_BYTES_MAX, USER_BYTES_MAX,
};
use pages::{Class, PAGE_OVERHEAD_BYTES, PageSlot, Pages};

/// Bytes of the entry that the index is sized for: an id of 16 bytes and a state of 40. Smaller
/// entries fill the index before the pages, larger ones the pages before the index.
const ENTRY_BYTES_USUAL: u64 = 72;

/// A bounded table of users. Allocates its index at once and its pages when they are first needed,
/// never more than `bytes_max` bytes together; frees nothing.
pub struct Slice {
    hash: Keyed,
    index: Index,
    pages: Pages,
    /// The page that is swept next.
    hand: usize,
    evictions: u64,
}

/// A user's entry, borrowed from the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The encoded state.
    pub state: &'a [u8],
    /// The lane position of the record that holds this state's last change; 0 for a state that was
    /// read from SQL and not changed since.
    pub last_change: LaneSequence,
}

/// There is no room, and no entry may be evicted: SQL has applied none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another user until SQL has applied changes")]
pub struct SliceFull;

impl Slice {
    /// An empty table of at most `bytes_max` bytes. `seed` is random for each process, so that
    /// nobody can choose ids that meet in the index.
    ///
    /// # Panics
    /// Where `bytes_max` is below [`SLICE_SHARD_BYTES_MIN`], which `config` refuses.
    pub fn new(bytes_max: u64, seed: u64) -> Slice {
        assert!(bytes_max >= SLICE_SHARD_BYTES_MIN, "a slice has room for some pages");
        let bytes_max = bytes_max.min(SLICE_SHARD_BYTES_MAX);
        let users_max = bytes_max / (ENTRY_BYTES_USUAL + Index::BYTES_PER_USER);
        let index = Index::new(usize::try_from(users_max).expect("fits as bytes_max does"));
        let page_bytes = SLICE_PAGE_BYTES as u64 + PAGE_OVERHEAD_BYTES;
        let pages_max = (bytes_max - index.bytes()) / page_bytes;
        let pages = Pages::new(usize::try_from(pages_max).expect("fits as bytes_max does"));
        Slice { hash: Keyed::new(seed), index, pages, hand: 0, evictions: 0 }
    }

    /// The entry of a user, who counts as asked for from now on. Does not allocate.
    pub fn get(&mut self, user: &str) -> Option<EntryRef<'_>> {
        let slot = self.find(user.as_bytes())?;
        self.pages.mark_used(slot);
        let entry = self.pages.entry(slot);
        Some(EntryRef { state: entry.state, last_change: entry.last_change })
    }

    /// Whether a user is in the table, without counting as asked for.
    pub fn contains(&self, user: &str) -> bool {
        self.find(user.as_bytes()).is_some()
    }

    /// Puts a user's state in, in place of the one that is there. `applied` is how far SQL has
    /// applied this shard's lane: entries whose last change is at or below it may be evicted.
    /// Allocates only while the slice is still growing to its bound.
    ///
    /// # Errors
    /// [`SliceFull`] where there is no room; a state that was there stays as it was.
    ///
    /// # Panics
    /// Where the id or the state is longer than its limit: nothing decodes or encodes such.
    pub fn put(
        &mut self,
        user: &str,
        state: &[u8],
        last_change: LaneSequence,
        applied: LaneSequence,
    ) -> Result<(), SliceFull> {
        let user = user.as_bytes();
        assert!(!user.is_empty() && user.len() <= USER_BYTES_MAX, "an id is 1 to 128 bytes");
        assert!(state.len() <= STATE_BYTES_MAX, "a state is at most STATE_BYTES_MAX");
        let class = Class::of_entry(user, state);
        let hash = self.hash.of(user);
        let Some(old) = self.find(user) else {
            self.make_room(class, true, applied)?;
            let slot = self.pages.allocate(class);
            self.pages.write(slot, user, state, last_change);
            self.index.insert(hash, slot);
            return Ok(());
        };
        if self.pages.class(old) == class {
            self.pages.write(old, user, state, last_change);
            return Ok(());
        }
        // The old state is kept whatever happens, so making room must not evict it. It may move.
        self.pages.set_pinned(old, true);
        let room = self.make_room(class, false, applied);
        let old = self.find(user).expect("a pinned entry stays");
        self.pages.set_pinned(old, false);
        room?;
        let slot = self.pages.allocate(class);
        self.pages.write(slot, user, state, last_change);
        self.index.replace(hash, old, slot);
        self.pages.free(old);
        Ok(())
    }

    /// Takes a user out, applied or not; whether there was one.
    pub fn remove(&mut self, user: &str) -> bool {
        let Some(slot) = self.find(user.as_bytes()) else { return false };
        self.index.remove(self.hash.of(user.as_bytes()), slot);
        self.pages.free(slot);
        true
    }

    /// Users in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no user is in the table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes drawn from the budget so far: the whole index and every page ever needed. The kernel
    /// gives the index's memory only as it is touched.
    pub fn bytes_used(&self) -> u64 {
        self.index.bytes() + self.pages.bytes()
    }

    /// Entries evicted since the start.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    fn find(&self, user: &[u8]) -> Option<PageSlot> {
        self.index.find(self.hash.of(user), |slot| self.pages.is_of(slot, user))
    }

    fn has_room(&self, class: Class, inserting: bool) -> bool {
        self.pages.has_room(class) && !(inserting && self.index.is_full())
    }

    /// Evicts until there is room for one entry of a class and, where one is to be inserted, for
    /// one more in the index.
    fn make_room(
        &mut self,
        class: Class,
        inserting: bool,
        applied: LaneSequence,
    ) -> Result<(), SliceFull> {
        let mut swept = 0;
        // In the first round everyone may be spared for having been asked for, and a page may find
        // no holes for those who stay; in the second both are settled.
        for _ in 0..2 * self.pages.len() {
            if self.has_room(class, inserting) {
                return Ok(());
            }
            let page = self.hand;
            self.hand = (page + 1) % self.pages.len();
            if self.pages.oldest_change(page) <= applied {
                self.sweep(page, applied, swept >= SLICE_SWEEP_PAGES_MAX);
                swept += 1;
            }
            if !self.pages.has_room(class) && self.pages.can_move_out(page, class) {
                self.move_out(page);
            }
        }
        if self.has_room(class, inserting) { Ok(()) } else { Err(SliceFull) }
    }

    /// Evicts the entries of a page that SQL has applied and that were not asked for since the
    /// hand last came by; with `force`, also those that were.
    fn sweep(&mut self, page: usize, applied: LaneSequence, force: bool) {
        let mut oldest = LaneSequence(u64::MAX);
        for slot in self.pages.slots(page) {
            if !self.pages.is_taken(slot) {
                continue;
            }
            let last_change = self.pages.entry(slot).last_change;
            let may_go = last_change <= applied && !self.pages.is_pinned(slot);
            if may_go && (force || !self.pages.take_mark(slot)) {
                self.index.remove(self.hash.of(self.pages.entry(slot).user), slot);
                self.pages.free(slot);
                self.evictions += 1;
            } else {
                oldest = oldest.min(last_change);
            }
        }
        self.pages.set_oldest_change(page, oldest);
    }

    /// Moves the entries of a page into holes of other pages of its class; the page is then free
    /// for any class.
    fn move_out(&mut self, page: usize) {
        self.pages.start_emptying(page);
        for slot in self.pages.slots(page) {
            if self.pages.is_taken(slot) {
                let hash = self.hash.of(self.pages.entry(slot).user);
                let moved = self.pages.copy_elsewhere(slot);
                self.index.replace(hash, slot, moved);
                self.pages.free(slot);
            }
        }
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let mut taken = 0;
        for page in 0..self.pages.len() {
            for slot in self.pages.slots(page).filter(|slot| self.pages.is_taken(*slot)) {
                taken += 1;
                let entry = self.pages.entry(slot);
                assert_eq!(self.find(entry.user), Some(slot));
                assert!(self.pages.oldest_change(page) <= entry.last_change);
                assert!(!self.pages.is_pinned(slot));
            }
        }
        assert_eq!(taken, self.len());
        self.pages.check_invariants();
    }

    /// Entries that may be evicted.
    #[cfg(test)]
    fn evictable(&self, applied: LaneSequence) -> usize {
        let slots = (0..self.pages.len()).flat_map(|page| self.pages.slots(page));
        let taken = slots.filter(|slot| self.pages.is_taken(*slot));
        taken.filter(|slot| self.pages.entry(*slot).last_change <= applied).count()
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Slice")
            .field("len", &self.len())
            .field("bytes_used", &self.bytes_used())
            .field("evictions", &self.evictions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
