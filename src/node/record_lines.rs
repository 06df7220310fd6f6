//! A journal's record as a line: JSON for programs, which is what an import takes, and columns for
//! people.

use std::fmt::Write as _;

use serde_json::{Value, json};

use nudged_base::hex;
use nudged_base::ids::Sequence;
use nudged_base::time::WallMs;
use nudged_journal::record::{self, Record};
use nudged_journal::segment::SetId;

/// The columns of [`record_text`].
pub(super) const COLUMNS: &str = "SEQ  TIME  KIND  ACTION  USER  POPUP  VERSION  VARIANT  REVISION";

/// A record as JSON: the columns of `events`, and the whole record in hex.
pub(super) fn record_line(set: SetId, sequence: Sequence, record: &Record<'_>) -> Value {
    let mut line = json!({ "set": format!("{:032x}", set.0), "seq": sequence.0 });
    let columns = match record {
        Record::Impression(impression) => json!({
            "action": impression.kind.word(),
            "decision": impression.token,
            "at": impression.at.0,
            "acted_at": impression.acted_at.0,
            "user_id": impression.user,
            "popup_id": impression.popup,
            "version": impression.version,
            "variant": impression.variant,
            "revision_epoch": impression.revision.epoch,
            "revision_counter": impression.revision.counter,
            "next_show_at": impression.next_show_at.map(|at| at.0),
            "forgotten": impression.forgotten,
        }),
        Record::Erase { user, revision, at } => json!({
            "action": "erased",
            "at": at.0,
            "user_id": user,
            "revision_epoch": revision.epoch,
            "revision_counter": revision.counter,
        }),
        Record::Withdrawn(withdrawn) => json!({
            "action": "withdrawn",
            "decision": withdrawn.token,
            "at": withdrawn.at.0,
            "shown_at": withdrawn.shown_at.0,
            "user_id": withdrawn.user,
            "popup_id": withdrawn.popup,
            "version": withdrawn.version,
            "variant": withdrawn.variant,
            "revision_epoch": withdrawn.revision.epoch,
            "revision_counter": withdrawn.revision.counter,
        }),
        Record::Unmerged(unmerged) => json!({
            "action": unmerged.kind.word(),
            "is_merged": false,
            "decision": unmerged.token,
            "at": unmerged.at.0,
            "acted_at": unmerged.acted_at.0,
            "user_id": unmerged.user,
            "popup_id": unmerged.popup,
            "version": unmerged.version,
            "variant": unmerged.variant,
        }),
    };
    let (Value::Object(line_members), Value::Object(columns)) = (&mut line, columns) else {
        unreachable!("both are objects")
    };
    line_members.extend(columns);
    let mut bytes = Vec::new();
    record::append(record, &mut bytes);
    line_members.insert("record".to_owned(), json!(hex::encode(&bytes[2..])));
    line
}

/// A word for what a record is.
pub(super) fn kind_of(record: &Record<'_>) -> &'static str {
    match record {
        Record::Impression(_) => "impression",
        Record::Erase { .. } => "erase",
        Record::Unmerged(_) => "unmerged",
        Record::Withdrawn(_) => "withdrawn",
    }
}

/// A record as the columns of [`COLUMNS`], two spaces between them and `-` for what it has not.
pub(super) fn record_text(sequence: Sequence, record: &Record<'_>) -> String {
    let (action, show) = match record {
        Record::Impression(one) => (one.kind.word(), Some((one.popup, one.version, one.variant))),
        Record::Unmerged(one) => (one.kind.word(), Some((one.popup, one.version, one.variant))),
        Record::Withdrawn(one) => ("withdrawn", Some((one.popup, one.version, one.variant))),
        Record::Erase { .. } => ("erased", None),
    };
    let mut text = format!("{}  {}  ", sequence.0, moment(record.at()));
    write!(text, "{}  {action}  ", kind_of(record)).expect("a String takes all text");
    push_word(&mut text, record.user());
    match show {
        Some((popup, version, variant)) => {
            text.push_str("  ");
            push_word(&mut text, popup);
            write!(text, "  {version}  ").expect("a String takes all text");
            push_word(&mut text, variant);
        }
        None => text.push_str("  -  -  -"),
    }
    let revision = record.revision();
    write!(text, "  {}.{}", revision.epoch, revision.counter).expect("a String takes all text");
    text
}

/// RFC 3339 with milliseconds; the number itself where no calendar has it.
fn moment(at: WallMs) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(moment) => format!("{moment:.3}"),
        Err(_) => at.0.to_string(),
    }
}

/// A text as one column: as it is where it can be, else in quotes with escapes, so that no user's
/// name breaks a line or is obeyed by a terminal.
fn push_word(out: &mut String, text: &str) {
    let is_plain = |letter: char| letter.is_alphanumeric() || letter.is_ascii_punctuation();
    if text.is_empty() {
        out.push('-');
    } else if text != "-" && !text.starts_with('"') && text.chars().all(is_plain) {
        out.push_str(text);
    } else {
        write!(out, "{text:?}").expect("a String takes all text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::Revision;

    #[test]
    fn a_record_is_one_line_whatever_its_user_is_called() {
        let shown = |user| {
            let revision = Revision { epoch: 2, counter: 7 };
            record_text(Sequence(12), &Record::Erase { user, revision, at: WallMs(1_005) })
        };
        let line = "12  1970-01-01T00:00:01.005Z  erase  erased  ann@b.c  -  -  -  2.7";
        assert_eq!(shown("ann@b.c"), line);
        assert!(shown("a b\n\u{1b}[2J").contains("  \"a b\\n\\u{1b}[2J\"  "));
        assert!(shown("-").contains("  \"-\"  ") && shown("\u{e9}").contains("  \u{e9}  "));
    }
}
