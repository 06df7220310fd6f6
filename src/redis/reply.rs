//! What a frame means as the reply to a command.

use super::command::{CommitVerdict, Meta, Phase, Reply, Value};
use super::decode::Frame;
use super::refusal::Refusal;
use nudged_base::ids::Revision;
use nudged_base::limits::{REQUEST_IDS_MAX, STATE_BYTES_MAX};
use nudged_base::time::WallMs;

/// Which reply a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// To `Read` and `Fill`.
    Value,
    /// To `Commit`.
    Commit,
    /// To `Meta`.
    Meta,
    /// To `Ping`.
    Pong,
}

/// Why a frame is not the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// An error of Redis.
    Refused(Refusal),
    /// The user's key holds a value that is none of ours.
    Foreign,
    /// A frame that the command can't be answered with: replies and commands are out of step.
    Shape,
}

/// Reads a reply. Allocates the state of a value.
///
/// # Errors
/// [`NoReply`].
pub fn read(expected: Expected, frame: &Frame<'_>) -> Result<Reply, NoReply> {
    let words = match frame {
        Frame::Error(text) => return Err(NoReply::Refused(Refusal::of(text))),
        Frame::Text(b"PONG") if expected == Expected::Pong => return Ok(Reply::Pong),
        Frame::List(words) => words,
        _ => return Err(NoReply::Shape),
    };
    match expected {
        Expected::Meta => {
            let meta = words.array::<4>().ok_or(NoReply::Shape)?;
            Ok(Reply::Meta(read_meta(&meta)?))
        }
        Expected::Value => {
            let words = words.array::<5>().ok_or(NoReply::Shape)?;
            Ok(Reply::Value { meta: read_meta(&words[..4])?, value: read_value(&words[4])? })
        }
        Expected::Commit => {
            let words = words.array::<6>().ok_or(NoReply::Shape)?;
            let verdict = read_verdict(&words[4])?;
            let meta = read_meta(&words[..4])?;
            Ok(Reply::Commit { meta, verdict, value: read_value(&words[5])? })
        }
        Expected::Pong => Err(NoReply::Shape),
    }
}

fn read_verdict(word: &Frame<'_>) -> Result<CommitVerdict, NoReply> {
    let Frame::Text(verdict) = word else { return Err(NoReply::Shape) };
    match *verdict {
        b"done" => Ok(CommitVerdict::Done),
        b"moved" => Ok(CommitVerdict::Moved),
        b"late" => Ok(CommitVerdict::Late),
        b"lost" => Ok(CommitVerdict::Lost),
        b"full" => Ok(CommitVerdict::Full),
        _ => Err(NoReply::Shape),
    }
}

fn read_meta(words: &[Frame<'_>]) -> Result<Meta, NoReply> {
    let [Frame::Int(at), Frame::Int(epoch), Frame::Int(counter), Frame::Text(phase)] = words else {
        return Err(NoReply::Shape);
    };
    let (phase, is_doubted) = match phase.strip_suffix(b"v") {
        Some(phase) => (phase, true),
        None => (*phase, false),
    };
    let phase = match phase {
        b"" => Phase::Open,
        b"b" => Phase::Barrier,
        b"f" => Phase::Filling,
        _ => return Err(NoReply::Foreign),
    };
    Ok(Meta {
        at: WallMs(*at),
        // Less than 0 says that there is none; what is no epoch is none either.
        epoch: u32::try_from(*epoch).ok(),
        counter: u64::try_from(*counter).map_err(|_| NoReply::Foreign)?,
        phase,
        is_doubted,
    })
}

fn read_value(frame: &Frame<'_>) -> Result<Option<Value>, NoReply> {
    match frame {
        Frame::Nil => Ok(None),
        Frame::Text(bytes) => split_value(bytes)
            .map(|(revision, state)| Some(Value { revision, state: state.to_vec() }))
            .ok_or(NoReply::Foreign),
        _ => Err(NoReply::Shape),
    }
}

/// The revision and the state of a user's value; `None` for bytes that are none of ours.
pub fn split_value(bytes: &[u8]) -> Option<(Revision, &[u8])> {
    let (head, rest) = bytes.split_at_checked(13)?;
    let ids = usize::from(head[12]);
    let state = rest.get(8 * ids..)?;
    let is_ours = ids <= REQUEST_IDS_MAX && state.len() <= STATE_BYTES_MAX;
    is_ours.then(|| (read_revision(head), state))
}

/// The revision of a message on a partition's channel, and the user's id.
pub(crate) fn split_change(bytes: &[u8]) -> Option<(Revision, &str)> {
    let (head, user) = bytes.split_at_checked(12)?;
    let user = std::str::from_utf8(user).ok().filter(|user| !user.is_empty())?;
    Some((read_revision(head), user))
}

/// Reads the first 12 of some bytes.
fn read_revision(bytes: &[u8]) -> Revision {
    let (epoch, counter) = bytes[..12].split_at(4);
    Revision {
        epoch: u32::from_be_bytes(epoch.try_into().expect("four bytes")),
        counter: u64::from_be_bytes(counter.try_into().expect("eight bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list<'a>(phase: &'a str, more: &[Frame<'a>]) -> Frame<'a> {
        let meta = [Frame::Int(5), Frame::Int(-1), Frame::Int(9), Frame::Text(phase.as_bytes())];
        Frame::List(meta.into_iter().chain(more.iter().cloned()).collect::<Vec<_>>().into())
    }

    #[test]
    fn replies_are_read_by_what_was_asked() {
        let of =
            |phase, is_doubted| Meta { at: WallMs(5), epoch: None, counter: 9, phase, is_doubted };
        for (text, phase, is_doubted) in [
            ("", Phase::Open, false),
            ("v", Phase::Open, true),
            ("b", Phase::Barrier, false),
            ("bv", Phase::Barrier, true),
            ("fv", Phase::Filling, true),
        ] {
            let meta = of(phase, is_doubted);
            assert_eq!(read(Expected::Meta, &list(text, &[])), Ok(Reply::Meta(meta)));
        }
        let meta = of(Phase::Filling, false);
        assert_eq!(read(Expected::Meta, &list("f", &[])), Ok(Reply::Meta(meta)));
        let value = b"\0\0\0\x01\0\0\0\0\0\0\0\x02\x0112345678state";
        let reply = read(Expected::Value, &list("f", &[Frame::Text(value)]));
        let revision = Revision { epoch: 1, counter: 2 };
        let value = Some(Value { revision, state: b"state".to_vec() });
        assert_eq!(reply, Ok(Reply::Value { meta, value }));
        let reply = read(Expected::Commit, &list("f", &[Frame::Text(b"moved"), Frame::Nil]));
        let verdict = CommitVerdict::Moved;
        assert_eq!(reply, Ok(Reply::Commit { meta, verdict, value: None }));
        assert_eq!(read(Expected::Pong, &Frame::Text(b"PONG")), Ok(Reply::Pong));
    }

    #[test]
    fn what_is_no_reply_is_told_apart() {
        let refused = Err(NoReply::Refused(Refusal::Loading));
        assert_eq!(read(Expected::Meta, &Frame::Error(b"LOADING x")), refused);
        for (expected, frame) in [
            (Expected::Pong, list("", &[])),
            (Expected::Meta, Frame::Text(b"PONG")),
            (Expected::Meta, list("", &[Frame::Nil])),
            (Expected::Value, list("", &[])),
            (Expected::Value, list("", &[Frame::Int(1)])),
            (Expected::Commit, list("", &[Frame::Nil])),
            (Expected::Commit, list("", &[Frame::Text(b"x"), Frame::Nil])),
        ] {
            assert_eq!(read(expected, &frame), Err(NoReply::Shape), "{frame:?}");
        }
        let foreign = Err(NoReply::Foreign);
        assert_eq!(read(Expected::Meta, &list("x", &[])), foreign);
        for value in ["", "short", "0123456789ab\x05", "0123456789ab\x01"] {
            let frame = list("", &[Frame::Text(value.as_bytes())]);
            assert_eq!(read(Expected::Value, &frame), foreign, "{value:?}");
        }
    }

    #[test]
    fn changes_are_a_revision_and_a_user() {
        let revision = Revision { epoch: 1, counter: 2 };
        assert_eq!(split_change(b"\0\0\0\x01\0\0\0\0\0\0\0\x02u1"), Some((revision, "u1")));
        assert_eq!(split_change(b"\0\0\0\x01\0\0\0\0\0\0\0\x02"), None);
        assert_eq!(split_change(b"\0\0\0\x01\0\0\0\0\0\0\0\x02\xff"), None);
        assert_eq!(split_change(b"x"), None);
    }
}
