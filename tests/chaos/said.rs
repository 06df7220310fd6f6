//! What nodes leave behind in a run of faults: their logs and the files of their data directories.
//! In neither is a password of the servers behind them, in no log is a user in clear, and no outage
//! floods one (docs/guarantees.md#g12).

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::support::log::LogLine;

/// Of the users that nodes have on Redis and MariaDB (`Redis::url_of_least_user`,
/// `MariaDb::url_of_least_user`): they are in the configuration and nowhere else.
const PASSWORDS: [&str; 2] = ["canary-of-redis", "change-me"];
/// Begins of the names that users have in a run.
const USERS: [&str; 2] = ["hot-", "healed-"];
/// Lines of one second of one node at most: ten of each of its two shards.
const LINES_A_SECOND_MAX: usize = 20;
/// The end of RFC 3339's seconds in a line's time.
const SECOND: usize = "2026-01-01T00:00:00".len();

/// The standard error of each process that has run.
#[derive(Default)]
pub struct Said {
    texts: Vec<Arc<Mutex<String>>>,
}

impl Said {
    /// One more process; its text is read once the run is over.
    pub fn push(&mut self, text: Arc<Mutex<String>>) {
        self.texts.push(text);
    }

    /// What should not be there, in words.
    pub fn wrong(&self, folders: &[&Path]) -> Vec<String> {
        let mut wrong = Vec::new();
        for text in &self.texts {
            wrong.extend(wrong_in_log(&text.lock().unwrap()));
        }
        for folder in folders {
            each_file(folder, &mut |path, bytes| {
                let has =
                    |word: &&str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
                let found = PASSWORDS.iter().filter(|word| has(word));
                wrong.extend(found.map(|word| format!("{word} is in {}", path.display())));
            });
        }
        wrong
    }

    /// Lines of all logs, and the most that one node wrote in one second.
    pub fn lines(&self) -> (usize, usize) {
        let counts = self.texts.iter().map(|text| by_second(&text.lock().unwrap()));
        let counts: Vec<usize> = counts.flat_map(HashMap::into_values).collect();
        (counts.iter().sum(), counts.into_iter().max().unwrap_or_default())
    }
}

/// A planted secret, user and flood are found.
pub fn check_the_check() {
    let line = |second: usize, words: &str| {
        format!(
            "{{\"time\":\"2026-01-01T00:00:{second:02}.000Z\",\"level\":\"warn\",\"code\":\"x\",\
             \"message\":\"{words}\"}}\n"
        )
    };
    let calm: String = (0..50).map(|number| line(number, "away")).collect();
    assert_eq!(wrong_in_log(&calm), Vec::<String>::new());
    for words in ["redis://nudged:canary-of-redis@127.0.0.1:1", "user=hot-17"] {
        assert_eq!(wrong_in_log(&line(1, words)).len(), 1, "{words}");
    }
    assert_eq!(wrong_in_log(&line(1, "away").repeat(LINES_A_SECOND_MAX + 1)).len(), 1);
}

fn wrong_in_log(text: &str) -> Vec<String> {
    let told = |line: &&str| PASSWORDS.iter().chain(&USERS).any(|word| line.contains(word));
    let mut wrong: Vec<String> =
        text.lines().filter(told).map(|line| format!("a log tells {line}")).collect();
    let floods = by_second(text).into_iter().filter(|(_, count)| *count > LINES_A_SECOND_MAX);
    wrong.extend(floods.map(|(second, count)| format!("{count} lines of a log at {second}")));
    wrong
}

fn by_second(text: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in LogLine::all(text) {
        *counts.entry(line.time[..SECOND].to_owned()).or_default() += 1;
    }
    counts
}

fn each_file(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => each_file(&path, look),
            // A socket is none that can be read.
            false => drop(fs::read(&path).map(|bytes| look(&path, &bytes))),
        }
    }
}
