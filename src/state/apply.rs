//! The only functions that change a user's state.

/// What a client reports of an impression. The numbers are stored, as bits of `Show::actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// It came on screen; moves no clock.
    Shown = 0,
    /// Nothing came of it.
    Ignored = 1,
    /// Closed by the user.
    Dismissed = 2,
    /// Clicked by the user.
    Clicked = 3,
    /// Led to what it was made for.
    Converted = 4,
}
