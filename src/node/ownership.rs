//! Which store a data directory belongs to. A node that served a directory of another store would
//! know nobody in it and show everybody everything again, so it does not start.
//!
//! | directory | served with `[mysql]` | served embedded |
//! |---|---|---|
//! | nothing in it | yes, marked `mysql` | yes |
//! | `nudged.db` with a journal's records | refused | yes, with that journal or none |
//! | marked `mysql`, with a journal | where that MySQL knows it | refused |
//! | marked `moved` | where that MySQL knows it | refused |
//! | a journal whose beginning is kept nowhere | where MySQL has it | refused |
//!
//! The mark is the first word of the file `store`: `mysql at SERVER/DATABASE`, or
//! `moved to SERVER/DATABASE as ID`, where `ID` is what that database knows the directory by.
//! `database` asks it.

pub(super) mod database;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hashbrown::HashSet;
use rustix::fs::{FlockOperation, flock};

use super::failure::Failure;
use super::stopped_journal;
use nudged_base::ids::{Sequence, UserKey};
use nudged_config::Config;
use nudged_journal::disk::DiskRead;
use nudged_journal::recovery;
use nudged_journal::segment::SetId;
use nudged_runtime::whole_file;
use nudged_store::StoreError;
use nudged_store::sqlite::Peek;

/// Name of the file.
const FILE: &str = "store";
/// A node with `[mysql]` has served it.
const MYSQL: &str = "mysql";
/// `nudged migrate --from` has moved its users into MySQL.
const MOVED: &str = "moved";

/// What the mark of a directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreMark {
    /// There is none.
    None,
    /// A node with `[mysql]` has served it; the server and its database, once that knew it.
    Mysql(Option<String>),
    /// Its users were moved.
    Moved(Moved),
}

/// Where the users of a directory are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// The server and its database.
    pub(super) server: String,
    /// What `streams` has for the directory there; `None` where an older version moved it.
    pub(super) id: Option<String>,
}

/// Reads the mark of a directory.
///
/// # Errors
/// Where the file can't be read.
pub(super) fn mark(directory: &Path) -> Result<StoreMark, Failure> {
    let text = match std::fs::read_to_string(directory.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(StoreMark::None),
        Err(error) => return Err(Failure::directory(directory)(format!("{FILE}: {error}"))),
    };
    let (first, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    // Behind a word that says what it is.
    let value = |part: &str| Some(part.split_once(' ')?.1.trim().to_owned());
    match first {
        MYSQL => Ok(StoreMark::Mysql(value(rest))),
        MOVED => {
            let (server, id) = match rest.rsplit_once(" as ") {
                Some((server, id)) => (server, Some(id.trim().to_owned())),
                None => (rest, None),
            };
            Ok(StoreMark::Moved(Moved { server: value(server).unwrap_or_default(), id }))
        }
        _ => Err(Failure::directory(directory)(format!("{FILE}: expected `{MYSQL}` or `{MOVED}`"))),
    }
}

/// Who holds the lock of a data directory, where somebody does.
pub(super) fn holder(directory: &Path) -> Option<String> {
    let mut file = File::open(directory.join("journal/lock")).ok()?;
    // Given back at once: the lock of a node is exclusive, so that a shared one is refused.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => {
            let mut text = String::new();
            let is_number = file.read_to_string(&mut text).is_ok() && text.parse::<u32>().is_ok();
            Some(if is_number { format!("process {text}") } else { "another process".to_owned() })
        }
    }
}

/// Marks a directory as moved into a database, which knows it by this id, durably.
///
/// # Errors
/// Where it can't be written.
pub(super) fn mark_moved(directory: &Path, database: &str, id: &str) -> Result<(), Failure> {
    write(directory, &format!("{MOVED} to {database} as {id}\n"))
}

fn write(directory: &Path, text: &str) -> Result<(), Failure> {
    let written = whole_file::write(directory, FILE, text.as_bytes());
    written.map_err(|error| Failure::directory(directory)(format!("{FILE}: {error}")))
}

/// Looks whether a directory, whose lock is held, is of the store that the configuration names;
/// marks it where a node with `[mysql]` takes it. `file` is the configuration's, for the message.
/// With `salvage` a journal whose beginning is missing is not refused here.
///
/// # Errors
/// Where it is another store's: exit code 4, with the number of users in it and what mends it.
pub(super) fn check(
    config: &Config,
    file: Option<&Path>,
    disk: &impl DiskRead,
    salvage: bool,
) -> Result<(), Failure> {
    let directory = Directory { path: &config.data, disk, file };
    match config.mysql.url {
        Some(_) => directory.check_shared(),
        None => directory.check_own(salvage),
    }
}

struct Directory<'a, D> {
    path: &'a Path,
    disk: &'a D,
    file: Option<&'a Path>,
}

impl<D: DiskRead> Directory<'_, D> {
    fn check_shared(&self) -> Result<(), Failure> {
        if mark(self.path)? != StoreMark::None {
            return Ok(());
        }
        let peek = Peek::open(self.path)?;
        let is_used = |peek: &Peek| Ok::<_, StoreError>(peek.streams()? > 0 || peek.users()? > 0);
        let Some(peek) = peek else { return write(self.path, MYSQL) };
        if !is_used(&peek)? {
            return write(self.path, MYSQL);
        }
        let users = self.users_of_both(&peek)?;
        let file = self.file.map_or(PathBuf::from("FILE"), Path::to_path_buf);
        let otherwise = match users {
            0 => "empty it, if no popups of the admin API are in it",
            _ => "choose another data directory",
        };
        Err(self.refused(format!(
            "it belongs to a node without [mysql] and has {users} users that are not in mysql.url: \
             move them there with `nudged migrate --config {} --from {}`, or {otherwise}",
            file.display(),
            self.path.display()
        )))
    }

    fn check_own(&self, salvage: bool) -> Result<(), Failure> {
        let set = recovery::set_of(self.disk).map_err(|error| self.refused(error.to_string()))?;
        match mark(self.path)? {
            StoreMark::Moved(Moved { server, .. }) => {
                let users = self.users_in_database()?;
                return Err(self.refused(format!(
                    "its {users} users were moved to {server}: set mysql.url to that database; \
                     without it, decisions would rest on what the directory had before the move"
                )));
            }
            StoreMark::Mysql(_) if set.is_some() => return Err(self.is_shared(set)),
            StoreMark::Mysql(_) | StoreMark::None => {}
        }
        match set {
            Some(set) if !salvage => self.check_journal(set),
            _ => Ok(()),
        }
    }

    fn is_shared(&self, set: Option<SetId>) -> Failure {
        let users = set.map_or(0, |set| self.users_in_journal(set).len());
        self.refused(format!(
            "it belongs to a node with [mysql]: its users are in that database, {users} of them in \
             the journal here: serve it with that configuration; to continue without MySQL, run \
             `nudged export --config FILE users` (and popups, stats) with that configuration, \
             `nudged import` each into an empty data directory, and serve that one"
        ))
    }

    /// Whether the journal goes on where the database ends.
    fn check_journal(&self, set: SetId) -> Result<(), Failure> {
        let failed = |error: recovery::RecoverError| self.refused(error.to_string());
        let retired = recovery::retired(self.disk).map_err(failed)?;
        let peek = Peek::open(self.path)?;
        let streams = peek.as_ref().map_or(Ok(0), Peek::streams)?;
        let position = match &peek {
            Some(peek) => peek.position(set.0.to_le_bytes())?,
            None => None,
        };
        let users = || self.users_in_journal(set).len();
        match position {
            None if streams > 0 => Err(self.refused(format!(
                "nudged.db does not belong to this journal (was a backup restored into a directory \
                 in use?): nudged.db has {} users, the journal {}. Move {} away to continue from \
                 nudged.db alone, or restore into an empty directory",
                self.users_in_database()?,
                users(),
                self.path.join("journal").display()
            ))),
            None if retired > Sequence(0) => Err(self.refused(format!(
                "the journal begins at record {}, and no nudged.db has the records before it (was \
                 the directory served with [mysql], or nudged.db removed?): {} users are in the \
                 journal. Serve it with its former configuration, or restore nudged.db into an \
                 empty directory; `nudged serve --salvage` continues with what the journal has",
                retired.0 + 1,
                users()
            ))),
            Some(position) if position < retired => Err(self.refused(format!(
                "nudged.db is older than this journal (was a backup restored into a directory in \
                 use?): it has the records up to {}, but the journal begins at {}. Move {} away to \
                 continue from nudged.db alone with its {} users, or restore into an empty \
                 directory; `nudged serve --salvage` continues without the records in between",
                position.0,
                retired.0 + 1,
                self.path.join("journal").display(),
                self.users_in_database()?
            ))),
            _ => Ok(()),
        }
    }

    fn users_in_database(&self) -> Result<u64, Failure> {
        Ok(Peek::open(self.path)?.map_or(Ok(0), |peek| peek.users())?)
    }

    /// Users of the database and of the journal together.
    fn users_of_both(&self, peek: &Peek) -> Result<u64, Failure> {
        let mut users = peek.users()?;
        let set = recovery::set_of(self.disk).unwrap_or_default();
        for user in set.map_or(HashSet::new(), |set| self.users_in_journal(set)) {
            users += u64::from(!peek.has_user(&user)?);
        }
        Ok(users)
    }

    /// The users of the records that the journal keeps. One that can't be read tells nothing.
    fn users_in_journal(&self, set: SetId) -> HashSet<String> {
        users_of(self.disk, set).unwrap_or_default()
    }

    fn refused(&self, problem: String) -> Failure {
        Failure::directory(self.path)(problem)
    }
}

/// The users of a journal's records, without those whose latest one is their erase; `None` where
/// the journal can't be read. Allocates all of them.
fn users_of(disk: &impl DiskRead, set: SetId) -> Option<HashSet<String>> {
    let (mut tail, end) = stopped_journal::kept(disk, set).ok()?;
    let mut users: HashSet<String> = HashSet::new();
    let mut keys: HashSet<UserKey> = HashSet::new();
    while let Some(batch) = tail.next(disk, end).ok()? {
        for record in batch.into_iter().filter_map(|(_, record)| record.ok()) {
            let user = record.user();
            let key = UserKey::of(user.as_bytes());
            if matches!(record, nudged_journal::record::Record::Erase { .. }) {
                keys.remove(&key);
                users.remove(user);
            } else if keys.insert(key) {
                users.insert(user.to_owned());
            }
        }
    }
    Some(users)
}
