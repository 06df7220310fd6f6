//! The data directory, looked at and left as it is: whether a node of this configuration could use
//! it. Opens no database, which would write beside it under another user's name.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use super::host::HostCheck;
use super::report::CheckReport;
use crate::node::ownership::{self, StoreMark};
use crate::node::{signing_keys, storage};
use nudged_config::Examined;

/// The database of an embedded node.
const DATABASE: &str = "nudged.db";
/// What every SQLite database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
const KEY: &str = "data";

/// Looks at the directory of a configuration, and at nothing else of it.
pub(in crate::node) fn look(examined: &Examined, report: &mut CheckReport) {
    check(&mut HostCheck { examined, report });
}

/// Looks at the directory of the configuration.
pub(super) fn check(look: &mut HostCheck<'_>) {
    let path = look.config().data.as_path();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return check_parent(look, path);
        }
        Err(error) => return look.error(KEY, "data_unusable", format!("{}: {error}", show(path))),
    };
    if let Err(failure) = storage::check_room_of(path) {
        look.error(KEY, "no_room", failure);
    }
    if !found.is_dir() {
        let message = format!("{} is not a directory", show(path));
        return look.error(KEY, "not_a_directory", message);
    }
    let journal = path.join("journal");
    for directory in [path, journal.as_path()].into_iter().filter(|path| path.exists()) {
        if let Err(error) = is_writable(directory) {
            let message = format!("{}: {error}", show(directory));
            return look.error(KEY, "not_writable", message);
        }
    }
    if let Some(holder) = ownership::holder(path) {
        let message =
            format!("{} is in use by {holder}: a second node would not start on it", show(path));
        look.warn(KEY, "data_in_use", message);
    }
    if let Err(error) = signing_keys::read(path) {
        look.error(KEY, "signing_keys", error);
    }
    check_store(look, path);
}

/// A directory that is not there is made, with those above it.
fn check_parent(look: &mut HostCheck<'_>, path: &Path) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let above = absolute.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
    let above = above.unwrap_or(Path::new("/"));
    if let Err(error) = is_writable(above) {
        let message = format!("{} can't be made: {}: {error}", show(path), show(above));
        return look.error(KEY, "not_writable", message);
    }
    if let Err(failure) = storage::check_room_of(path) {
        look.error(KEY, "no_room", failure);
    }
}

/// Whether files can be made in a directory.
///
/// # Errors
/// Where it is none, or this user or its volume takes no files.
fn is_writable(directory: &Path) -> io::Result<()> {
    if !fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whether the directory is of the store that is configured.
fn check_store(look: &mut HostCheck<'_>, path: &Path) {
    let mark = match ownership::mark(path) {
        Ok(mark) => mark,
        Err(failure) => return look.error(KEY, "data_unusable", failure),
    };
    let database = path.join(DATABASE);
    let is_shared = look.config().mysql.url.is_some();
    if is_shared
        && mark == StoreMark::None
        && fs::metadata(&database).is_ok_and(|found| found.len() > 0)
    {
        let message = format!(
            "{} was served without [mysql], and its users are in {DATABASE}: move them to \
             mysql.url with `nudged migrate --config FILE --from {}`, or choose another directory",
            show(path),
            show(path)
        );
        look.error(KEY, "other_store", message);
    }
    let is_of_mysql = match mark {
        StoreMark::None => false,
        StoreMark::Mysql(_) => storage::segments_of(path) > 0,
        StoreMark::Moved(_) => true,
    };
    if !is_shared && is_of_mysql {
        let message =
            format!("{} belongs to a node with [mysql], but mysql.url is not set", show(path));
        look.error(KEY, "other_store", message);
    }
    if !is_shared && let Err(error) = is_database(&database) {
        look.error(KEY, "not_a_database", format!("{}: {error}", show(&database)));
    }
}

/// Whether a file that is there begins as a database does; an empty one becomes one.
fn is_database(path: &Path) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.file_type().is_fifo() || !found.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut start = Vec::new();
    File::open(path)?.take(100).read_to_end(&mut start)?;
    if start.is_empty() || start.starts_with(MAGIC) {
        Ok(access(path, Access::READ_OK | Access::WRITE_OK)?)
    } else {
        Err(io::Error::other("damaged, or not a database"))
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
