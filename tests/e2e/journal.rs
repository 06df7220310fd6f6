//! Property: the journal of a node that died is read back whole. Its torn end is cut; damage in its
//! middle stops the start and is named; a lost database is made again from it; one from the future
//! is not believed silently; nobody shares it.

use std::fs;
use std::path::PathBuf;

use nudged_base::clock::Now;
use nudged_base::ids::{Revision, Sequence};
use nudged_base::time::{MonoNs, WallMs};
use nudged_journal::batch::{self, BatchHeader, FoundBatch};
use nudged_journal::record::{self, Record};
use nudged_journal::segment::{FIRST_BATCH_OFFSET, Opening, PREFIX_BYTES, SegmentHeader};

use crate::database;
use crate::harness::{Setup, WELCOME, until};

/// Users who were shown a popup, one batch of the journal each.
pub const SHOWN: usize = 20;
const MINUTE_MS: i64 = 60_000;

/// The newest segment in use, with its batches.
pub struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    tag: u32,
    /// Where each batch stands, in order.
    pub batches: Vec<(usize, FoundBatch)>,
    /// The chain of the next batch, and where it goes.
    chain: u32,
    end: usize,
}

impl Segment {
    pub fn of(setup: &Setup) -> Segment {
        let folder = fs::read_dir(setup.data().join("journal")).unwrap();
        let paths = folder.map(|entry| entry.unwrap().path());
        let logs = paths.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
        let mut segments: Vec<Segment> = logs.filter_map(Segment::read).collect();
        segments.sort_by(|a, b| a.path.cmp(&b.path));
        segments.pop().expect("a segment that is in use")
    }

    /// `None` for one that is kept ready and not yet in use.
    fn read(path: PathBuf) -> Option<Segment> {
        let bytes = fs::read(&path).unwrap();
        let (header, _) = SegmentHeader::decode(&bytes[..PREFIX_BYTES]).ok()?;
        let tag = header.set.tag();
        let (_, mut chain) = Opening::decode(tag, &bytes[..PREFIX_BYTES])?;
        let mut end = usize::try_from(FIRST_BATCH_OFFSET).unwrap();
        let mut batches = Vec::new();
        while let Some((found, _)) = batch::decode(tag, &bytes[end..]) {
            batches.push((end, found));
            end += found.encoded_bytes;
            chain = found.crc;
        }
        Some(Segment { path, bytes, tag, batches, chain, end })
    }

    /// The batch that would come next: the erasure of a user whom nobody knows, at `at`.
    fn next_batch(&self, at: WallMs) -> Vec<u8> {
        let last = self.batches.last().expect("there were shows").1.header;
        let mut records = Vec::new();
        let revision = Revision { epoch: 1, counter: 1 };
        record::append(&Record::Erase { user: "nobody", revision, at }, &mut records);
        let header = BatchHeader {
            chain: self.chain,
            first: last.end(),
            count: 1,
            durable: Sequence(last.end().0 - 1),
            newest: at,
        };
        let mut bytes = Vec::new();
        batch::append(self.tag, &header, &records, &mut bytes);
        bytes
    }

    fn write(mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&self.path, &self.bytes).unwrap();
    }
}

/// A node that has shown something to each of `SHOWN` users, and was killed or stopped.
pub fn after_shows(stop: bool) -> (Setup, Vec<String>) {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    let tokens = (0..SHOWN).map(|user| client.decide(&format!("u{user}")).token().unwrap());
    let tokens = tokens.collect();
    if stop {
        server.stop()
    } else {
        server.kill()
    }
    (setup, tokens)
}

pub fn remove_database(setup: &Setup) {
    for name in ["nudged.db", "nudged.db-wal", "nudged.db-shm"] {
        // Only the first is always there.
        let _ = fs::remove_file(setup.data().join(name));
    }
}

fn assert_all_kept(setup: &Setup, tokens: &[String]) {
    let decided = database::decided(setup.data());
    for token in tokens {
        assert!(decided.contains(token), "an acknowledged show is gone: {token}");
    }
}

fn now() -> WallMs {
    Now { mono: MonoNs(0), wall: nudged_runtime::clocks::wall() }.wall
}

#[test]
fn a_torn_end_is_cut_and_nothing_else() {
    let (setup, tokens) = after_shows(false);
    let segment = Segment::of(&setup);
    let torn = segment.next_batch(now());
    let at = segment.end;
    segment.write(at, &torn[..torn.len() - 9]);
    let server = setup.start();
    assert_eq!(server.logged("journal_torn").len(), 1, "{}", server.said());
    assert_eq!(server.client().decide("u0").reason(), "gap");
    let new = server.client().decide("new").token().unwrap();
    server.stop();
    assert_all_kept(&setup, &tokens);
    assert_all_kept(&setup, &[new]);
}

#[test]
fn a_lost_database_is_made_again() {
    let (setup, tokens) = after_shows(true);
    let before = database::events(setup.data());
    remove_database(&setup);
    let server = setup.start();
    assert_eq!(server.client().decide("u3").reason(), "gap", "known before SQL has caught up");
    server.stop();
    assert_eq!(database::events(setup.data()), before);
    assert_all_kept(&setup, &tokens);
}

#[test]
fn a_flipped_bit_in_the_middle_stops_the_start_and_is_named() {
    let (setup, tokens) = after_shows(true);
    // A later batch says that all of those were synced: what breaks then is no torn end.
    let server = setup.start();
    let mut later = 0;
    until("a batch that says so", || {
        later += 1;
        server.client().decide(&format!("later-{later}")).expect(200);
        let segment = Segment::of(&setup);
        let (_, last) = segment.batches.last().unwrap();
        (last.header.durable.0 >= u64::try_from(SHOWN).unwrap()).then_some(())
    });
    server.stop();
    // What SQL has applied is not read again; without a database all of it is wanted.
    remove_database(&setup);
    let segment = Segment::of(&setup);
    assert!(segment.batches.len() > SHOWN / 2 + 1, "{} batches", segment.batches.len());
    let (at, damaged) = segment.batches[SHOWN / 2];
    let (first, last) = (damaged.header.first.0, damaged.header.end().0 - 1);
    let byte = segment.bytes[at + batch::HEADER_BYTES + 5] ^ 0x04;
    segment.write(at + batch::HEADER_BYTES + 5, &[byte]);

    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    for number in [first, last] {
        let named = |word: &str| word == number.to_string();
        let mut words = exit.stderr.split(|letter: char| !letter.is_ascii_digit());
        assert!(words.any(named), "record {number} is lost: {exit:?}");
    }
    assert!(exit.stderr.contains("--salvage"), "{exit:?}");
    // Retired as it is, it gives what is before the damage, and the rest when somebody says so.
    let drained = setup.run(&["drain", "data"]);
    assert_eq!(drained.code, Some(4), "{drained:?}");
    assert!(drained.stdout.contains(&format!("1 to {}, applied", first - 1)), "{drained:?}");
    assert!(drained.stderr.contains(&format!("records {first} to {last} damaged")), "{drained:?}");
    assert_eq!(database::decided(setup.data()).len(), usize::try_from(first - 1).unwrap());
    remove_database(&setup);
    let drained = setup.run(&["drain", "data", "--salvage"]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let lost = usize::try_from(last - first + 1).unwrap();
    assert_eq!(database::decided(setup.data()).len(), SHOWN + later - lost);
    remove_database(&setup);

    let mut server = setup.start_with(&["--salvage"]);
    server.allow("journal_damaged");
    assert_eq!(server.logged("journal_damaged").len(), 1, "{}", server.said());
    server.stop();
    let decided = database::decided(setup.data());
    let kept = tokens.iter().filter(|token| decided.contains(*token)).count();
    assert_eq!(kept, SHOWN - lost, "exactly the damaged batch is lost");
    let aside = fs::read_dir(setup.data().join("journal")).unwrap();
    let mut names = aside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.ends_with(".damaged")), "what was damaged is kept aside");

    // Once is enough: the next start needs no leave.
    let server = setup.start();
    assert_eq!(server.client().decide("u0").reason(), "gap");
    server.stop();
}

#[test]
fn a_journal_from_the_near_future_runs() {
    let (setup, _) = after_shows(true);
    let segment = Segment::of(&setup);
    let ahead = WallMs(now().0 + 10 * MINUTE_MS);
    let (at, bytes) = (segment.end, segment.next_batch(ahead));
    segment.write(at, &bytes);
    let mut server = setup.start();
    server.allow("clock_apart");
    assert_eq!(server.logged("clock_apart").len(), 1, "{}", server.said());
    server.client().decide("new").expect(200);
    server.stop();
    let newest = "SELECT MAX(at) FROM events WHERE user_id = 'new'";
    assert!(database::number(setup.data(), newest) >= ahead.0, "time goes on from the journal's");
}

#[test]
fn a_journal_from_the_far_future_needs_leave() {
    let (setup, _) = after_shows(true);
    let segment = Segment::of(&setup);
    let ahead = WallMs(now().0 + 120 * MINUTE_MS);
    let (at, bytes) = (segment.end, segment.next_batch(ahead));
    segment.write(at, &bytes);
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(3), "{exit:?}");
    assert!(exit.stderr.contains("--accept-clock"), "{exit:?}");
    assert!(exit.stderr.contains("ahead of the wall clock"), "{exit:?}");
    let mut server = setup.start_with(&["--accept-clock"]);
    server.allow("clock_apart");
    assert_eq!(server.client().decide("u1").reason(), "gap");
    server.client().decide("new").expect(200);
    server.stop();
}

#[test]
fn a_directory_in_use_is_exit_4_and_its_holder_is_named() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains(&server.pid().to_string()), "{exit:?}");
    server.client().decide("ann").expect(200);
    server.stop();
}
