//! The record of something that was accepted while its user's state could not be had: an event, or
//! a show that the node's own memory decided. It says what was asked; the merge finds out what
//! comes of it and is recorded by impressions.

use super::super::bytes::FieldReader;
use super::{append_show, decode_common, decode_show};
use nudged_base::event_kind::EventKind;
use nudged_base::ids::Revision;
use nudged_base::time::WallMs;

/// An event or a show that is not part of its user's state yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmerged<'a> {
    /// The user's id, 1 to 128 bytes.
    pub user: &'a str,
    /// When it was accepted, by the node's clock.
    pub at: WallMs,
    /// `Decided` for a show, else the event's action.
    pub kind: EventKind,
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
    /// Pinned hash of the session of a show that a node decided by its own memory; 0 for none, and
    /// for events of other shows.
    pub session: u64,
    /// Whether an event is of such a show, which may have to be merged first. Not set for the show
    /// itself.
    pub is_of_local: bool,
}

/// Set in the byte of the event kind where an event is of a show that a node decided by its own
/// memory.
const OF_LOCAL: u8 = 0x80;

/// Appends the fields behind the common ones.
pub(super) fn append(unmerged: &Unmerged<'_>, bytes: &mut Vec<u8>) {
    let is_show = unmerged.kind == EventKind::Decided;
    assert!(!(is_show && unmerged.is_of_local), "a show is an event of none");
    let of_local = if unmerged.is_of_local { OF_LOCAL } else { 0 };
    bytes.push(unmerged.kind.number() | of_local);
    bytes.extend_from_slice(&unmerged.acted_at.0.to_le_bytes());
    bytes.extend_from_slice(&unmerged.version.to_le_bytes());
    bytes.extend_from_slice(&unmerged.number.to_le_bytes());
    bytes.extend_from_slice(&unmerged.shown_at.0.to_le_bytes());
    bytes.extend_from_slice(&unmerged.session.to_le_bytes());
    append_show((unmerged.token, unmerged.popup, unmerged.variant), bytes);
}

/// Reads the fields behind the kind; `None` for any bytes that [`append`] would not have written.
pub(super) fn decode(mut fields: FieldReader<'_>) -> Option<Unmerged<'_>> {
    let (at, revision, user) = decode_common(&mut fields)?;
    let number_and_flag = fields.u8()?;
    let is_of_local = number_and_flag & OF_LOCAL != 0;
    let kind = EventKind::from_number(number_and_flag & !OF_LOCAL)?;
    let acted_at = WallMs(fields.i64()?);
    let version = fields.u32()?;
    let number = fields.u32()?;
    let shown_at = WallMs(fields.i64()?);
    let session = fields.u64()?;
    let (token, popup, variant) = decode_show(&mut fields)?;
    let is_show = kind == EventKind::Decided;
    let is_one_of_ours =
        revision == Revision::default() && !(is_show && is_of_local) && fields.is_at_end();
    is_one_of_ours.then_some(Unmerged {
        user,
        at,
        kind,
        acted_at,
        token,
        popup,
        version,
        variant,
        number,
        shown_at,
        session,
        is_of_local,
    })
}
