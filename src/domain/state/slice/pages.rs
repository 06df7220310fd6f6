//! Entries in pages of 64 KiB, each page cut into slots of one size class. Owns the bytes and the
//! lists of pages with room; knows nothing of hashes, and evicts nothing by itself.
//!
//! ```text
//! slot   last_change (8) | state length (2) | id length (1) | flags (1) | id | state | unused
//! free   next free slot of the page (2)     |               | 0 (1)     |
//! ```
//!
//! A page is of one class while it has entries; empty, it may become of any.

use nudged_base::ids::LaneSequence;
use nudged_base::limits::SLICE_PAGE_BYTES;
use nudged_base::word;

/// A slot: page number above 11 bits of position in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageSlot(pub(super) u32);

const SLOT_BITS: u32 = 11;
const HEADER_BYTES: usize = 12;

/// What a page costs beside its 64 KiB, in bytes.
pub(super) const PAGE_OVERHEAD_BYTES: u64 = size_of::<Page>() as u64;

/// Slot sizes: close together where users are many, else as many as fit in a page.
const SIZES: [u16; 63] = [
    32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192, 208, 224, 240, 256,
    288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 832, 896, 960, 1_024, 1_152, 1_280,
    1_408, 1_536, 1_664, 1_792, 1_920, 2_048, 2_336, 2_520, 2_728, 2_976, 3_272, 3_640, 4_096,
    4_680, 5_456, 6_552, 7_280, 8_192, 9_360, 10_920, 13_104, 16_384, 21_840, 32_768,
];

const _: () = {
    assert!(SLICE_PAGE_BYTES / SIZES[0] as usize <= 1 << SLOT_BITS);
    assert!(SIZES[SIZES.len() - 1] as usize == SLICE_PAGE_BYTES / 2);
    let mut index = 1;
    while index < SIZES.len() {
        assert!(SIZES[index - 1] < SIZES[index]);
        index += 1;
    }
};

/// A size class: position in `SIZES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// The smallest class that an entry fits in.
    pub(super) fn of_entry(user: &[u8], state: &[u8]) -> Class {
        let bytes = HEADER_BYTES + user.len() + state.len();
        let class = SIZES.partition_point(|size| usize::from(*size) < bytes);
        assert!(class < SIZES.len(), "the largest class holds the largest entry");
        Class(u8::try_from(class).expect("few classes"))
    }

    fn index(self) -> usize {
        usize::from(self.0)
    }

    fn size(self) -> usize {
        usize::from(SIZES[self.index()])
    }

    /// Slots of a page of this class.
    fn slots(self) -> u16 {
        u16::try_from(SLICE_PAGE_BYTES / self.size()).expect("at most 2,048")
    }
}

const TAKEN: u8 = 1;
const MARKED: u8 = 2;
const PINNED: u8 = 4;
const ID_LENGTH_AT: usize = 10;
const FLAGS_AT: usize = 11;

/// No slot, at the end of a page's list.
const NO_SLOT: u16 = u16::MAX;
/// No page, at the end of a list.
const NO_PAGE: u32 = u32::MAX;

struct Page {
    bytes: Box<[u8]>,
    /// A lower bound of the last changes of its entries; exact after a sweep.
    oldest_change: LaneSequence,
    /// Neighbours in the list of its class's pages with room, or of free pages.
    next: u32,
    previous: u32,
    /// Head of the list of slots that were taken once and are free.
    free: u16,
    /// Slots from here on were never taken since the page has its class.
    fresh: u16,
    taken: u16,
    class: Class,
    state: PageState,
}

/// Which list a page is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageState {
    /// Of no class: in the list of free pages.
    Free,
    /// Has room: in its class's list.
    Open,
    /// Full: in no list.
    Closed,
    /// Its entries are being moved out: in no list until the last is.
    Emptying,
}

/// An entry, borrowed from its page.
pub(super) struct PageEntry<'a> {
    pub(super) user: &'a [u8],
    pub(super) state: &'a [u8],
    pub(super) last_change: LaneSequence,
}

pub(super) struct Pages {
    pages: Vec<Page>,
    pages_max: usize,
    /// Head of the list of free pages.
    free: u32,
    /// Heads of the lists of pages with room, by class.
    open: [u32; SIZES.len()],
    /// Free slots in pages of each class.
    slots_free: [usize; SIZES.len()],
}

impl Pages {
    pub(super) fn new(pages_max: usize) -> Pages {
        Pages {
            pages: Vec::with_capacity(pages_max),
            pages_max,
            free: NO_PAGE,
            open: [NO_PAGE; SIZES.len()],
            slots_free: [0; SIZES.len()],
        }
    }

    /// Pages that were ever needed.
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The list of all pages, and the pages that were ever needed, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.pages_max as u64 * PAGE_OVERHEAD_BYTES + (self.len() * SLICE_PAGE_BYTES) as u64
    }

    /// Whether [`Pages::allocate`] would find a slot.
    pub(super) fn has_room(&self, class: Class) -> bool {
        self.open[class.index()] != NO_PAGE
            || self.free != NO_PAGE
            || self.pages.len() < self.pages_max
    }

    /// Takes a slot; there must be room.
    pub(super) fn allocate(&mut self, class: Class) -> PageSlot {
        if self.open[class.index()] == NO_PAGE {
            self.open_page(class);
        }
        let number = self.open[class.index()];
        let page = &mut self.pages[number as usize];
        let position = if page.free == NO_SLOT {
            page.fresh += 1;
            page.fresh - 1
        } else {
            let at = usize::from(page.free) * class.size();
            let position = page.free;
            page.free = u16::from_le_bytes([page.bytes[at], page.bytes[at + 1]]);
            position
        };
        page.taken += 1;
        page.bytes[usize::from(position) * class.size() + FLAGS_AT] = TAKEN;
        if page.taken == class.slots() {
            self.unlink(number);
        }
        self.slots_free[class.index()] -= 1;
        PageSlot(number << SLOT_BITS | u32::from(position))
    }

    /// Gives a free page, or a new one, to a class.
    fn open_page(&mut self, class: Class) {
        if self.free == NO_PAGE {
            assert!(self.pages.len() < self.pages_max, "room was made before");
            let number = u32::try_from(self.pages.len()).expect("at most 2^21 pages");
            self.pages.push(Page {
                bytes: vec![0; SLICE_PAGE_BYTES].into_boxed_slice(),
                oldest_change: LaneSequence(u64::MAX),
                next: NO_PAGE,
                previous: NO_PAGE,
                free: NO_SLOT,
                fresh: 0,
                taken: 0,
                class,
                state: PageState::Closed,
            });
            self.link(number, PageState::Free);
        }
        let number = self.free;
        self.unlink(number);
        let page = &mut self.pages[number as usize];
        page.class = class;
        page.free = NO_SLOT;
        page.fresh = 0;
        page.oldest_change = LaneSequence(u64::MAX);
        self.link(number, PageState::Open);
        self.slots_free[class.index()] += usize::from(class.slots());
    }

    /// Gives a slot back; a page without entries is free for any class.
    pub(super) fn free(&mut self, slot: PageSlot) {
        let (number, at) = self.place(slot);
        let page = &mut self.pages[number as usize];
        assert!(page.bytes[at + FLAGS_AT] & TAKEN != 0, "a slot is freed once");
        page.bytes[at..at + 2].copy_from_slice(&page.free.to_le_bytes());
        page.bytes[at + FLAGS_AT] = 0;
        page.free = position(slot);
        page.taken -= 1;
        let (class, taken, state) = (page.class, page.taken, page.state);
        self.slots_free[class.index()] += 1;
        if taken == 0 {
            self.slots_free[class.index()] -= usize::from(class.slots());
            self.unlink(number);
            self.link(number, PageState::Free);
        } else if state == PageState::Closed && taken + 1 == class.slots() {
            self.link(number, PageState::Open);
        }
    }

    /// Takes a page out of its list, so that nothing is put into it until it is empty.
    pub(super) fn start_emptying(&mut self, page: usize) {
        self.unlink(u32::try_from(page).expect("at most 2^21 pages"));
        self.pages[page].state = PageState::Emptying;
    }

    /// Whether a page is of another class than `class`, and other pages of its own class have
    /// room for all of its entries.
    pub(super) fn can_move_out(&self, page: usize, class: Class) -> bool {
        let page = &self.pages[page];
        let own_free = usize::from(page.class.slots() - page.taken);
        page.state != PageState::Free
            && page.class != class
            && self.slots_free[page.class.index()] - own_free >= usize::from(page.taken)
    }

    /// Copies an entry into a slot of another page of its class, which must have room.
    pub(super) fn copy_elsewhere(&mut self, from: PageSlot) -> PageSlot {
        let class = self.class(from);
        assert!(self.open[class.index()] != NO_PAGE, "holes were counted before");
        let to = self.allocate(class);
        let ((from_page, from_at), (to_page, to_at)) = (self.place(from), self.place(to));
        let pair = [from_page as usize, to_page as usize];
        let [source, target] =
            self.pages.get_disjoint_mut(pair).expect("an emptying page gives no slot");
        let bytes = &source.bytes[from_at..from_at + class.size()];
        target.bytes[to_at..to_at + class.size()].copy_from_slice(bytes);
        let last_change = self.entry(to).last_change;
        let target = &mut self.pages[to_page as usize];
        target.oldest_change = target.oldest_change.min(last_change);
        to
    }

    /// Writes an entry into a taken slot of its class; it counts as asked for.
    pub(super) fn write(
        &mut self,
        slot: PageSlot,
        user: &[u8],
        state: &[u8],
        last_change: LaneSequence,
    ) {
        let (number, at) = self.place(slot);
        let page = &mut self.pages[number as usize];
        page.oldest_change = page.oldest_change.min(last_change);
        let bytes = &mut page.bytes[at..at + page.class.size()];
        bytes[..8].copy_from_slice(&last_change.0.to_le_bytes());
        let state_bytes = u16::try_from(state.len()).expect("at most STATE_BYTES_MAX");
        bytes[8..10].copy_from_slice(&state_bytes.to_le_bytes());
        bytes[10] = u8::try_from(user.len()).expect("at most USER_BYTES_MAX");
        bytes[FLAGS_AT] |= MARKED;
        let (id, rest) = bytes[HEADER_BYTES..].split_at_mut(user.len());
        id.copy_from_slice(user);
        rest[..state.len()].copy_from_slice(state);
    }

    /// The entry of a taken slot.
    pub(super) fn entry(&self, slot: PageSlot) -> PageEntry<'_> {
        let (number, at) = self.place(slot);
        let bytes = &self.pages[number as usize].bytes[at..];
        let (header, rest) = bytes.split_at(HEADER_BYTES);
        let last_change = u64::from_le_bytes(header[..8].try_into().expect("8 bytes"));
        let state_bytes = usize::from(u16::from_le_bytes([header[8], header[9]]));
        let (user, rest) = rest.split_at(usize::from(header[10]));
        PageEntry { user, state: &rest[..state_bytes], last_change: LaneSequence(last_change) }
    }

    /// Whether the entry of a taken slot is a user's.
    #[inline]
    pub(super) fn is_of(&self, slot: PageSlot, user: &[u8]) -> bool {
        let (number, at) = self.place(slot);
        let bytes = &self.pages[number as usize].bytes[at..];
        let id = bytes.get(HEADER_BYTES..HEADER_BYTES + user.len());
        usize::from(bytes[ID_LENGTH_AT]) == user.len()
            && id.is_some_and(|id| word::is_same(id, user))
    }

    /// The class of a slot's page.
    pub(super) fn class(&self, slot: PageSlot) -> Class {
        self.pages[self.place(slot).0 as usize].class
    }

    /// Every slot of a page that may be taken.
    pub(super) fn slots(&self, page: usize) -> impl Iterator<Item = PageSlot> + use<> {
        let number = u32::try_from(page).expect("at most 2^21 pages");
        (0..u32::from(self.pages[page].fresh)).map(move |slot| PageSlot(number << SLOT_BITS | slot))
    }

    /// A lower bound of the last changes of a page's entries; the end of time for a page without.
    pub(super) fn oldest_change(&self, page: usize) -> LaneSequence {
        self.pages[page].oldest_change
    }

    /// Says what a sweep of the whole page has found.
    pub(super) fn set_oldest_change(&mut self, page: usize, oldest: LaneSequence) {
        self.pages[page].oldest_change = oldest;
    }

    pub(super) fn is_taken(&self, slot: PageSlot) -> bool {
        self.flags(slot) & TAKEN != 0
    }

    pub(super) fn is_pinned(&self, slot: PageSlot) -> bool {
        self.flags(slot) & PINNED != 0
    }

    pub(super) fn set_pinned(&mut self, slot: PageSlot, pinned: bool) {
        let flags = self.flags(slot) & !PINNED;
        *self.flags_mut(slot) = if pinned { flags | PINNED } else { flags };
    }

    /// Marks an entry as asked for. Writes only where it is not marked yet, so that reading a hot
    /// user leaves the cache line clean.
    pub(super) fn mark_used(&mut self, slot: PageSlot) {
        if self.flags(slot) & MARKED == 0 {
            *self.flags_mut(slot) |= MARKED;
        }
    }

    /// Takes the mark off an entry; whether there was one.
    pub(super) fn take_mark(&mut self, slot: PageSlot) -> bool {
        let flags = self.flags_mut(slot);
        let marked = *flags & MARKED != 0;
        *flags &= !MARKED;
        marked
    }

    fn flags(&self, slot: PageSlot) -> u8 {
        let (number, at) = self.place(slot);
        self.pages[number as usize].bytes[at + FLAGS_AT]
    }

    fn flags_mut(&mut self, slot: PageSlot) -> &mut u8 {
        let (number, at) = self.place(slot);
        &mut self.pages[number as usize].bytes[at + FLAGS_AT]
    }

    /// The page of a slot, and the slot's first byte in it.
    fn place(&self, slot: PageSlot) -> (u32, usize) {
        let number = slot.0 >> SLOT_BITS;
        (number, usize::from(position(slot)) * self.pages[number as usize].class.size())
    }

    fn list(&mut self, class: Class, state: PageState) -> &mut u32 {
        match state {
            PageState::Free => &mut self.free,
            _ => &mut self.open[class.index()],
        }
    }

    /// Puts a page that is in no list at the head of one.
    fn link(&mut self, number: u32, state: PageState) {
        let class = self.pages[number as usize].class;
        let head = self.list(class, state);
        let next = std::mem::replace(head, number);
        if next != NO_PAGE {
            self.pages[next as usize].previous = number;
        }
        let page = &mut self.pages[number as usize];
        assert_eq!(page.state, PageState::Closed, "a page is in one list");
        (page.next, page.previous, page.state) = (next, NO_PAGE, state);
    }

    /// Takes a page out of its list, if it is in one.
    fn unlink(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let (class, state) = (page.class, page.state);
        page.state = PageState::Closed;
        if matches!(state, PageState::Closed | PageState::Emptying) {
            return;
        }
        let (next, previous) = (page.next, page.previous);
        if next != NO_PAGE {
            self.pages[next as usize].previous = previous;
        }
        if previous == NO_PAGE {
            *self.list(class, state) = next;
        } else {
            self.pages[previous as usize].next = next;
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let mut slots_free = [0; SIZES.len()];
        for (number, page) in self.pages.iter().enumerate() {
            let taken = self.slots(number).filter(|slot| self.is_taken(*slot)).count();
            assert_eq!(taken, usize::from(page.taken));
            assert_eq!(page.state == PageState::Free, taken == 0);
            if page.state != PageState::Free {
                let free = usize::from(page.class.slots() - page.taken);
                assert_eq!(page.state == PageState::Closed, free == 0);
                slots_free[page.class.index()] += free;
            }
        }
        assert_eq!(slots_free, self.slots_free);
    }
}

fn position(slot: PageSlot) -> u16 {
    u16::try_from(slot.0 & ((1 << SLOT_BITS) - 1)).expect("masked to 11 bits")
}
