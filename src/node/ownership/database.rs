//! Whether a directory belongs to the database that the configuration names: a directory that was
//! moved into another one, or served with another, would have its users forgotten without a word.
//! The database is asked, since a name may change and still mean the same; where it can't be asked,
//! the names are compared.

use std::path::Path;

use super::{StoreMark, mark, users_of, write};
use crate::node::failure::Failure;
use crate::node::migration::target::set_name;
use nudged_base::ids::Sequence;
use nudged_config::Config;
use nudged_journal::disk::DiskRead;
use nudged_journal::recovery;
use nudged_runtime::threads::sql_writer::CheckStore;
use nudged_store::sqlite::Peek;
use nudged_store::{Store, StoreError};

/// Whether the database can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckTime {
    /// It is away, or lets nobody in.
    Unreachable,
    /// It answered a moment ago; where it fails now, the names tell.
    AtStart,
    /// It answers after a start without it: where it fails it is asked again.
    Late,
}

/// Looks whether the database knows the directory that a node serves with it, or is about to.
///
/// # Errors
/// Where it is another one: exit code 4, with the number of users here, the database that has them
/// and what mends it. A late one also where it fails.
pub fn check(
    config: &Config,
    disk: &impl DiskRead,
    (sql, time): (&mut Store, CheckTime),
) -> Result<(), Failure> {
    let path = &config.data;
    let found = mark(path)?;
    let own = sql.server_name();
    let recorded = match &found {
        StoreMark::None => return Ok(()),
        StoreMark::Mysql(server) => server.as_deref(),
        StoreMark::Moved(moved) => Some(moved.server.as_str()),
    };
    let is_elsewhere = recorded.is_some_and(|recorded| are_apart(recorded, &own));
    let mut ask = || is_known(disk, path, (&found, sql), is_elsewhere);
    let is_known = match time {
        CheckTime::Unreachable => None,
        CheckTime::AtStart => pass(ask())?,
        CheckTime::Late => ask()?,
    };
    // A server has many addresses, such as a proxy's: without an answer only the database tells.
    let is_same = || recorded.is_none_or(|recorded| parts(recorded).1 == parts(&own).1);
    if is_known.unwrap_or_else(is_same) {
        return Ok(());
    }
    let said = match time {
        CheckTime::Unreachable => "can't be asked about it at the moment",
        CheckTime::AtStart | CheckTime::Late => "does not know it",
    };
    let users = users(path, disk, &found);
    let recorded = recorded.map_or("another database".to_owned(), str::to_owned);
    Err(Failure::directory(path)(format!(
        "its {users} users are in {recorded}, but mysql.url names {own}, which {said}: users \
             would be shown popups again. Set mysql.url to {recorded}, or choose another data \
             directory; to move users between databases, run `nudged export --config FILE users` \
             with the configuration of the one and `nudged import` with that of the other"
    )))
}

/// Whether a database may be another one than has the directory's users: it has some.
///
/// # Errors
/// Where the directory can't be read.
pub fn is_doubtful(config: &Config, disk: &impl DiskRead) -> Result<bool, Failure> {
    let refused = Failure::directory(&config.data);
    Ok(match mark(&config.data)? {
        StoreMark::None => false,
        StoreMark::Mysql(_) => recovery::set_of(disk).map_err(refused)?.is_some(),
        StoreMark::Moved(_) => true,
    })
}

/// Looks at a database that could not be asked at the start, before anything is written there; what
/// it gives is for the writer.
pub fn late_check(config: &Config, disk: impl DiskRead + Send + 'static) -> CheckStore {
    let config = config.clone();
    Box::new(move |store| {
        let Some(sql) = store.shared() else { return Ok(None) };
        match check(&config, &disk, (sql, CheckTime::Late)) {
            Ok(()) => {
                sql.let_others_ask();
                note(&config, sql);
                Ok(None)
            }
            Err(Failure::Store(error)) => Err(error),
            Err(failure) => Ok(Some(failure.to_string())),
        }
    })
}

/// A failure that may pass, or is one of rights, leaves unanswered what was asked.
fn pass(answer: Result<Option<bool>, Failure>) -> Result<Option<bool>, Failure> {
    match answer {
        Err(Failure::Store(error)) if error.may_pass() || error.is_refusal() => Ok(None),
        answer => answer,
    }
}

/// Whether the database knows the directory; `None` where nothing says so or otherwise.
fn is_known(
    disk: &impl DiskRead,
    path: &Path,
    (mark, sql): (&StoreMark, &mut Store),
    is_elsewhere: bool,
) -> Result<Option<bool>, Failure> {
    let refused = Failure::directory(path);
    let id = match mark {
        StoreMark::Moved(moved) => moved.id.clone(),
        _ => None,
    };
    let is_moved = matches!(mark, StoreMark::Moved(_));
    let set = match id {
        Some(id) => Some(id),
        None => recovery::set_of(disk).map_err(refused)?.map(set_name),
    };
    let Some(set) = set else { return Ok((!is_moved).then_some(true)) };
    if sql.knows_set(&set).map_err(Failure::Store)? {
        return Ok(Some(true));
    }
    // A journal that was begun while MySQL was away is unknown there and complete here. Once its
    // beginning is gone, some database has it.
    let is_whole = recovery::retired(disk).map_err(Failure::directory(path))? == Sequence(0);
    Ok(Some(!is_moved && is_whole && !is_elsewhere))
}

/// Users of the directory: those of the database that was moved, or of the journal.
fn users(path: &Path, disk: &impl DiskRead, mark: &StoreMark) -> u64 {
    let moved = || -> Result<Option<u64>, StoreError> {
        Peek::open(path)?.map(|peek| peek.users()).transpose()
    };
    if let (StoreMark::Moved(_), Ok(Some(users))) = (mark, moved()) {
        return users;
    }
    let set = recovery::set_of(disk).unwrap_or_default();
    let users = set.and_then(|set| users_of(disk, set)).unwrap_or_default();
    u64::try_from(users.len()).unwrap_or(u64::MAX)
}

/// Notes which database has the directory's users, once that database knows its journal.
pub fn note(config: &Config, sql: &Store) {
    let own = sql.server_name();
    let is_noted = match mark(&config.data) {
        Ok(StoreMark::Mysql(server)) => server.as_deref() == Some(&own),
        _ => true,
    };
    if !is_noted {
        // A disk that takes nothing now takes it at the next start; the database can be asked.
        let _ = write(&config.data, &format!("{} at {own}\n", super::MYSQL));
    }
}

/// Whether two names, hosts and a database, have no host in common or are of two databases. A list
/// of hosts may have got one more.
fn are_apart(one: &str, other: &str) -> bool {
    let ((hosts, database), (others, other_database)) = (parts(one), parts(other));
    database != other_database || !hosts.iter().any(|host| others.contains(host))
}

/// The hosts and the database of a name.
fn parts(name: &str) -> (Vec<&str>, &str) {
    let name = name.strip_prefix("mysql ").unwrap_or(name);
    let (hosts, database) = name.rsplit_once('/').unwrap_or((name, ""));
    let host = |host| str::strip_suffix(host, ":3306").unwrap_or(host);
    (hosts.split(',').map(host).collect(), database)
}

#[cfg(test)]
mod tests {
    use super::super::Moved;
    use super::*;

    #[test]
    fn names_are_apart_where_nothing_says_that_they_mean_the_same() {
        let table = [
            ("db:3306/nudged", "db:3306/nudged", false),
            ("db:3306/nudged", "db:3306/other", true),
            ("db:3306/nudged", "db:3307/nudged", true),
            ("one:3306/nudged", "two:3306,one:3306/nudged", false),
            ("mysql one,two/nudged", "mysql two:3306/nudged", false),
        ];
        for (one, other, wanted) in table {
            assert_eq!(are_apart(one, other), wanted, "{one} {other}");
            assert_eq!(are_apart(other, one), wanted, "{other} {one}");
        }
    }

    #[test]
    fn a_mark_says_where_the_users_are() {
        let directory = tempfile::tempdir().unwrap();
        let moved = |server: &str, id: Option<&str>| {
            StoreMark::Moved(Moved { server: server.to_owned(), id: id.map(str::to_owned) })
        };
        let table = [
            ("mysql", StoreMark::Mysql(None)),
            ("mysql\n", StoreMark::Mysql(None)),
            ("mysql at mysql h:1/d\n", StoreMark::Mysql(Some("mysql h:1/d".to_owned()))),
            ("moved to x\n", moved("x", None)),
            ("moved to mysql h:1/d as 0f\n", moved("mysql h:1/d", Some("0f"))),
        ];
        for (text, wanted) in table {
            std::fs::write(directory.path().join("store"), text).unwrap();
            assert_eq!(mark(directory.path()).unwrap(), wanted, "{text}");
        }
        std::fs::write(directory.path().join("store"), "else\n").unwrap();
        assert!(mark(directory.path()).is_err());
    }
}
