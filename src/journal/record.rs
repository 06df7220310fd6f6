//! One change of one user: results, not steps, so that applying it twice or late is harmless.
//! What the encoded clocks and row mean is the domain's business (`state::user`).

use crate::base::ids::Revision;
use crate::base::time::WallMs;

/// A record, borrowed from the bytes it was read from or from the request that causes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A popup was returned, or an event was accepted.
    Impression(Impression<'a>),
    /// A user was erased: everything of `revision` and below is gone.
    Erase {
        /// The user's id.
        user: &'a str,
        /// The erase's own revision.
        revision: Revision,
        /// When.
        at: WallMs,
    },
}

/// What happened to an impression. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Happening {
    /// The decision returned the popup.
    Decided = 0,
    /// Confirmed on screen.
    Shown = 1,
    /// Nothing came of it.
    Ignored = 2,
    /// Closed by the user.
    Dismissed = 3,
    /// Clicked by the user.
    Clicked = 4,
    /// Led to what it was made for.
    Converted = 5,
}

/// A show or an accepted event, with the state that it left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impression<'a> {
    /// The user's id, 1 to 128 bytes.
    pub user: &'a str,
    /// The user's revision after this change.
    pub revision: Revision,
    /// The time of this change, by the node's clock.
    pub at: WallMs,
    /// What happened.
    pub happening: Happening,
    /// The event's own time after clamping; `at` for a decision.
    pub acted_at: WallMs,
    /// The decision's token: the identity of the impression.
    pub token: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version at the decision.
    pub version: u32,
    /// The key of the variant that was shown; empty for none.
    pub variant: &'a str,
    /// User-level clocks after this change, as `state::user::encode_clocks` wrote them.
    pub clocks: &'a [u8],
    /// The changed popup's entry after this change, as `state::user::encode_popup` wrote it.
    pub row: &'a [u8],
    /// When this popup may return by its gaps as of this change, for people who read SQL; `None`
    /// for never.
    pub next_show_at: Option<WallMs>,
    /// The id of a popup that this change pushed out of the user's state; empty for none.
    pub forgotten: &'a str,
}
