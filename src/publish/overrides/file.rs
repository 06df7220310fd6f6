//! The node's own files, of pauses and archives and, once there is one, of operators' tokens: all
//! that it knows, as lines of JSON, which a start without SQL and Redis reads. Where not all fit,
//! those that SQL has are left out, the ended ones first.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Destination;
use nudged_base::limits::{OPERATOR_TOKENS_FILE_BYTES, OVERRIDES_FILE_BYTES, OVERRIDES_RETRY_MS};
use nudged_base::telemetry::log::Message;
use nudged_domain::catalog::overrides::{
    HeldOverride, Override, OverridePlace, Overrides, decode, encode,
};
use nudged_domain::operators::{self, OperatorToken, OperatorTokens};
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
    let body = two_copies::read(&directory.join(FILE_NAME), OVERRIDES_FILE_BYTES)?;
    let text = body.and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
    Ok(text.lines().filter_map(decode).collect())
}

/// The tokens of the file; none where there is no file. A line that is no token is passed over.
///
/// # Errors
/// What the system says of a file that is there.
pub(super) fn read_tokens(directory: &Path) -> io::Result<Vec<OperatorToken>> {
    let body = two_copies::read(&directory.join(TOKENS_NAME), OPERATOR_TOKENS_FILE_BYTES)?;
    let text = body.and_then(|body| String::from_utf8(body).ok()).unwrap_or_default();
    Ok(text.lines().filter_map(operators::decode).collect())
}

/// Keeps the files, until it is stopped.
pub(super) fn run(destination: Destination, directory: &Path) {
    let (path, tokens_path) = (directory.join(FILE_NAME), directory.join(TOKENS_NAME));
    let (mut file, mut tokens): (Option<TwoCopies>, Option<TwoCopies>) = (None, None);
    while !destination.is_stopped() {
        if let Err(error) = keep_tokens(&destination, &tokens_path, &mut tokens) {
            tokens = None;
            let text = format!("operators' tokens: {}: {error}", tokens_path.display());
            destination.failed(Message::OverridesFile, &text);
            destination.rest(Duration::from_millis(OVERRIDES_RETRY_MS));
        }
        match keep(&destination, &path, &mut file) {
            Ok(()) => {
                destination.succeeded();
                destination.wait(Duration::from_millis(OVERRIDES_RETRY_MS));
            }
            Err(error) => {
                file = None;
                destination.failed(Message::OverridesFile, &format!("{}: {error}", path.display()));
                destination.rest(Duration::from_millis(OVERRIDES_RETRY_MS));
            }
        }
    }
    // What was paused while this one was told to end is for the process that comes next.
    if let Err(error) = keep_tokens(&destination, &tokens_path, &mut tokens) {
        let text = format!("operators' tokens: {}: {error}", tokens_path.display());
        destination.failed(Message::OverridesFile, &text);
    }
    if let Err(error) = keep(&destination, &path, &mut file) {
        destination.failed(Message::OverridesFile, &format!("{}: {error}", path.display()));
    }
}

/// Opens the file, and writes it where it lacks anything.
fn keep(destination: &Destination, path: &Path, file: &mut Option<TwoCopies>) -> io::Result<()> {
    let open = match file {
        Some(open) => open,
        None => file.insert(TwoCopies::open(path, OVERRIDES_FILE_BYTES)?.0),
    };
    let bytes_max = open.body_bytes_max();
    let (body, entries, has_all) = destination.publisher.with_overrides(|overrides| {
        let is_due = overrides.not_in(OverridePlace::Node).next().is_some();
        if is_due { lines(overrides, bytes_max) } else { (String::new(), Vec::new(), true) }
    });
    if entries.is_empty() {
        return Ok(());
    }
    open.write(body.as_bytes())?;
    // It survives the end of the process by now, and the machine's once it is synced.
    destination.mark(&entries);
    open.sync()?;
    if has_all { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

/// Writes the file of tokens where it lacks any; there is none before the first.
fn keep_tokens(
    destination: &Destination,
    path: &Path,
    file: &mut Option<TwoCopies>,
) -> io::Result<()> {
    if destination.due_tokens().is_empty() {
        return Ok(());
    }
    let open = match file {
        Some(open) => open,
        None => file.insert(TwoCopies::open(path, OPERATOR_TOKENS_FILE_BYTES)?.0),
    };
    let bytes_max = open.body_bytes_max();
    let (body, kept, has_all) =
        destination.publisher.with_tokens(|tokens| token_lines(tokens, bytes_max));
    open.write(body.as_bytes())?;
    destination.publisher.mark_tokens(&kept, destination.place);
    open.sync()?;
    if has_all { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

/// As many tokens as fit, those first that are needed most; and whether all are among them that SQL
/// does not have. More than fit are so many only where SQL has been away for ever so long.
fn token_lines(tokens: &OperatorTokens, bytes_max: usize) -> (String, Vec<OperatorToken>, bool) {
    let all = tokens.by_need();
    let lines = all.iter().map(|token| {
        let is_in_sql = tokens.stored(token.id) == OverridePlace::Sql;
        (operators::encode(token), is_in_sql)
    });
    let (body, kept, has_all) = fill(lines, bytes_max);
    (body, kept.into_iter().map(|place| all[place].clone()).collect(), has_all)
}

/// As many entries as fit, those first that nobody else may know; and whether all are among them
/// that SQL does not have.
fn lines(overrides: &Overrides, bytes_max: usize) -> (String, Vec<Override>, bool) {
    let mut all: Vec<&HeldOverride> = overrides.all().collect();
    all.sort_by_key(|held| (held.is_in(OverridePlace::Sql), held.entry.end.is_some()));
    let lines = all.iter().map(|held| (encode(&held.entry), held.is_in(OverridePlace::Sql)));
    let (body, kept, has_all) = fill(lines, bytes_max);
    (body, kept.into_iter().map(|place| all[place].entry.clone()).collect(), has_all)
}

/// As many lines as fit, each given with whether SQL has it; the places of those that are kept,
/// here or there; and whether all are.
fn fill(
    lines: impl Iterator<Item = (String, bool)>,
    bytes_max: usize,
) -> (String, Vec<usize>, bool) {
    let (mut body, mut kept, mut has_all) = (String::new(), Vec::new(), true);
    for (place, (line, is_in_sql)) in lines.enumerate() {
        if body.len() + line.len() < bytes_max {
            body.push_str(&line);
            body.push('\n');
        } else if !is_in_sql {
            has_all = false;
            continue;
        }
        // What SQL has needs no place here.
        kept.push(place);
    }
    (body, kept, has_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::time::WallMs;
    use nudged_domain::catalog::overrides::{OverrideId, OverrideKind};
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
