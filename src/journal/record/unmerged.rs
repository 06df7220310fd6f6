//! The record of something that was accepted while its user's state could not be had: an event, or
//! a show that the node's own memory decided. It says what was asked; the merge finds out what
//! comes of it and is recorded by impressions.

use super::super::bytes::Fields;
use super::{Happening, append_blob, append_short, decode_common};
use crate::base::ids::Revision;
use crate::base::limits::{POPUP_ID_BYTES_MAX, TOKEN_BYTES_MAX, VARIANT_KEY_BYTES_MAX};
use crate::base::time::WallMs;

/// An event or a show that is not part of its user's state yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmerged<'a> {
    /// The user's id, 1 to 128 bytes.
    pub user: &'a str,
    /// When it was accepted, by the node's clock.
    pub at: WallMs,
    /// `Decided` for a show, else the event's action.
    pub happening: Happening,
    /// The event's own time after clamping; `at` for a show.
    pub acted_at: WallMs,
    /// The decision's token: the identity of the impression, its number and time included.
    pub token: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version at the decision.
    pub version: u32,
    /// The key of the variant that was shown; empty for none.
    pub variant: &'a str,
    /// The show's number.
    pub number: u32,
    /// When the show was decided.
    pub shown_at: WallMs,
    /// Pinned hash of a show's session; 0 for none, and for events.
    pub session: u64,
}

/// Appends the fields behind the common ones.
pub(super) fn append(unmerged: &Unmerged<'_>, bytes: &mut Vec<u8>) {
    assert!(!unmerged.popup.is_empty(), "a popup has an id");
    bytes.push(unmerged.happening.number());
    bytes.extend_from_slice(&unmerged.acted_at.0.to_le_bytes());
    bytes.extend_from_slice(&unmerged.version.to_le_bytes());
    bytes.extend_from_slice(&unmerged.number.to_le_bytes());
    bytes.extend_from_slice(&unmerged.shown_at.0.to_le_bytes());
    bytes.extend_from_slice(&unmerged.session.to_le_bytes());
    assert!(unmerged.token.len() <= TOKEN_BYTES_MAX, "tokens are bounded");
    append_blob(unmerged.token.as_bytes(), bytes);
    append_short(unmerged.popup, POPUP_ID_BYTES_MAX, bytes);
    append_short(unmerged.variant, VARIANT_KEY_BYTES_MAX, bytes);
}

/// Reads the fields behind the kind; `None` for any bytes that [`append`] would not have written.
pub(super) fn decode(mut fields: Fields<'_>) -> Option<Unmerged<'_>> {
    let (at, revision, user) = decode_common(&mut fields)?;
    let happening = Happening::from_number(fields.u8()?)?;
    let acted_at = WallMs(fields.i64()?);
    let version = fields.u32()?;
    let number = fields.u32()?;
    let shown_at = WallMs(fields.i64()?);
    let session = fields.u64()?;
    let token = fields.long_text(TOKEN_BYTES_MAX)?;
    let popup = fields.short_text(POPUP_ID_BYTES_MAX)?;
    let variant = fields.short_text(VARIANT_KEY_BYTES_MAX)?;
    let is_one_of_ours = revision == Revision::default() && !popup.is_empty() && fields.is_at_end();
    is_one_of_ours.then_some(Unmerged {
        user,
        at,
        happening,
        acted_at,
        token,
        popup,
        version,
        variant,
        number,
        shown_at,
        session,
    })
}
