//! Time as a value. Below the runtime floor nothing reads a clock: every function that needs the
//! time is given it.

/// A monotonic instant in nanoseconds, for deadlines within one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoNs(pub u64);

impl MonoNs {
    /// This instant plus `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> MonoNs {
        MonoNs(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }
}

/// A server time in milliseconds since 1970-01-01T00:00:00Z; negative before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallMs(pub i64);

impl WallMs {
    /// This time plus a duration; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: DurationMs) -> WallMs {
        WallMs(self.0.saturating_add_unsigned(duration.0))
    }

    /// As RFC 3339 in UTC with milliseconds; as a number where no calendar has it.
    pub fn rfc3339(self) -> impl std::fmt::Display {
        std::fmt::from_fn(move |out| match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(out, "{time:.3}"),
            Err(_) => write!(out, "{}", self.0),
        })
    }

    /// Milliseconds from `earlier` to this time; 0 where `earlier` is the later one.
    pub fn since(self, earlier: WallMs) -> DurationMs {
        DurationMs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationMs(pub u64);

impl DurationMs {
    /// One second.
    pub const SECOND: DurationMs = DurationMs(1_000);
    /// One day of 24 hours.
    pub const DAY: DurationMs = DurationMs(86_400_000);
}

/// In the largest unit that divides it, such as `90m`.
impl std::fmt::Display for DurationMs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(unit, _)| self.0.is_multiple_of(*unit) && self.0 > 0) {
            Some((unit, name)) => write!(out, "{}{name}", self.0 / unit),
            None if self.0 == 0 => out.write_str("0s"),
            None => write!(out, "{}ms", self.0),
        }
    }
}

/// How long a popup rests after something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// It returns after this long.
    After(DurationMs),
    /// It never returns.
    Never,
}

/// The longest duration that configuration and popups may name: 100 years, so that no sum of a
/// time and a duration leaves the range of the calendar.
pub const DURATION_MAX: DurationMs = DurationMs(100 * 366 * 86_400_000);

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Not of the form number and unit, repeated, such as `1h30m`; units are ms s m h d w.
    Malformed,
    /// Longer than [`DURATION_MAX`].
    TooLong,
}

/// Reads a duration: one or more of number and unit without spaces, largest unit first by custom
/// but not by rule (`24h`, `1h30m`, `500ms`). Units: ms s m h d w. Does not allocate.
///
/// # Errors
/// [`DurationError`] where the text is malformed or longer than [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<DurationMs, DurationError> {
    let mut rest = text.as_bytes();
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err(DurationError::Malformed);
        }
        let mut number: u64 = 0;
        for digit in &rest[..digits] {
            number = number
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(digit - b'0')))
                .ok_or(DurationError::TooLong)?;
        }
        rest = &rest[digits..];
        let letters = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let unit = match &rest[..letters] {
            b"ms" => 1,
            b"s" => 1_000,
            b"m" => 60_000,
            b"h" => 3_600_000,
            b"d" => 86_400_000,
            b"w" => 604_800_000,
            _ => return Err(DurationError::Malformed),
        };
        rest = &rest[letters..];
        total = number
            .checked_mul(unit)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= DURATION_MAX.0)
            .ok_or(DurationError::TooLong)?;
    }
    Ok(DurationMs(total))
}
