//! What a frame means as the reply to a command.

use super::command::{CommitVerdict, Meta, PartitionPhase, Reply, UserValue};
use super::frame::RespFrame;
use super::refusal::RedisRefusal;
use nudged_base::ids::Revision;
use nudged_base::limits::{REQUEST_IDS_MAX, STATE_BYTES_MAX};
use nudged_base::time::WallMs;

/// Which reply a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyShape {
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
    Refused(RedisRefusal),
    /// The user's key holds a value that is none of ours.
    Foreign,
    /// A frame that the command can't be answered with: replies and commands are out of step.
    Shape,
}

/// Reads a reply. Allocates the state of a value.
///
/// # Errors
/// [`NoReply`].
pub fn read(expected: ReplyShape, frame: &RespFrame<'_>) -> Result<Reply, NoReply> {
    let words = match frame {
        RespFrame::Error(text) => return Err(NoReply::Refused(RedisRefusal::of(text))),
        RespFrame::Text(b"PONG") if expected == ReplyShape::Pong => return Ok(Reply::Pong),
        RespFrame::List(words) => words,
        _ => return Err(NoReply::Shape),
    };
    match expected {
        ReplyShape::Meta => {
            let meta = words.array::<4>().ok_or(NoReply::Shape)?;
            Ok(Reply::Meta(read_meta(&meta)?))
        }
        ReplyShape::Value => {
            let words = words.array::<5>().ok_or(NoReply::Shape)?;
            Ok(Reply::Value { meta: read_meta(&words[..4])?, value: read_value(&words[4])? })
        }
        ReplyShape::Commit => {
            let words = words.array::<6>().ok_or(NoReply::Shape)?;
            let verdict = read_verdict(&words[4])?;
            let meta = read_meta(&words[..4])?;
            Ok(Reply::Commit { meta, verdict, value: read_value(&words[5])? })
        }
        ReplyShape::Pong => Err(NoReply::Shape),
    }
}

fn read_verdict(word: &RespFrame<'_>) -> Result<CommitVerdict, NoReply> {
    let RespFrame::Text(verdict) = word else { return Err(NoReply::Shape) };
    match *verdict {
        b"done" => Ok(CommitVerdict::Done),
        b"moved" => Ok(CommitVerdict::Moved),
        b"late" => Ok(CommitVerdict::Late),
        b"lost" => Ok(CommitVerdict::Lost),
        b"full" => Ok(CommitVerdict::Full),
        _ => Err(NoReply::Shape),
    }
}

fn read_meta(words: &[RespFrame<'_>]) -> Result<Meta, NoReply> {
    let [
        RespFrame::Int(at),
        RespFrame::Int(epoch),
        RespFrame::Int(counter),
        RespFrame::Text(phase),
    ] = words
    else {
        return Err(NoReply::Shape);
    };
    let (phase, is_doubted) = match phase.strip_suffix(b"v") {
        Some(phase) => (phase, true),
        None => (*phase, false),
    };
    let phase = match phase {
        b"" => PartitionPhase::Open,
        b"b" => PartitionPhase::Barrier,
        b"f" => PartitionPhase::Filling,
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

fn read_value(frame: &RespFrame<'_>) -> Result<Option<UserValue>, NoReply> {
    match frame {
        RespFrame::Nil => Ok(None),
        RespFrame::Text(bytes) => split_value(bytes)
            .map(|(revision, state)| Some(UserValue { revision, state: state.to_vec() }))
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

    fn list<'a>(phase: &'a str, more: &[RespFrame<'a>]) -> RespFrame<'a> {
        let meta = [
            RespFrame::Int(5),
            RespFrame::Int(-1),
            RespFrame::Int(9),
            RespFrame::Text(phase.as_bytes()),
        ];
        RespFrame::List(meta.into_iter().chain(more.iter().cloned()).collect::<Vec<_>>().into())
    }

    #[test]
    fn replies_are_read_by_what_was_asked() {
        let of =
            |phase, is_doubted| Meta { at: WallMs(5), epoch: None, counter: 9, phase, is_doubted };
        for (text, phase, is_doubted) in [
            ("", PartitionPhase::Open, false),
            ("v", PartitionPhase::Open, true),
            ("b", PartitionPhase::Barrier, false),
            ("bv", PartitionPhase::Barrier, true),
            ("fv", PartitionPhase::Filling, true),
        ] {
            let meta = of(phase, is_doubted);
            assert_eq!(read(ReplyShape::Meta, &list(text, &[])), Ok(Reply::Meta(meta)));
        }
        let meta = of(PartitionPhase::Filling, false);
        assert_eq!(read(ReplyShape::Meta, &list("f", &[])), Ok(Reply::Meta(meta)));
        let value = b"\0\0\0\x01\0\0\0\0\0\0\0\x02\x0112345678state";
        let reply = read(ReplyShape::Value, &list("f", &[RespFrame::Text(value)]));
        let revision = Revision { epoch: 1, counter: 2 };
        let value = Some(UserValue { revision, state: b"state".to_vec() });
        assert_eq!(reply, Ok(Reply::Value { meta, value }));
        let reply =
            read(ReplyShape::Commit, &list("f", &[RespFrame::Text(b"moved"), RespFrame::Nil]));
        let verdict = CommitVerdict::Moved;
        assert_eq!(reply, Ok(Reply::Commit { meta, verdict, value: None }));
        assert_eq!(read(ReplyShape::Pong, &RespFrame::Text(b"PONG")), Ok(Reply::Pong));
    }

    #[test]
    fn what_is_no_reply_is_told_apart() {
        let refused = Err(NoReply::Refused(RedisRefusal::Loading));
        assert_eq!(read(ReplyShape::Meta, &RespFrame::Error(b"LOADING x")), refused);
        for (expected, frame) in [
            (ReplyShape::Pong, list("", &[])),
            (ReplyShape::Meta, RespFrame::Text(b"PONG")),
            (ReplyShape::Meta, list("", &[RespFrame::Nil])),
            (ReplyShape::Value, list("", &[])),
            (ReplyShape::Value, list("", &[RespFrame::Int(1)])),
            (ReplyShape::Commit, list("", &[RespFrame::Nil])),
            (ReplyShape::Commit, list("", &[RespFrame::Text(b"x"), RespFrame::Nil])),
        ] {
            assert_eq!(read(expected, &frame), Err(NoReply::Shape), "{frame:?}");
        }
        let foreign = Err(NoReply::Foreign);
        assert_eq!(read(ReplyShape::Meta, &list("x", &[])), foreign);
        for value in ["", "short", "0123456789ab\x05", "0123456789ab\x01"] {
            let frame = list("", &[RespFrame::Text(value.as_bytes())]);
            assert_eq!(read(ReplyShape::Value, &frame), foreign, "{value:?}");
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
