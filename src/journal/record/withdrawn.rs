//! The record of a show that is taken back: it was committed too late for its request, so nobody
//! saw it, but its own record had left with the commit already. Like an impression it carries what
//! it leads to: the state as it was before the show, which no other change has followed. A popup
//! that the show had pushed out stays so: the next show would push it out again.
//!
//! Only commits that carry their records need it (`queue = "redis"`): a journal is given a show's
//! record after the commit, and not at all where the show is withdrawn. It stands behind its show
//! in the same stream.

use super::super::bytes::FieldReader;
use super::{append_blob, append_next, append_show, decode_common, decode_next, decode_show};
use nudged_base::ids::Revision;
use nudged_base::limits::POPUP_ID_BYTES_MAX;
use nudged_base::time::WallMs;

/// The last byte of a record: the length of the name of a popup that is put back, as records once
/// had it. Its place (u8) and its entry follow where there is one; they are passed over.
const NOTHING_PUT_BACK: u8 = 0;

/// A show that never was, with the state that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn<'a> {
    /// The user's id, 1 to 128 bytes.
    pub user: &'a str,
    /// The user's revision after this change: the one behind the show's.
    pub revision: Revision,
    /// The time of this change, by the node's clock.
    pub at: WallMs,
    /// When the show was decided.
    pub shown_at: WallMs,
    /// The decision's token.
    pub token: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version at the decision.
    pub version: u32,
    /// The key of the variant that was decided on; empty for none.
    pub variant: &'a str,
    /// User-level clocks as before the show, as `state::user::encode_clocks` wrote them.
    pub clocks: &'a [u8],
    /// The popup's entry as before the show; `None` where there was none.
    pub former: Option<FormerEntry<'a>>,
}

/// A popup's entry that stands again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerEntry<'a> {
    /// The entry, as `state::user::encode_popup` wrote it; never empty.
    pub row: &'a [u8],
    /// When the popup may return by its gaps, for people who read SQL; `None` for never.
    pub next_show_at: Option<WallMs>,
}

/// Appends the fields behind the common ones.
pub(super) fn append(withdrawn: &Withdrawn<'_>, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&withdrawn.shown_at.0.to_le_bytes());
    bytes.extend_from_slice(&withdrawn.version.to_le_bytes());
    append_show((withdrawn.token, withdrawn.popup, withdrawn.variant), bytes);
    append_blob(withdrawn.clocks, bytes);
    match &withdrawn.former {
        Some(entry) => append_entry(entry, bytes),
        None => append_blob(&[], bytes),
    }
    bytes.push(NOTHING_PUT_BACK);
}

fn append_entry(entry: &FormerEntry<'_>, bytes: &mut Vec<u8>) {
    assert!(!entry.row.is_empty(), "an entry has an encoding");
    append_blob(entry.row, bytes);
    append_next(entry.next_show_at, bytes);
}

/// Reads the fields behind the kind; `None` for any bytes that [`append`] would not have written.
pub(super) fn decode(mut fields: FieldReader<'_>) -> Option<Withdrawn<'_>> {
    let (at, revision, user) = decode_common(&mut fields)?;
    let shown_at = WallMs(fields.i64()?);
    let version = fields.u32()?;
    let (token, popup, variant) = decode_show(&mut fields)?;
    let clocks = fields.blob()?;
    let former = decode_entry(&mut fields)?;
    if !fields.short_text(POPUP_ID_BYTES_MAX)?.is_empty() {
        // What was put back once stays forgotten now: its place and its entry.
        fields.u8()?;
        decode_entry(&mut fields)??;
    }
    fields.is_at_end().then_some(Withdrawn {
        user,
        revision,
        at,
        shown_at,
        token,
        popup,
        version,
        variant,
        clocks,
        former,
    })
}

/// An entry that may be absent: its encoding is empty then, and nothing follows it.
fn decode_entry<'a>(fields: &mut FieldReader<'a>) -> Option<Option<FormerEntry<'a>>> {
    let row = fields.blob()?;
    if row.is_empty() {
        return Some(None);
    }
    let next_show_at = decode_next(fields)?;
    Some(Some(FormerEntry { row, next_show_at }))
}
