//! Commands to bytes, written by hand: a tenth of the time that the library takes. Only
//! this file and the scripts know what keys and channels are called.

use super::command::{Commit, Records, RedisCommand};
use super::scripts::Script;
use nudged_base::ids::{Partition, Revision};
use nudged_journal::record::frames;

/// The channel of a partition's changes is this and the partition's number.
pub(crate) const CHANNEL_PREFIX: &str = "nudged:changed:";

/// Appends a command of these words.
pub fn words(output: &mut Vec<u8>, words: &[&[u8]]) {
    head(output, b'*', words.len());
    for word in words {
        text(output, &[word]);
    }
}

/// Appends a command; gives the script that it runs, `None` for none. Allocates only where the
/// output is too small.
pub fn command(output: &mut Vec<u8>, command: &RedisCommand<'_>) -> Option<Script> {
    match *command {
        RedisCommand::Ping => {
            words(output, &[b"PING"]);
            None
        }
        RedisCommand::Read { partition, user } => {
            script_head(output, Script::Read, 2, 0);
            user_keys(output, partition, user);
            Some(Script::Read)
        }
        RedisCommand::Meta { partition } => {
            script_head(output, Script::Meta, 1, 0);
            key(output, partition, &[b"m"]);
            Some(Script::Meta)
        }
        RedisCommand::Fill { partition, user, revision, state, ttl_ms } => {
            script_head(output, Script::Fill, 2, 3);
            user_keys(output, partition, user);
            text(output, &[&revision_bytes(revision), &[]]);
            text(output, &[state]);
            number(output, ttl_ms);
            Some(Script::Fill)
        }
        RedisCommand::Commit(ref commit) => {
            write_commit(output, commit);
            Some(Script::Commit)
        }
    }
}

/// Appends the text of a revision as values and scripts have it: epoch and counter, big-endian.
pub(crate) fn revision_bytes(revision: Revision) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&revision.epoch.to_be_bytes());
    bytes[4..].copy_from_slice(&revision.counter.to_be_bytes());
    bytes
}

/// Appends `EVAL` with the script's body in place of the `EVALSHA` that `sent` is.
pub(crate) fn with_body(output: &mut Vec<u8>, sent: &[u8], script: Script) {
    // `*N`, `$7`, `EVALSHA`, `$40` and the hash are lines; what follows stays as it is.
    let mut ends = memchr::memchr_iter(b'\n', sent).map(|end| end + 1);
    let first = ends.next().expect("a command has a head");
    let rest = ends.nth(3).expect("EVALSHA has a hash");
    output.extend_from_slice(&sent[..first]);
    text(output, &[b"EVAL"]);
    text(output, &[script.body().as_bytes()]);
    output.extend_from_slice(&sent[rest..]);
}

fn write_commit(output: &mut Vec<u8>, commit: &Commit<'_>) {
    let (keys, more) = match commit.records {
        Records::Journal { .. } => (2, 1),
        Records::List { framed, .. } => (3, 1 + frames(framed).flatten().count()),
    };
    script_head(output, Script::Commit, keys, 9 + more);
    user_keys(output, commit.partition, commit.user);
    if keys == 3 {
        key(output, commit.partition, &[b"q"]);
    }
    match commit.base {
        Some(base) => text(output, &[&revision_bytes(base)]),
        None => text(output, &[]),
    }
    text(output, &[&commit.request.0.to_be_bytes()]);
    signed(output, commit.now.0);
    signed(output, commit.valid_until.0);
    text(output, &[&revision_bytes(commit.revision)]);
    text(output, &[commit.state]);
    number(output, commit.ttl_ms);
    if commit.publish {
        let mut digits = itoa::Buffer::new();
        let partition = digits.format(commit.partition.0).as_bytes();
        text(output, &[CHANNEL_PREFIX.as_bytes(), partition]);
    } else {
        text(output, &[]);
    }
    text(output, &[commit.user.as_bytes()]);
    match commit.records {
        Records::Journal { count } => number(output, u64::from(count)),
        Records::List { framed, list_max } => {
            number(output, u64::from(list_max));
            let mut rest = framed;
            for frame in frames(framed).flatten() {
                let (record, behind) = rest.split_at(frame.framed_bytes());
                text(output, &[record]);
                rest = behind;
            }
        }
    }
}

fn script_head(output: &mut Vec<u8>, script: Script, keys: usize, arguments: usize) {
    head(output, b'*', 3 + keys + arguments);
    text(output, &[b"EVALSHA"]);
    text(output, &[script.hash()]);
    number(output, keys.try_into().expect("three keys at most"));
}

fn user_keys(output: &mut Vec<u8>, partition: Partition, user: &str) {
    key(output, partition, &[b"u:", user.as_bytes()]);
    key(output, partition, &[b"m"]);
}

/// A key of a partition: `nudged:{p17}:` and two pieces at most.
fn key(output: &mut Vec<u8>, partition: Partition, pieces: &[&[u8]]) {
    let mut digits = itoa::Buffer::new();
    let partition = digits.format(partition.0).as_bytes();
    let first = pieces.first().copied().unwrap_or_default();
    let second = pieces.get(1).copied().unwrap_or_default();
    text(output, &[b"nudged:{p", partition, b"}:", first, second]);
}

/// A sign and a count on a line. Most counts have one digit or two: their line is put down at once.
fn head(output: &mut Vec<u8>, sign: u8, count: usize) {
    let digit = |number: u8| b'0' + number % 10;
    match u8::try_from(count) {
        Ok(count @ ..10) => output.extend_from_slice(&[sign, digit(count), b'\r', b'\n']),
        Ok(count @ ..100) => {
            output.extend_from_slice(&[sign, digit(count / 10), digit(count), b'\r', b'\n']);
        }
        _ => {
            output.push(sign);
            output.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
            output.extend_from_slice(b"\r\n");
        }
    }
}

/// One word, of these pieces.
fn text(output: &mut Vec<u8>, pieces: &[&[u8]]) {
    head(output, b'$', pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        output.extend_from_slice(piece);
    }
    output.extend_from_slice(b"\r\n");
}

fn number(output: &mut Vec<u8>, number: u64) {
    text(output, &[itoa::Buffer::new().format(number).as_bytes()]);
}

fn signed(output: &mut Vec<u8>, number: i64) {
    text(output, &[itoa::Buffer::new().format(number).as_bytes()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(output: &[u8]) -> Vec<String> {
        use crate::decode::Decoder;
        use crate::frame::RespFrame;
        let limits = crate::scan::FrameLimits { bytes: 1 << 20, elements: 64 };
        let mut decoder = Decoder::new(limits);
        decoder.push(output);
        let Ok(Some(RespFrame::List(list))) = decoder.next_frame() else { panic!("no command") };
        list.iter()
            .map(|word| match word {
                RespFrame::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn commands_are_words_with_the_partitions_tag() {
        let mut output = Vec::new();
        let partition = Partition(17);
        let script = command(&mut output, &RedisCommand::Read { partition, user: "ü" });
        assert_eq!(script, Some(Script::Read));
        let hash = std::str::from_utf8(Script::Read.hash()).unwrap();
        assert_eq!(words_of(&output), ["EVALSHA", hash, "2", "nudged:{p17}:u:ü", "nudged:{p17}:m"]);
        output.clear();
        assert_eq!(command(&mut output, &RedisCommand::Ping), None);
        assert_eq!(output, b"*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn lengths_of_any_number_of_digits_are_lines() {
        for count in [0, 9, 10, 11, 55, 99, 100, 101, 255, 256, 4_096] {
            let mut output = Vec::new();
            head(&mut output, b'$', count);
            assert_eq!(output, format!("${count}\r\n").as_bytes());
        }
    }

    #[test]
    fn a_body_takes_the_place_of_a_hash() {
        let (mut sent, mut again) = (Vec::new(), Vec::new());
        command(&mut sent, &RedisCommand::Meta { partition: Partition(3) });
        with_body(&mut again, &sent, Script::Meta);
        let (mut was, is) = (words_of(&sent), words_of(&again));
        was[0] = "EVAL".to_owned();
        was[1] = Script::Meta.body().to_owned();
        assert_eq!(was, is);
    }
}
