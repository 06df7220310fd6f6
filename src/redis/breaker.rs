//! When a link stops asking a server that does not answer, and how it finds out that it is back.
//! Pure: time and outcomes in, permission out.
//!
//! ```text
//! closed ── failures in a row, or half of many ──> open ── its time is up ──> probing (PING)
//!   ^                                               ^                              │
//!   │                                               ├──── no answer in time ───────┤ answer
//!   └────────────── good ────────────── trial (one command) ── bad ──> open        v
//!   (where none comes: another PING)        ^──────────────────────────────────────┘
//! ```

use super::link::{BreakerSettings, BreakerState};
use nudged_base::backoff::{Backoff, Jitter};
use nudged_base::time::MonoNs;

/// The outcomes of the last second are judged together, in pieces of this length, in ns.
const PIECE_NS: u64 = 100_000_000;
/// Pieces of a second.
const PIECES: usize = 10;
/// Fewer outcomes in a second are too few to judge by their share (docs/guarantees.md#redis).
const OUTCOMES_MIN: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerPhase {
    Closed,
    Open { until: MonoNs },
    Probing,
    Trial { is_sent: bool },
}

#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    number: u64,
    good: u32,
    bad: u32,
}

/// A breaker with its jitter.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: BreakerPhase,
    failures_in_row: u32,
    pieces: [Piece; PIECES],
    /// How long it stays open, longer each time until it closes.
    backoff: Backoff,
    opens: u64,
    jitter: Jitter,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings, seed: u64) -> Breaker {
        Breaker {
            settings,
            state: BreakerPhase::Closed,
            failures_in_row: 0,
            pieces: [Piece::default(); PIECES],
            backoff: Backoff::new(settings.open_ms, settings.open_max_ms),
            opens: 0,
            jitter: Jitter::new(seed),
        }
    }

    /// Whether a command may be sent: always where closed, one in a trial.
    pub fn passes(&self) -> bool {
        matches!(self.state, BreakerPhase::Closed | BreakerPhase::Trial { is_sent: false })
    }

    /// Whether nothing is wrong.
    pub fn is_closed(&self) -> bool {
        self.state == BreakerPhase::Closed
    }

    /// Where it stands.
    pub fn state(&self) -> BreakerState {
        match self.state {
            BreakerPhase::Closed => BreakerState::Closed,
            BreakerPhase::Open { .. } => BreakerState::Open,
            BreakerPhase::Probing | BreakerPhase::Trial { .. } => BreakerState::Probing,
        }
    }

    /// Times it has opened.
    pub fn opens(&self) -> u64 {
        self.opens
    }

    /// A command is sent; whether it is the trial, which has to be told with its outcome.
    pub fn sent(&mut self) -> bool {
        debug_assert!(self.passes());
        let is_trial = self.state == BreakerPhase::Trial { is_sent: false };
        if is_trial {
            self.state = BreakerPhase::Trial { is_sent: true };
        }
        is_trial
    }

    /// A command was answered in time.
    pub fn good(&mut self, now: MonoNs, is_trial: bool) {
        match self.state {
            BreakerPhase::Closed => {
                self.failures_in_row = 0;
                self.piece(now).good += 1;
            }
            BreakerPhase::Trial { is_sent: true } if is_trial => {
                self.state = BreakerPhase::Closed;
                self.backoff.succeeded();
                self.failures_in_row = 0;
                self.pieces = [Piece::default(); PIECES];
            }
            // An answer from before it opened proves nothing.
            _ => {}
        }
    }

    /// A command was refused, has expired, or was lost with its connection.
    pub fn bad(&mut self, now: MonoNs, is_trial: bool) {
        match self.state {
            BreakerPhase::Closed => {
                self.failures_in_row += 1;
                self.piece(now).bad += 1;
                if self.failures_in_row >= self.settings.failures || self.is_half_bad(now) {
                    self.open(now);
                }
            }
            BreakerPhase::Trial { is_sent: true } if is_trial => self.open(now),
            _ => {}
        }
    }

    /// When the next probe is due; `None` where none is.
    pub(crate) fn probe_at(&self) -> Option<MonoNs> {
        match self.state {
            BreakerPhase::Open { until } => Some(until),
            _ => None,
        }
    }

    /// The probe is sent.
    pub(crate) fn probe_sent(&mut self) {
        self.state = BreakerPhase::Probing;
    }

    /// The probe was answered: one command may try. Late or not, somebody is there.
    pub(crate) fn probe_answered(&mut self) {
        if matches!(self.state, BreakerPhase::Probing | BreakerPhase::Open { .. }) {
            self.state = BreakerPhase::Trial { is_sent: false };
        }
    }

    /// The probe was refused or has expired.
    pub(crate) fn probe_failed(&mut self, now: MonoNs) {
        if self.state == BreakerPhase::Probing {
            self.open(now);
        }
    }

    /// The connection is lost, or none was made.
    pub fn lost(&mut self, now: MonoNs) {
        match self.state {
            BreakerPhase::Closed => self.bad(now, false),
            BreakerPhase::Probing | BreakerPhase::Trial { .. } => self.open(now),
            BreakerPhase::Open { .. } => {}
        }
    }

    /// A new connection has introduced itself: a probe is due at once.
    pub fn connected(&mut self, now: MonoNs) {
        if let BreakerPhase::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    fn open(&mut self, now: MonoNs) {
        let longest = self.backoff.failed();
        self.opens += 1;
        self.failures_in_row = 0;
        self.state = BreakerPhase::Open { until: now.plus_ms(self.jitter.shortened(longest)) };
    }

    fn piece(&mut self, now: MonoNs) -> &mut Piece {
        let number = now.0 / PIECE_NS;
        let place = usize::try_from(number % PIECES as u64).expect("below ten");
        let piece = &mut self.pieces[place];
        if piece.number != number {
            *piece = Piece { number, ..Piece::default() };
        }
        piece
    }

    fn is_half_bad(&self, now: MonoNs) -> bool {
        let oldest = (now.0 / PIECE_NS).saturating_sub(PIECES as u64 - 1);
        let recent = self.pieces.iter().filter(|piece| piece.number >= oldest);
        let (good, bad) =
            recent.fold((0, 0), |(good, bad), piece| (good + piece.good, bad + piece.bad));
        good + bad >= OUTCOMES_MIN && bad >= good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings =
        BreakerSettings { failures: 5, open_ms: 100, open_max_ms: 500 };

    fn at(ms: u64) -> MonoNs {
        MonoNs(0).plus_ms(ms)
    }

    fn open_ms(breaker: &Breaker, now: MonoNs) -> u64 {
        (breaker.probe_at().expect("it is open").0 - now.0) / 1_000_000
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_starts_the_row_anew() {
        let mut breaker = Breaker::new(SETTINGS, 1);
        for _ in 0..4 {
            breaker.bad(at(1), false);
        }
        breaker.good(at(1), false);
        for _ in 0..4 {
            breaker.bad(at(2), false);
        }
        assert!(breaker.passes());
        breaker.bad(at(2), false);
        assert!(!breaker.passes());
        assert_eq!((breaker.state(), breaker.opens()), (BreakerState::Open, 1));
    }

    #[test]
    fn half_of_twenty_within_a_second_open_it() {
        for (apart_ms, opens) in [(10, true), (120, false)] {
            let mut breaker = Breaker::new(SETTINGS, 1);
            for turn in 0..10 {
                breaker.good(at(turn * apart_ms), false);
                assert!(breaker.passes(), "19 are too few to judge");
                breaker.bad(at(turn * apart_ms), false);
            }
            assert_eq!(!breaker.passes(), opens, "{apart_ms} ms apart");
        }
    }

    #[test]
    fn it_stays_open_longer_each_time_up_to_its_most() {
        let mut breaker = Breaker::new(SETTINGS, 7);
        for _ in 0..5 {
            breaker.bad(at(0), false);
        }
        let mut now = at(0);
        for longest in [100, 200, 400, 500, 500] {
            let open = open_ms(&breaker, now);
            assert!((longest / 2..=longest).contains(&open), "{open} of {longest}");
            now = breaker.probe_at().unwrap();
            breaker.probe_sent();
            assert!(!breaker.passes());
            breaker.probe_failed(now);
        }
    }

    #[test]
    fn after_a_probe_one_command_decides() {
        for is_good in [true, false] {
            let mut breaker = Breaker::new(SETTINGS, 7);
            for _ in 0..5 {
                breaker.bad(at(0), false);
            }
            breaker.probe_sent();
            breaker.probe_answered();
            assert!(breaker.passes());
            assert!(breaker.sent(), "this is the trial");
            assert!(!breaker.passes(), "one at a time");
            // Outcomes of commands from before decide nothing.
            breaker.good(at(200), false);
            breaker.bad(at(200), false);
            assert_eq!(breaker.state(), BreakerState::Probing);
            if is_good {
                breaker.good(at(201), true);
            } else {
                breaker.bad(at(201), true);
            }
            assert_eq!(breaker.is_closed(), is_good);
            assert_eq!(breaker.passes(), is_good);
        }
    }

    #[test]
    fn a_new_connection_is_probed_at_once() {
        let mut breaker = Breaker::new(SETTINGS, 7);
        for _ in 0..5 {
            breaker.lost(at(0));
        }
        breaker.connected(at(3));
        assert_eq!(breaker.probe_at(), Some(at(3)));
    }
}
