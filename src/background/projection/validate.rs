//! What a row can hold. A record that fails here is a row that no database would take or that
//! nobody could read back: it goes to the dead-letter file, and the batch goes on without it.
//! Knows the bounds of identities; must not know rows or statements.

use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::{
    POPUP_ID_BYTES_MAX, TOKEN_BYTES_MAX, USER_BYTES_MAX, VARIANT_KEY_BYTES_MAX,
};
use nudged_domain::state::user::{PopupState, UserClocks, decode_clocks, decode_popup};
use nudged_journal::record::{Impression, Withdrawn};

/// Why a record can't become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The user id is empty, too long or holds a NUL.
    User,
    /// The popup id is empty, too long or holds a NUL.
    Popup,
    /// The variant's key is too long or holds a NUL.
    Variant,
    /// The token is empty, too long or holds a NUL.
    Token,
    /// The id of the forgotten popup is too long, holds a NUL or is the popup's own.
    Forgotten,
    /// The counter of the revision is 0 or beyond 63 bits.
    Revision,
    /// The encoded clocks can't be read.
    Clocks,
    /// The encoded entry can't be read.
    Row,
    /// The encoded entry is another popup's.
    RowPopup,
}

impl RejectReason {
    /// A lowercase phrase for the dead-letter file.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::User => "user id out of bounds",
            RejectReason::Popup => "popup id out of bounds",
            RejectReason::Variant => "variant key out of bounds",
            RejectReason::Token => "decision token out of bounds",
            RejectReason::Forgotten => "id of the forgotten popup out of bounds",
            RejectReason::Revision => "revision out of bounds",
            RejectReason::Clocks => "clocks can't be read",
            RejectReason::Row => "popup entry can't be read",
            RejectReason::RowPopup => "popup entry belongs to another popup",
        }
    }
}

/// What an impression's encoded parts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The user's clocks after the change.
    pub clocks: UserClocks,
    /// The popup's entry after the change.
    pub entry: PopupState,
}

/// What the encoded parts of a show that is taken back say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodedWithdrawn {
    /// The user's clocks as before the show.
    pub clocks: UserClocks,
    /// The popup's entry as before the show, if there was one.
    pub former: Option<PopupState>,
}

/// Holds an erase against the bounds of the tables. Does not allocate.
///
/// # Errors
/// The first bound that it breaks.
pub(crate) fn check_erase(user: &str, revision: Revision) -> Result<(), RejectReason> {
    check_text(user, 1, USER_BYTES_MAX, RejectReason::User)?;
    check_revision(revision)
}

/// Holds an impression against the bounds of the tables, and decodes it. Does not allocate.
///
/// # Errors
/// The first bound that it breaks.
pub fn decode_impression(impression: &Impression<'_>) -> Result<Decoded, RejectReason> {
    check_text(impression.user, 1, USER_BYTES_MAX, RejectReason::User)?;
    check_text(impression.popup, 1, POPUP_ID_BYTES_MAX, RejectReason::Popup)?;
    check_text(impression.variant, 0, VARIANT_KEY_BYTES_MAX, RejectReason::Variant)?;
    check_text(impression.token, 1, TOKEN_BYTES_MAX, RejectReason::Token)?;
    check_text(impression.forgotten, 0, POPUP_ID_BYTES_MAX, RejectReason::Forgotten)?;
    check_revision(impression.revision)?;
    if impression.forgotten == impression.popup {
        return Err(RejectReason::Forgotten);
    }
    let clocks = read_clocks(impression.clocks)?;
    let entry = read_entry(impression.row, impression.popup)?;
    Ok(Decoded { clocks, entry })
}

/// As [`decode_impression`], of a show that is taken back.
///
/// # Errors
/// The first bound that it breaks.
pub(crate) fn decode_withdrawn(
    withdrawn: &Withdrawn<'_>,
) -> Result<DecodedWithdrawn, RejectReason> {
    check_text(withdrawn.user, 1, USER_BYTES_MAX, RejectReason::User)?;
    check_text(withdrawn.popup, 1, POPUP_ID_BYTES_MAX, RejectReason::Popup)?;
    check_text(withdrawn.variant, 0, VARIANT_KEY_BYTES_MAX, RejectReason::Variant)?;
    check_text(withdrawn.token, 1, TOKEN_BYTES_MAX, RejectReason::Token)?;
    check_revision(withdrawn.revision)?;
    let clocks = read_clocks(withdrawn.clocks)?;
    let former = withdrawn.former.as_ref();
    let former = former.map(|entry| read_entry(entry.row, withdrawn.popup)).transpose()?;
    Ok(DecodedWithdrawn { clocks, former })
}

fn read_clocks(bytes: &[u8]) -> Result<UserClocks, RejectReason> {
    decode_clocks(bytes).map_err(|_| RejectReason::Clocks)
}

fn read_entry(bytes: &[u8], popup: &str) -> Result<PopupState, RejectReason> {
    let entry = decode_popup(bytes).map_err(|_| RejectReason::Row)?;
    let is_of_popup = entry.popup == PopupKey::of(popup);
    if is_of_popup { Ok(entry) } else { Err(RejectReason::RowPopup) }
}

fn check_text(
    text: &str,
    bytes_min: usize,
    bytes_max: usize,
    error: RejectReason,
) -> Result<(), RejectReason> {
    // A NUL would end the text early for whoever reads the table with C's strings.
    let fits = (bytes_min..=bytes_max).contains(&text.len());
    if fits && !text.as_bytes().contains(&0) { Ok(()) } else { Err(error) }
}

fn check_revision(revision: Revision) -> Result<(), RejectReason> {
    let fits = revision.counter > 0 && i64::try_from(revision.counter).is_ok();
    if fits { Ok(()) } else { Err(RejectReason::Revision) }
}
