//! Property: `nudged journal` shows every record of a journal, beside a running node and on one
//! that a start refuses; it names what is damaged, goes on behind it, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Exit, Setup, WELCOME, until};
use crate::journal::Segment;

/// Users who were shown a popup, one after another.
const SHOWN: usize = 5;

fn segment(setup: &Setup) -> PathBuf {
    setup.data().join("journal/0000000000000001.log")
}

fn lines(exit: &Exit) -> Vec<&str> {
    assert_eq!(exit.code, Some(0), "{exit:?}");
    exit.stdout.lines().collect()
}

/// Every file of a folder, as it is.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn records_are_read_beside_a_running_node_and_behind_damage() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    let token = client.decide("u0").token().unwrap();
    (1..SHOWN).for_each(|user| _ = client.decide(&format!("u{user}")).expect(200));
    client.event(&token, "clicked").expect(202);

    let data = setup.run(&["journal", "data"]);
    let shown = lines(&data);
    assert_eq!(shown.len(), 1 + SHOWN + 1 + 1, "{shown:#?}");
    assert!(shown[0].starts_with("SEQ  TIME  KIND"), "{shown:#?}");
    let words: Vec<&str> = shown[1].split("  ").collect();
    assert_eq!([words[0], words[2], words[3], words[4]], ["1", "impression", "decided", "u0"]);
    assert_eq!([words[5], words[6], words[7]], ["welcome", "1", "-"]);
    let last = format!("# {} records, 1 to {}", SHOWN + 1, SHOWN + 1);
    assert!(shown.last().unwrap().starts_with(&last), "{shown:#?}");
    assert!(shown.last().unwrap().ends_with("nothing damaged"), "{shown:#?}");

    let path = segment(&setup);
    let ann = setup.run(&["journal", path.to_str().unwrap(), "--json", "--user", "u0"]);
    let records: Vec<Value> =
        lines(&ann).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2, "{records:#?}");
    assert_eq!(records[0]["decision"], token.as_str());
    assert_eq!((&records[1]["action"], &records[1]["user_id"]), (&"clicked".into(), &"u0".into()));
    assert_eq!(records[1]["batch"]["file"], "0000000000000001.log");
    let some = setup.run(&["journal", "data/journal", "--from", "2", "--limit", "2"]);
    assert_eq!(lines(&some).len(), 1 + 2, "{some:?}");
    server.stop();

    // A later start says that all of those were synced; so what breaks then is no torn end.
    let server = setup.start();
    let mut later = 0;
    until("a batch that says so", || {
        later += 1;
        server.client().decide(&format!("later-{later}")).expect(200);
        let segment = Segment::of(&setup);
        let (_, last) = segment.batches.last().unwrap();
        (last.header.durable.0 > u64::try_from(SHOWN).unwrap()).then_some(())
    });
    server.stop();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|part| part == b"\x02u2").unwrap();
    bytes[at + 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let folder = setup.data().join("journal");
    let before = contents(&folder);
    let damaged = setup.run(&["journal", "data"]);
    let shown = lines(&damaged);
    let place = shown.iter().position(|line| line.contains("are damaged: records 3 to 3"));
    let place = place.unwrap_or_else(|| panic!("{shown:#?}"));
    assert!(shown[place].starts_with("# 0000000000000001.log: byte "), "{shown:#?}");
    assert!(shown[place + 1].starts_with("4  "), "it goes on: {shown:#?}");
    assert!(contents(&folder) == before, "not a byte was changed");
    let summary = setup.run(&["journal", "data", "--summary", "--json"]);
    let summary: Value = serde_json::from_str(&summary.stdout).unwrap();
    assert_eq!(summary["records"], SHOWN + later, "one was lost: {summary}");
    assert_eq!(summary["damage"].as_array().unwrap().len(), 1, "{summary}");
}

#[test]
fn a_file_that_was_cut_says_so() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    (0..SHOWN).for_each(|user| _ = client.decide(&format!("u{user}")).expect(200));
    server.stop();
    let whole = Segment::of(&setup);
    let bytes = fs::read(segment(&setup)).unwrap();
    // At the end of a batch, within one, within its head, and where only zeros were.
    let (at, last) = whole.batches[whole.batches.len() - 1];
    let cuts = [at, at + 20, 100, at + last.encoded_bytes + 5_000];
    for (number, cut) in (0..).zip(cuts) {
        let path = setup.path(&format!("cut-{number}.log"));
        fs::write(&path, &bytes[..cut]).unwrap();
        let path = path.to_str().unwrap();
        let summary = setup.run(&["journal", path, "--summary"]);
        let exit = setup.run(&["journal", path]);
        let said = format!("the file was cut: it has {cut} of {} bytes", bytes.len());
        assert!(lines(&exit).iter().any(|line| line.contains(&said)), "{exit:?}");
        assert!(summary.stdout.contains(&said), "{summary:?}");
        let is_torn = exit.stdout.contains("bytes are torn");
        assert_eq!(is_torn, number == 1, "{exit:?}");
        // Of the shortest one its opening is gone as well.
        let places = if cut == 100 { 2 } else { 1 };
        assert!(exit.stdout.contains(&format!("{places} places damaged")), "{exit:?}");
    }
}

#[test]
fn what_is_no_journal_is_exit_4_and_wrong_usage_exit_2() {
    let setup = Setup::new(WELCOME);
    fs::create_dir(setup.path("empty")).unwrap();
    assert!(Command::new("mkfifo").arg(setup.path("pipe")).status().unwrap().success());
    for path in ["empty", "popups.toml", "nowhere", "pipe"] {
        let exit = setup.run(&["journal", path]);
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(4), ""), "{exit:?}");
        assert!(exit.stderr.contains(path), "{exit:?}");
    }
    for wrong in [&["journal"][..], &["journal", "empty", "--from", "x"]] {
        assert_eq!(setup.run(wrong).code, Some(2), "{wrong:?}");
    }
}
