//! Windows and zones: is a moment inside, and when is the next moment that is.

/// The zone in which a popup's windows are read.
#[derive(Clone, Debug)]
pub enum Zone {
    /// A zone of the tz database.
    Fixed(jiff::tz::TimeZone),
    /// The request's zone, or UTC where it has none or an unknown one.
    User,
}

/// A daily window in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Days on which it starts: bit 0 is Monday.
    pub days: u8,
    /// Minute of the day at which it opens, 0 to 1,439.
    pub from_minute: u16,
    /// Minute of the day at which it closes, 1 to 1,440; at or before `from_minute` it closes on
    /// the next day.
    pub to_minute: u16,
}
