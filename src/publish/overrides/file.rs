//! The node's own files, of pauses and archives and, once there is one, of operators' tokens: all
//! that it knows, as lines of JSON, which a start without SQL and Redis reads. Where not all fit,
//! those that SQL has are left out, the ended ones first.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Destination;
use super::entry::{CarriedEntry, fill};
use nudged_base::limits::{OPERATOR_TOKENS_FILE_BYTES, OVERRIDES_FILE_BYTES, OVERRIDES_RETRY_MS};
use nudged_base::telemetry::log::Message;
use nudged_domain::catalog::overrides::{HeldOverride, Override, OverridePlace, Overrides};
use nudged_domain::operators::{OperatorToken, OperatorTokens};
use nudged_runtime::two_copies::{self, TwoCopies};

/// The file's name in the data directory.
pub(super) const FILE_NAME: &str = "overrides";
/// That of tokens.
pub(super) const TOKENS_NAME: &str = "tokens";

/// The entries of the file; none where there is no file. A line that is no entry is passed over.
///
/// # Errors
/// What the system says of a file that is there.
pub(super) fn read(directory: &Path) -> io::Result<Vec<Override>> {
    read_lines(&directory.join(FILE_NAME), OVERRIDES_FILE_BYTES)
}

/// The tokens of the file; none where there is no file. A line that is no token is passed over.
///
/// # Errors
/// What the system says of a file that is there.
pub(super) fn read_tokens(directory: &Path) -> io::Result<Vec<OperatorToken>> {
    read_lines(&directory.join(TOKENS_NAME), OPERATOR_TOKENS_FILE_BYTES)
}

fn read_lines<E: CarriedEntry>(path: &Path, bytes: usize) -> io::Result<Vec<E>> {
    let body = two_copies::read(path, bytes)?;
    let text = body.and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
    Ok(text.lines().filter_map(E::decode).collect())
}

/// Keeps the files, until it is stopped.
pub(super) fn run(destination: Destination, directory: &Path) {
    let mut overrides = KeptFile::new(directory.join(FILE_NAME), OVERRIDES_FILE_BYTES);
    let mut tokens = KeptFile::new(directory.join(TOKENS_NAME), OPERATOR_TOKENS_FILE_BYTES);
    let rest = Duration::from_millis(OVERRIDES_RETRY_MS);
    while !destination.is_stopped() {
        if !keep_tokens(&destination, &mut tokens) {
            destination.rest(rest);
        }
        if keep_overrides(&destination, &mut overrides) {
            destination.succeeded();
            destination.wait(rest);
        } else {
            destination.rest(rest);
        }
    }
    // What was paused while this one was told to end is for the process that comes next.
    keep_tokens(&destination, &mut tokens);
    keep_overrides(&destination, &mut overrides);
}

/// Makes the file of overrides, which is there before it is needed, and writes it where it lacks
/// any; whether that works.
fn keep_overrides(destination: &Destination, file: &mut KeptFile) -> bool {
    let kept = file.open().map(drop).and_then(|()| {
        file.keep(destination, |bytes_max| {
            destination.publisher.with_overrides(|overrides| lines(overrides, bytes_max))
        })
    });
    file.tell(destination, "", kept)
}

/// Writes the file of tokens where it lacks any; there is none before the first. Whether that
/// works.
fn keep_tokens(destination: &Destination, file: &mut KeptFile) -> bool {
    let kept = file.keep(destination, |bytes_max| {
        destination.publisher.with_tokens(|tokens| token_lines(tokens, bytes_max))
    });
    file.tell(destination, "operators' tokens: ", kept)
}

/// A file that is kept; open once it was needed.
struct KeptFile {
    path: PathBuf,
    bytes: usize,
    file: Option<TwoCopies>,
}

impl KeptFile {
    fn new(path: PathBuf, bytes: usize) -> KeptFile {
        KeptFile { path, bytes, file: None }
    }

    fn open(&mut self) -> io::Result<&mut TwoCopies> {
        Ok(match &mut self.file {
            Some(open) => open,
            none => none.insert(TwoCopies::open(&self.path, self.bytes)?.0),
        })
    }

    /// Writes what `lines` gives, where the file lacks any of it.
    fn keep<E: CarriedEntry>(
        &mut self,
        destination: &Destination,
        lines: impl FnOnce(usize) -> (String, Vec<E>, bool),
    ) -> io::Result<()> {
        if E::due(destination, 1).is_empty() {
            return Ok(());
        }
        let open = self.open()?;
        let (body, kept, has_all) = lines(open.body_bytes_max());
        open.write(body.as_bytes())?;
        // It survives the end of the process by now, and the machine's once it is synced.
        E::mark(destination, &kept);
        open.sync()?;
        if has_all { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    /// Reports what failed; the file is opened anew. Whether nothing did.
    fn tell(&mut self, destination: &Destination, what: &str, kept: io::Result<()>) -> bool {
        let Err(error) = kept else { return true };
        self.file = None;
        let text = format!("{what}{}: {error}", self.path.display());
        destination.failed(Message::OverridesFile, &text);
        false
    }
}

/// As many tokens as fit, those first that are needed most; and whether all are among them that SQL
/// does not have. More than fit are so many only where SQL has been away for ever so long.
fn token_lines(tokens: &OperatorTokens, bytes_max: usize) -> (String, Vec<OperatorToken>, bool) {
    let all = tokens.by_need().into_iter();
    fill(all.map(|token| (token, tokens.stored(token.id) == OverridePlace::Sql)), bytes_max)
}

/// As many entries as fit, those first that nobody else may know; and whether all are among them
/// that SQL does not have.
fn lines(overrides: &Overrides, bytes_max: usize) -> (String, Vec<Override>, bool) {
    let mut all: Vec<&HeldOverride> = overrides.all().collect();
    all.sort_by_key(|held| (held.is_in(OverridePlace::Sql), held.entry.end.is_some()));
    let all = all.iter().map(|held| (&held.entry, held.is_in(OverridePlace::Sql)));
    fill(all, bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::WallMs;
    use nudged_domain::catalog::overrides::{OverrideId, OverrideKind, decode, encode};
    use nudged_domain::ended::Ended;
    use nudged_domain::operators::{OperatorRole, OperatorTokenId};

    fn entry(id: u128, ended: bool) -> Override {
        let end = ended.then(|| Ended { at: WallMs(9), who: "bob".into() });
        let (popup, who) = ("p".repeat(64).into(), "w".repeat(100).into());
        Override { id: OverrideId(id), popup, kind: OverrideKind::Archive, at: WallMs(1), who, end }
    }

    #[test]
    fn what_only_this_node_knows_comes_first() {
        let mut overrides = Overrides::default();
        overrides.take(&entry(1, false), OverridePlace::Sql);
        overrides.take(&entry(2, true), OverridePlace::Sql);
        overrides.take(&entry(3, true), OverridePlace::Redis);
        overrides.take(&entry(4, false), OverridePlace::Memory);
        let ids = |bytes_max: usize| -> (Vec<u128>, usize, bool) {
            let (body, entries, has_all) = lines(&overrides, bytes_max);
            assert!(body.len() <= bytes_max);
            let ids = body.lines().map(|line| decode(line).unwrap().id.0);
            (ids.collect(), entries.len(), has_all)
        };
        assert_eq!(ids(10_000), (vec![4, 3, 1, 2], 4, true));
        assert_eq!(ids(600), (vec![4, 3], 4, true));
        assert_eq!(ids(300), (vec![4], 3, false));
        assert_eq!(ids(10), (vec![], 2, false));
    }

    #[test]
    fn a_token_that_found_no_room_is_not_said_to_be_kept() {
        let mut tokens = OperatorTokens::default();
        for (id, place) in [(1, OverridePlace::Sql), (2, OverridePlace::Memory)] {
            let token = OperatorToken {
                id: OperatorTokenId(id),
                name: format!("t{id}").into(),
                role: OperatorRole::Viewer,
                hash: [u8::try_from(id).unwrap(); 32],
                at: WallMs(1),
                who: "ann".into(),
                expires: None,
                end: None,
            };
            tokens.take(&token, place);
        }
        let kept = |bytes_max: usize| -> (usize, Vec<u128>, bool) {
            let (body, kept, has_all) = token_lines(&tokens, bytes_max);
            let mut ids: Vec<u128> = kept.iter().map(|token| token.id.0).collect();
            ids.sort_unstable();
            (body.lines().count(), ids, has_all)
        };
        assert_eq!(kept(10_000), (2, vec![1, 2], true));
        assert_eq!(kept(10), (0, vec![1], false), "the other one is nowhere else");
    }

    #[test]
    fn a_damaged_file_is_called_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        for (name, what) in [(FILE_NAME, "pauses and archives"), (TOKENS_NAME, "tokens")] {
            std::fs::write(directory.path().join(name), "x".repeat(100)).unwrap();
            let error = match name {
                FILE_NAME => read(directory.path()).unwrap_err(),
                _ => read_tokens(directory.path()).unwrap_err(),
            };
            let said = super::super::put_aside(directory.path(), name, &error);
            assert!(said.contains(what) && said.contains("both copies are damaged"), "{said}");
        }
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), []);
        let path = directory.path().join(FILE_NAME);
        let (mut file, _) = TwoCopies::open(&path, OVERRIDES_FILE_BYTES).unwrap();
        let text = format!("{}\nnothing\n{}\n", encode(&entry(1, false)), encode(&entry(2, true)));
        file.write(text.as_bytes()).unwrap();
        assert_eq!(read(directory.path()).unwrap(), [entry(1, false), entry(2, true)]);
    }
}
