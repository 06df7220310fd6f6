//! What stands for Redis: takes a link's bytes, does what the scripts do where nothing is in the
//! way, gives the bytes of the replies. What it allocates is not counted.

use std::collections::BTreeMap;

use nudged_redis::decode::Decoder;
use nudged_redis::frame::RespFrame;
use nudged_redis::scan::FrameLimits;
use nudged_redis::scripts::Script;

/// Values, and counters of partitions.
pub struct Redis {
    decoder: Decoder,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    counters: BTreeMap<Vec<u8>, u64>,
    /// Scripts that were run, and what came in and went out for them, in bytes.
    pub scripts: u64,
    /// Bytes that came for scripts.
    pub bytes_in: usize,
    /// Bytes that went out for them.
    pub bytes_out: usize,
}

impl Redis {
    /// Without values; every partition is in its first epoch.
    pub fn new() -> Redis {
        let limits = FrameLimits { bytes: 1 << 20, elements: 64 };
        Redis {
            decoder: Decoder::new(limits),
            values: BTreeMap::new(),
            counters: BTreeMap::new(),
            scripts: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Takes bytes of the link at this TIME; appends the replies to the commands that they end.
    pub fn take(&mut self, now_ms: i64, bytes: &[u8], out: &mut Vec<u8>) {
        self.decoder.push(bytes);
        loop {
            let command: Vec<Vec<u8>> = match self.decoder.next_frame().unwrap() {
                None => return,
                Some(RespFrame::List(words)) => words.iter().map(|word| text(&word)).collect(),
                Some(other) => panic!("no command: {other:?}"),
            };
            match command[0].as_slice() {
                b"HELLO" => out.extend_from_slice(b"%1\r\n+proto\r\n:3\r\n"),
                b"INFO" if command[1] == b"server" => {
                    bulk(b"redis_version:7.0.0\r\nrun_id:abc\r\n", out);
                }
                b"INFO" => bulk(b"maxmemory_policy:noeviction\r\n", out),
                b"CONFIG" => out.extend_from_slice(b"*0\r\n"),
                b"EVALSHA" => self.evaluate(now_ms, &command, out),
                other => panic!("{} is not known here", String::from_utf8_lossy(other)),
            }
        }
    }

    fn evaluate(&mut self, now_ms: i64, command: &[Vec<u8>], out: &mut Vec<u8>) {
        let begin = out.len();
        self.scripts += 1;
        self.bytes_in += command.iter().map(|word| word.len() + 6).sum::<usize>();
        let is = |script: Script| command[1] == script.hash();
        let keys: usize = str::from_utf8(&command[2]).unwrap().parse().unwrap();
        let (keys, arguments) = command[3..].split_at(keys);
        let meta = keys.last().unwrap();
        if is(Script::Commit) {
            let counter = self.counters.entry(meta.clone()).or_insert(0);
            *counter += str::from_utf8(&arguments[9]).unwrap().parse::<u64>().unwrap();
            let stands = self.values.get(&keys[0]).map_or(&[][..], |value| &value[..12]);
            assert_eq!(stands, arguments[0], "nobody else writes");
            let value = [&arguments[4], b"\x01".as_slice(), &arguments[1], &arguments[5]].concat();
            self.values.insert(keys[0].clone(), value);
            self.meta(now_ms, meta, 6, out);
            out.extend_from_slice(b"$4\r\ndone\r\n_\r\n");
        } else if is(Script::Read) {
            self.meta(now_ms, meta, 5, out);
            match self.values.get(&keys[0]) {
                Some(value) => bulk(value, out),
                None => out.extend_from_slice(b"_\r\n"),
            }
        } else {
            assert!(is(Script::Meta), "nothing is filled here");
            self.meta(now_ms, meta, 4, out);
        }
        self.bytes_out += out.len() - begin;
    }

    fn meta(&self, now_ms: i64, meta: &[u8], words: usize, out: &mut Vec<u8>) {
        let counter = self.counters.get(meta).copied().unwrap_or(0);
        out.extend_from_slice(
            format!("*{words}\r\n:{now_ms}\r\n:1\r\n:{counter}\r\n$0\r\n\r\n").as_bytes(),
        );
    }
}

fn text(word: &RespFrame<'_>) -> Vec<u8> {
    let RespFrame::Text(text) = word else { panic!("a word is a text: {word:?}") };
    text.to_vec()
}

fn bulk(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}
