//! What every part of a run shares: the agenda that time runs along, both clocks, the streams of
//! choices, and the trace.

use std::collections::BTreeMap;

use nudged_base::clock::Now;
use nudged_base::time::{MonoNs, WallMs};

use super::config::Config;
use super::random::Stream;

/// Nanoseconds of a microsecond.
pub const US: u64 = 1_000;
/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

/// Something that will happen.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The node starts.
    Boot,
    /// The wall clock is set.
    ClockStep,
    /// A client does something.
    Act(usize),
    /// Bytes of a client arrive.
    Deliver(usize),
    /// A shard's turn.
    Turn(usize),
    /// A send of a shard's line has ended.
    SendEnds(usize, u32),
    /// The journal's turn.
    Journal,
    /// A disk command has ended.
    DiskEnds(u64),
    /// SQL applies.
    Writer,
    /// The reader looks at the journal.
    ReaderOverlay,
    /// The reader asks SQL.
    ReaderSql,
}

impl What {
    /// Whether it ends with the process.
    fn is_of_process(self) -> bool {
        !matches!(self, What::Boot | What::ClockStep | What::Act(_))
    }
}

/// Streams of choices by concern.
pub struct Streams {
    /// What clients ask.
    pub workload: Stream,
    /// How bytes travel.
    pub network: Stream,
    /// What the disk does.
    pub disk: Stream,
    /// When and in which order the node's parts run.
    pub schedule: Stream,
    /// What SQL does.
    pub sql: Stream,
    /// What the wall clock does.
    pub clock: Stream,
    /// When and how the node ends.
    pub crash: Stream,
}

/// The hash of everything that happened, and its print where it is wanted.
pub struct Trace {
    /// The hash so far.
    pub hash: u64,
    /// Whether lines are printed.
    pub is_printed: bool,
}

impl Trace {
    /// Takes something that happened: its name, numbers that identify it, and its bytes.
    pub fn note(&mut self, at: u64, what: &str, numbers: &[u64], bytes: &[u8]) {
        let mut hash = self.hash;
        let mut mix = |value: u64| {
            hash = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        };
        mix(at);
        mix(u64::from(crc32c::crc32c(what.as_bytes())));
        numbers.iter().for_each(|number| mix(*number));
        mix(u64::from(crc32c::crc32c(bytes)));
        self.hash = hash;
        if self.is_printed {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]);
            println!("{:>14} {what} {numbers:?} {text:?}", at / US);
        }
    }
}

/// What is shared.
pub struct Scene {
    /// The configuration of this seed.
    pub config: Config,
    /// Choices.
    pub streams: Streams,
    /// What happened.
    pub trace: Trace,
    /// Nanoseconds since the machine was made.
    pub now: u64,
    /// Faults have stopped.
    pub is_calm: bool,
    /// The process that runs, counted from 1.
    pub life: u32,
    wall_ahead_ms: i64,
    agenda: BTreeMap<(u64, u64), (u32, What)>,
    order: u64,
}

impl Scene {
    /// The beginning of a run.
    pub fn new(config: Config, is_printed: bool) -> Scene {
        let stream = |concern| Stream::new(config.seed, concern);
        let streams = Streams {
            workload: stream("workload"),
            network: stream("network"),
            disk: stream("disk"),
            schedule: stream("schedule"),
            sql: stream("sql"),
            clock: stream("clock"),
            crash: stream("crash"),
        };
        Scene {
            streams,
            trace: Trace { hash: config.seed, is_printed },
            now: 1_000 * SECOND,
            is_calm: false,
            life: 0,
            wall_ahead_ms: 1_800_000_000_000,
            agenda: BTreeMap::new(),
            order: 0,
            config,
        }
    }

    /// Lets something happen after a while. Gives the time at which it will.
    pub fn after(&mut self, wait_ns: u64, what: What) -> u64 {
        let at = self.now + wait_ns;
        self.order += 1;
        self.agenda.insert((at, self.order), (self.life, what));
        at
    }

    /// Moves on to the next thing that happens; `None` where that is later than `until`. What
    /// belonged to a process that is gone is passed over.
    pub fn next(&mut self, until: u64) -> Option<What> {
        loop {
            let ((at, _), _) = self.agenda.first_key_value()?;
            if *at > until {
                self.now = until;
                return None;
            }
            let ((at, _), (life, what)) = self.agenda.pop_first()?;
            self.now = at;
            if life == self.life || !what.is_of_process() {
                return Some(what);
            }
        }
    }

    /// The monotonic clock.
    pub fn mono(&self) -> MonoNs {
        MonoNs(self.now)
    }

    /// The wall clock, as wrong as it may be.
    pub fn wall(&self) -> WallMs {
        let elapsed = i64::try_from(self.now / MS).expect("a run is short");
        WallMs(self.wall_ahead_ms + elapsed)
    }

    /// Both clocks.
    pub fn clocks(&self) -> Now {
        both(self.mono(), self.wall())
    }

    /// Sets the wall clock.
    pub fn step_wall(&mut self, by_ms: i64) {
        // The calendar of any popup and client stays within its range.
        let ahead = self.wall_ahead_ms.saturating_add(by_ms);
        self.wall_ahead_ms = ahead.clamp(1_000_000_000_000, 4_000_000_000_000);
    }

    /// Takes something that happened.
    pub fn note(&mut self, what: &str, numbers: &[u64], bytes: &[u8]) {
        self.trace.note(self.now, what, numbers, bytes);
    }

    /// Whether a fault of this frequency happens now: faults stop in the end.
    pub fn is_fault(&mut self, concern: impl Fn(&mut Streams) -> &mut Stream, one_in: u64) -> bool {
        !self.is_calm && concern(&mut self.streams).one_in(one_in)
    }
}

/// Both times of a turn.
pub fn both(mono: MonoNs, wall: WallMs) -> Now {
    Now { mono, wall }
}
