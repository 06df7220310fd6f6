//! `POST /v1/backup`: what `nudged backup` asks before it copies. The copy itself is made by that
//! command, with the rights and in the directory of whoever runs it.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::answer::AdminAnswer;
use super::service::Service;
use nudged_base::limits::{BACKUP_LOOK_MS, BACKUP_WAIT_MS};
use nudged_store::sqlite;

/// Answers once SQL has everything that was acknowledged before: with the database's file, and by
/// which numbers the system knows it.
///
/// # Errors
/// The answer that refuses it: where the node keeps nothing in a file, and where SQL does not catch
/// up in time.
pub(super) fn answer(service: &Service) -> Result<AdminAnswer, AdminAnswer> {
    let config = service.publisher.config();
    if config.mysql.url.is_some() {
        let how = "this node keeps its users in MySQL: back that database up, for example with \
                   `mysqldump --single-transaction` or `mariadb-backup`";
        return Err(AdminAnswer::errors(409, "not_embedded", None, &[how.to_owned()]));
    }
    let journal = &service.mesh.journal;
    let through = journal.written();
    let deadline = Instant::now() + Duration::from_millis(BACKUP_WAIT_MS);
    while journal.applied() < through {
        if Instant::now() >= deadline {
            return Err(AdminAnswer::unavailable("sql_behind"));
        }
        std::thread::sleep(Duration::from_millis(BACKUP_LOOK_MS));
    }
    let file = config.data.join(sqlite::FILE_NAME);
    let found = file.canonicalize().and_then(|path| Ok((path.metadata()?, path)));
    let (metadata, path) = found.map_err(|error| {
        let problem = format!("{}: {error}", file.display());
        AdminAnswer::errors(500, "sql_unusable", None, &[problem])
    })?;
    let value = json!({
        "database": path.to_string_lossy(),
        "device": metadata.dev(),
        "inode": metadata.ino(),
        "records": through.0,
    });
    Ok(AdminAnswer::json(200, &value))
}
