//! `nudged vectors FILE...`: plays decision vectors (docs/semantics.md#decision-vectors) against
//! the real decision core with a made clock. `case` is what a file holds, `player` plays one
//! vector. Knows nothing of servers and storage.
//!
//! Exit codes: 0 every vector passed, 1 one failed, 2 a file can't be read or is not vectors. A
//! vector whose popups the catalog refuses has failed: other implementations may know them.

mod case;
mod player;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use case::Case;
use player::Player;

/// Why a file is not played.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{0}: can't be read: {1}")]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{0}: not decision vectors: {1}")]
    Malformed(PathBuf, #[source] serde_json::Error),
}

/// Plays the vectors of each file and prints each failure and, as the last line, how many passed
/// and failed, on standard output; what is wrong with a file goes to standard error, and then
/// nothing is played. Returns the exit code. Reads files and allocates.
pub fn run(files: &[PathBuf]) -> u8 {
    let code = report(files, &mut io::stdout().lock(), &mut io::stderr().lock());
    // Nobody is left to tell where the output is closed.
    code.unwrap_or(2)
}

/// Plays the vectors of a text in memory and returns each failure as a line, for tests that make
/// vectors. Allocates.
///
/// # Errors
/// Where the text is not decision vectors.
pub fn play(text: &str) -> Result<Vec<String>, serde_json::Error> {
    let cases: Vec<Case> = serde_json::from_str(text)?;
    Ok(cases.iter().flat_map(failures).collect())
}

fn failures(case: &Case) -> Vec<String> {
    let failures = Player::play(case);
    failures.iter().map(|failure| format!("{:?}: {failure}", case.name)).collect()
}

fn report(files: &[PathBuf], out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let mut loaded = Vec::new();
    let mut is_broken = false;
    for file in files {
        match load(file) {
            Ok(cases) => loaded.push((file, cases)),
            Err(error) => {
                is_broken = true;
                writeln!(errors, "{error}")?;
            }
        }
    }
    if is_broken {
        return Ok(2);
    }
    let (mut passed, mut failed) = (0_u64, 0_u64);
    for (file, cases) in loaded {
        for case in cases {
            let failures = failures(&case);
            for failure in &failures {
                writeln!(out, "{}: {failure}", file.display())?;
            }
            *(if failures.is_empty() { &mut passed } else { &mut failed }) += 1;
        }
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(u8::from(failed > 0))
}

fn load(file: &Path) -> Result<Vec<Case>, FileError> {
    let bytes = std::fs::read(file).map_err(|error| FileError::Unreadable(file.into(), error))?;
    serde_json::from_slice(&bytes).map_err(|error| FileError::Malformed(file.into(), error))
}
