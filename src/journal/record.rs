//! One change of one user: results, not steps, so that applying it twice or late is harmless.
//! What the encoded clocks and row mean is the domain's business (`state::user`).
//!
//! A record is framed by its length, numbers are little-endian (FORMAT.md has the table):
//!
//! ```text
//! length u16 | kind u8 | at i64 | epoch u32 | counter u64 | user u8+ | kind's own fields
//! ```
//!
//! Limits: [`RECORD_BYTES_MAX`] a record without its length; the texts as `base::limits` says.
//! Decoding accepts exactly what encoding writes: one record has one encoding.

mod unmerged;
mod withdrawn;

pub use unmerged::Unmerged;
pub use withdrawn::{FormerEntry, Withdrawn};

use super::bytes::FieldReader;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::Revision;
use nudged_base::limits::{
    POPUP_ID_BYTES_MAX, RECORD_BYTES_MAX, TOKEN_BYTES_MAX, USER_BYTES_MAX, VARIANT_KEY_BYTES_MAX,
};
use nudged_base::time::WallMs;

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
    /// Something was accepted while the user's state could not be had: what was asked, not what it
    /// led to. It has no revision; merging it makes records of the other kinds.
    Unmerged(Unmerged<'a>),
    /// A show that nobody saw was taken back, after its own record had left.
    Withdrawn(Withdrawn<'a>),
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
    pub kind: EventKind,
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

const KIND_IMPRESSION: u8 = 1;
const KIND_ERASE: u8 = 2;
const KIND_UNMERGED: u8 = 3;
const KIND_WITHDRAWN: u8 = 4;

/// Where the user's length stands in a record without its frame: behind kind, time and revision.
const USER_OFFSET: usize = 1 + 8 + 4 + 8;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The frame is cut short, empty or longer than a record may be.
    #[error("a record has the wrong length")]
    Frame,
    /// A kind that this version does not know.
    #[error("a record has an unknown kind")]
    Kind,
    /// A field is missing, out of its range, or not the one encoding of its value.
    #[error("a record is malformed")]
    Malformed,
}

impl<'a> Record<'a> {
    /// The user's id.
    pub fn user(&self) -> &'a str {
        match self {
            Record::Impression(impression) => impression.user,
            Record::Erase { user, .. } => user,
            Record::Unmerged(unmerged) => unmerged.user,
            Record::Withdrawn(withdrawn) => withdrawn.user,
        }
    }

    /// The user's revision after this change; the default, which is below all others, where the
    /// change was not merged yet.
    pub fn revision(&self) -> Revision {
        match self {
            Record::Impression(impression) => impression.revision,
            Record::Erase { revision, .. } => *revision,
            Record::Unmerged(_) => Revision::default(),
            Record::Withdrawn(withdrawn) => withdrawn.revision,
        }
    }

    /// The time of this change.
    pub fn at(&self) -> WallMs {
        match self {
            Record::Impression(impression) => impression.at,
            Record::Erase { at, .. } => *at,
            Record::Unmerged(unmerged) => unmerged.at,
            Record::Withdrawn(withdrawn) => withdrawn.at,
        }
    }
}

/// Appends a record, framed, to `bytes`. Returns how many bytes were added; allocates only where
/// `bytes` must grow.
///
/// # Panics
/// Where a field is longer than `base::limits` allows: such a record must not reach the journal,
/// since no reader would take it back.
pub fn append(record: &Record<'_>, bytes: &mut Vec<u8>) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    let kind = match record {
        Record::Impression(_) => KIND_IMPRESSION,
        Record::Erase { .. } => KIND_ERASE,
        Record::Unmerged(_) => KIND_UNMERGED,
        Record::Withdrawn(_) => KIND_WITHDRAWN,
    };
    let user = record.user();
    assert!(!user.is_empty() && user.len() <= USER_BYTES_MAX, "user ids have 1 to 128 bytes");
    bytes.push(kind);
    bytes.extend_from_slice(&record.at().0.to_le_bytes());
    bytes.extend_from_slice(&record.revision().epoch.to_le_bytes());
    bytes.extend_from_slice(&record.revision().counter.to_le_bytes());
    append_short(user, USER_BYTES_MAX, bytes);
    match record {
        Record::Impression(impression) => append_impression(impression, bytes),
        Record::Erase { .. } => {}
        Record::Unmerged(unmerged) => unmerged::append(unmerged, bytes),
        Record::Withdrawn(withdrawn) => withdrawn::append(withdrawn, bytes),
    }
    let length = bytes.len() - start - 2;
    assert!(length <= RECORD_BYTES_MAX, "a record is bounded by its fields");
    let framed = u16::try_from(length).expect("4 KiB fit in 16 bits").to_le_bytes();
    bytes[start..start + 2].copy_from_slice(&framed);
    length + 2
}

fn append_impression(impression: &Impression<'_>, bytes: &mut Vec<u8>) {
    bytes.push(impression.kind.number());
    bytes.extend_from_slice(&impression.acted_at.0.to_le_bytes());
    bytes.extend_from_slice(&impression.version.to_le_bytes());
    append_next(impression.next_show_at, bytes);
    append_show((impression.token, impression.popup, impression.variant), bytes);
    append_short(impression.forgotten, POPUP_ID_BYTES_MAX, bytes);
    append_blob(impression.clocks, bytes);
    append_blob(impression.row, bytes);
}

/// Which show a record is about: its token, popup and variant.
fn append_show((token, popup, variant): (&str, &str, &str), bytes: &mut Vec<u8>) {
    assert!(token.len() <= TOKEN_BYTES_MAX, "tokens are bounded");
    assert!(!popup.is_empty(), "a popup has an id");
    append_blob(token.as_bytes(), bytes);
    append_short(popup, POPUP_ID_BYTES_MAX, bytes);
    append_short(variant, VARIANT_KEY_BYTES_MAX, bytes);
}

/// When a popup may return; `None` for never.
fn append_next(next_show_at: Option<WallMs>, bytes: &mut Vec<u8>) {
    bytes.push(u8::from(next_show_at.is_some()));
    bytes.extend_from_slice(&next_show_at.unwrap_or_default().0.to_le_bytes());
}

fn append_short(text: &str, longest: usize, bytes: &mut Vec<u8>) {
    assert!(text.len() <= longest, "texts of a record are bounded");
    bytes.push(u8::try_from(text.len()).expect("short texts are below 256 bytes"));
    bytes.extend_from_slice(text.as_bytes());
}

fn append_blob(blob: &[u8], bytes: &mut Vec<u8>) {
    let length = u16::try_from(blob.len()).expect("blobs are below a record's 4 KiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(blob);
}

/// Reads one record without its frame. Does not allocate.
///
/// # Errors
/// [`RecordError`] for any bytes that [`append`] would not have written.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    if bytes.is_empty() || bytes.len() > RECORD_BYTES_MAX {
        return Err(RecordError::Frame);
    }
    let mut fields = FieldReader::new(bytes);
    match fields.u8() {
        Some(KIND_IMPRESSION) => decode_impression(fields).map(Record::Impression),
        Some(KIND_ERASE) => decode_erase(fields),
        Some(KIND_UNMERGED) => unmerged::decode(fields).map(Record::Unmerged),
        Some(KIND_WITHDRAWN) => withdrawn::decode(fields).map(Record::Withdrawn),
        _ => return Err(RecordError::Kind),
    }
    .ok_or(RecordError::Malformed)
}

/// Time, revision and user, which every kind begins with.
fn decode_common<'a>(fields: &mut FieldReader<'a>) -> Option<(WallMs, Revision, &'a str)> {
    let at = WallMs(fields.i64()?);
    let revision = Revision { epoch: fields.u32()?, counter: fields.u64()? };
    let user = fields.short_text(USER_BYTES_MAX)?;
    (!user.is_empty()).then_some((at, revision, user))
}

/// What [`append_show`] wrote.
fn decode_show<'a>(fields: &mut FieldReader<'a>) -> Option<(&'a str, &'a str, &'a str)> {
    let token = fields.long_text(TOKEN_BYTES_MAX)?;
    let popup = fields.short_text(POPUP_ID_BYTES_MAX)?;
    let variant = fields.short_text(VARIANT_KEY_BYTES_MAX)?;
    (!popup.is_empty()).then_some((token, popup, variant))
}

/// What [`append_next`] wrote.
fn decode_next(fields: &mut FieldReader<'_>) -> Option<Option<WallMs>> {
    match (fields.u8()?, fields.i64()?) {
        (0, 0) => Some(None),
        (1, next) => Some(Some(WallMs(next))),
        _ => None,
    }
}

fn decode_erase(mut fields: FieldReader<'_>) -> Option<Record<'_>> {
    let (at, revision, user) = decode_common(&mut fields)?;
    fields.is_at_end().then_some(Record::Erase { user, revision, at })
}

fn decode_impression(mut fields: FieldReader<'_>) -> Option<Impression<'_>> {
    let (at, revision, user) = decode_common(&mut fields)?;
    let kind = EventKind::from_number(fields.u8()?)?;
    let acted_at = WallMs(fields.i64()?);
    let version = fields.u32()?;
    let next_show_at = decode_next(&mut fields)?;
    let (token, popup, variant) = decode_show(&mut fields)?;
    let forgotten = fields.short_text(POPUP_ID_BYTES_MAX)?;
    let clocks = fields.blob()?;
    let row = fields.blob()?;
    fields.is_at_end().then_some(Impression {
        user,
        revision,
        at,
        kind,
        acted_at,
        token,
        popup,
        version,
        variant,
        clocks,
        row,
        next_show_at,
        forgotten,
    })
}

/// The frames of `bytes`, one after another. Does not allocate.
pub fn frames(bytes: &[u8]) -> RecordFrames<'_> {
    RecordFrames { rest: bytes }
}

/// Iterator over framed records: see [`frames`]. After an error it ends.
#[derive(Clone, Debug)]
pub struct RecordFrames<'a> {
    rest: &'a [u8],
}

impl<'a> RecordFrames<'a> {
    /// The bytes that were not yet walked over.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for RecordFrames<'a> {
    type Item = Result<RecordFrame<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut fields = FieldReader::new(self.rest);
        let frame = fields
            .blob()
            .filter(|body| body.len() > USER_OFFSET && body.len() <= RECORD_BYTES_MAX)
            .map(|bytes| RecordFrame { bytes });
        self.rest = frame.map_or(&[], |frame| &self.rest[frame.framed_bytes()..]);
        Some(frame.ok_or(RecordError::Frame))
    }
}

/// One framed record whose fields were not looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFrame<'a> {
    bytes: &'a [u8],
}

impl<'a> RecordFrame<'a> {
    /// Bytes of the record with its length.
    pub fn framed_bytes(&self) -> usize {
        self.bytes.len() + 2
    }

    /// The record's time, without looking at the rest.
    pub fn at(&self) -> WallMs {
        let at = FieldReader::new(&self.bytes[1..]).i64();
        WallMs(at.expect("a frame is longer than its fixed fields"))
    }

    /// The whole record.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn record(&self) -> Result<Record<'a>, RecordError> {
        decode(self.bytes)
    }
}

#[cfg(test)]
mod tests;
