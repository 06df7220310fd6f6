//! What an error of a MySQL server means for the writer. Knows error codes of MySQL, MariaDB and
//! TiDB; must not know statements. Never shows a server's message, which may quote a row.

use std::fmt;
use std::io::ErrorKind;

use mysql_async::{DriverError, Error, IoError};

macro_rules! failure_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $phrase:literal;)+) => {
        /// What to do about a failure depends on its kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FailureKind {
            $($(#[$doc])* $kind,)+
        }

        impl FailureKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: [FailureKind; 14] = [$(FailureKind::$kind),+];

            /// The kind's name in metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(FailureKind::$kind => $name,)+
                }
            }

            /// A phrase for the log, with what mends it where something does.
            fn phrase(self) -> &'static str {
                match self {
                    $(FailureKind::$kind => $phrase,)+
                }
            }
        }
    };
}

failure_kinds! {
    /// No connection, or it was lost, killed or given up after a timeout. Around a commit its
    /// outcome is unknown.
    Unreachable = "unreachable", "no connection";
    /// The transaction was rolled back for another one's sake (1213): again, smaller.
    Deadlock = "deadlock", "deadlock";
    /// A lock was not given in time (1205): only the statement was undone.
    LockWait = "lock_wait", "a lock was not granted in time";
    /// The statement or its transaction is larger than the server takes (1153, 1197).
    PacketTooLarge = "packet_too_large",
        "larger than the server accepts (max_allowed_packet, max_binlog_cache_size)";
    /// The server takes no writes (1290, 1792, 1836): a replica, or one that fails over.
    ReadOnly = "read_only", "the server accepts no writes: it is read-only, or a replica";
    /// No room on the server's disk (1021, 1114, 28).
    DiskFull = "disk_full", "the server's disk is full";
    /// The server has no connection or memory to give, or none to this host until it is told to
    /// (1040, 1041, 1129, 1203, 1226).
    Crowded = "crowded", "the server has no connection left";
    /// A table or column is missing (1146, 1054, 1049): `nudged migrate`.
    Schema = "schema", "a table or column is missing: run `nudged migrate`";
    /// A unique key has the row already (1062).
    Duplicate = "duplicate", "a row with the same unique key exists already";
    /// The server refuses a value (1264, 1366, 1406, 3140 and their like).
    BadData = "bad_data", "the server rejects a value";
    /// The server answers and refuses the user, the password, the host or a right (1045 and its
    /// like): a node waits for whoever mends it.
    Denied = "denied", "user, password or privileges are wrong";
    /// A file of the node's own could not be read, written or synced.
    Io = "io", "a file could not be read or written";
    /// The node's own database is damaged.
    Corrupt = "corrupt", "the database is damaged";
    /// Anything else.
    Other = "other", "failed";
}

impl FailureKind {
    /// Whether it may pass without anybody doing something.
    pub(crate) fn may_pass(self) -> bool {
        matches!(
            self,
            FailureKind::Unreachable
                | FailureKind::Deadlock
                | FailureKind::LockWait
                | FailureKind::ReadOnly
                | FailureKind::DiskFull
                | FailureKind::Crowded
        )
    }

    /// What a server's error code says more exactly than its kind, with what mends it.
    fn phrase_of_code(code: u16) -> Option<&'static str> {
        Some(match code {
            1044 => {
                "the user has no rights on this database: create it and grant them as in \
                 vendor-config/mysql/grants.sql"
            }
            1045 | 1698 => "user or password is wrong: see mysql.url",
            1251 | 1275 | 1524 => {
                "the server wants a login method that nudged does not support: create the user \
                 with IDENTIFIED VIA mysql_native_password or caching_sha2_password"
            }
            1820 | 1862 => "the user's password has expired: set a new one (ALTER USER)",
            3118 | 3955 | 4151 => {
                "the user's account is locked: unlock it (ALTER USER ... ACCOUNT UNLOCK)"
            }
            1049 => {
                "the server has no such database: create it as in vendor-config/mysql/grants.sql, \
                 then run `nudged migrate`"
            }
            1129 => {
                "the server has blocked this host after failed connections: run `mysqladmin \
                 flush-hosts` there"
            }
            1130 => {
                "the server accepts no connection from this host: create a user 'NAME'@'HOST' that \
                 matches it"
            }
            1406 => {
                "a value is longer than its column allows: run `nudged migrate` for the columns \
                 that this version needs"
            }
            1142 | 1143 | 1227 | 1370 => {
                "the user is not allowed to do this: grant the rights in \
                 vendor-config/mysql/grants.sql"
            }
            3159 => "the server accepts only TLS: add ?require_ssl=true to mysql.url",
            _ => return None,
        })
    }

    /// Whether the connection is of no use any more.
    pub(super) fn ends_connection(self) -> bool {
        matches!(
            self,
            FailureKind::Unreachable
                | FailureKind::PacketTooLarge
                | FailureKind::ReadOnly
                | FailureKind::Crowded
                // Rights on a database are looked up once a connection.
                | FailureKind::Denied
        )
    }

    /// The kind of a server's error code.
    pub(super) fn of_code(code: u16) -> FailureKind {
        match code {
            // 1020 is MariaDB's conflict of snapshots, 1412 a table that was altered meanwhile,
            // 3101 a conflict of group replication; the last four are TiDB's of writes and tables.
            1020 | 1213 | 1412 | 3101 | 8002 | 8022 | 8028 | 9007 => FailureKind::Deadlock,
            // 1206: the server has no room for more locks.
            1205 | 1206 | 3572 => FailureKind::LockWait,
            // 1197 is what the binary log takes, the last two what TiDB takes.
            1153 | 1197 | 8004 | 8025 => FailureKind::PacketTooLarge,
            // 1036: the server was started to save what is left, and opens tables for reading.
            1036 | 1290 | 1792 | 1836 => FailureKind::ReadOnly,
            // 1026: a file, such as the binary log, could not be written to.
            28 | 1021 | 1026 | 1030 | 1114 => FailureKind::DiskFull,
            // 1129 blocks a host that broke too many connections off, 1037 and 1038 are memory,
            // 1135 is a thread.
            1037 | 1038 | 1040 | 1041 | 1129 | 1135 | 1203 | 1226 => FailureKind::Crowded,
            1049 | 1054 | 1146 => FailureKind::Schema,
            1062 | 1586 => FailureKind::Duplicate,
            1048 | 1264 | 1265 | 1292 | 1300 | 1364 | 1366 | 1406 | 3140 | 3819 | 4025 => {
                FailureKind::BadData
            }
            // Rights, for a user whom the server lets in.
            1142 | 1143 | 1227 | 1370 => FailureKind::Denied,
            // Users whom it does not: rights on the database, password, host, way to log in,
            // password that has expired, TLS, account that is locked.
            1044 | 1045 | 1130 | 1251 | 1275 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 3955
            | 4151 => FailureKind::Denied,
            // 1042 is a host whose name the server can't look up, 1043 a greeting that was cut
            // short, 1047 a node of Galera that is not of its cluster now, 3032 a server in offline
            // mode. 1969 and 3024 are statements that took too long for the server, 4031 a
            // connection that was idle for too long; the last are TiDB's, whose own servers are
            // away.
            1042
            | 1043
            | 1047
            | 1053
            | 1079
            | 1152
            | 1158..=1161
            | 1184
            | 1317
            | 1927
            | 1969
            | 2006
            | 2013
            | 3024
            | 3032
            | 3169
            | 4031
            | 9001..=9005 => FailureKind::Unreachable,
            _ => FailureKind::Other,
        }
    }
}

/// A failure of a server or of the way to it.
#[derive(Debug)]
pub struct ServerFailure {
    kind: FailureKind,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Library(Box<Error>),
    Timeout,
    Held,
    Unreadable,
    TooLarge { bytes: usize, bytes_max: usize },
}

impl ServerFailure {
    /// A statement or a connect took too long.
    pub(super) fn timeout() -> ServerFailure {
        ServerFailure { kind: FailureKind::Unreachable, cause: Cause::Timeout }
    }

    /// It was not asked: it is not known yet whether it has this node's users.
    pub(super) fn held() -> ServerFailure {
        ServerFailure { kind: FailureKind::Unreachable, cause: Cause::Held }
    }

    /// As a server gives it with this error code, for tests of what it leads to.
    #[cfg(test)]
    pub(crate) fn of_code(code: u16) -> ServerFailure {
        let (message, state) = (String::new(), "HY000".to_owned());
        Error::Server(mysql_async::ServerError { code, message, state }).into()
    }

    /// A row is not of the shape that the schema has.
    pub(super) fn unreadable() -> ServerFailure {
        ServerFailure { kind: FailureKind::Other, cause: Cause::Unreadable }
    }

    /// A statement is larger than the server takes, and was not sent: it would end the connection
    /// without a word of the reason.
    pub(super) fn too_large(bytes: usize, bytes_max: usize) -> ServerFailure {
        let cause = Cause::TooLarge { bytes, bytes_max };
        ServerFailure { kind: FailureKind::PacketTooLarge, cause }
    }

    /// What to do about it.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether the server gave this error code.
    pub(crate) fn is_code(&self, code: u16) -> bool {
        let Cause::Library(error) = &self.cause else { return false };
        matches!(&**error, Error::Server(server) if server.code == code)
    }

    /// Whether it was given up after a timeout.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self.cause, Cause::Timeout)
    }

    /// The server's words, which may quote a row: for the dead-letter file, not for the log.
    /// Allocates.
    pub(crate) fn message(&self) -> String {
        match &self.cause {
            Cause::Library(error) => error.to_string(),
            _ => self.to_string(),
        }
    }
}

impl From<Error> for ServerFailure {
    fn from(error: Error) -> ServerFailure {
        let kind = match &error {
            Error::Server(server) => FailureKind::of_code(server.code),
            Error::Driver(DriverError::PacketTooLarge) => FailureKind::PacketTooLarge,
            // Whatever else the library says, the two ends no longer agree on what comes next.
            Error::Io(_) | Error::Driver(_) => FailureKind::Unreachable,
            Error::Url(_) | Error::Other(_) => FailureKind::Other,
        };
        ServerFailure { kind, cause: Cause::Library(Box::new(error)) }
    }
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_code = match &self.cause {
            Cause::Library(error) => match &**error {
                Error::Server(server) => FailureKind::phrase_of_code(server.code),
                _ => None,
            },
            Cause::TooLarge { bytes, bytes_max } => {
                return write!(
                    formatter,
                    "its statement has {bytes} bytes, but the server accepts {bytes_max} \
                     (max_allowed_packet): raise max_allowed_packet there, or make it smaller"
                );
            }
            Cause::Timeout | Cause::Held | Cause::Unreadable => None,
        };
        formatter.write_str(of_code.unwrap_or(self.kind.phrase()))?;
        match &self.cause {
            Cause::Library(error) => match &**error {
                Error::Server(server) => write!(formatter, " (error {})", server.code),
                Error::Io(IoError::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    write!(formatter, ": is the server running, at this host and port? ({error})")
                }
                Error::Io(IoError::Io(error)) => write!(formatter, " ({error})"),
                Error::Io(error) => write!(formatter, " ({error})"),
                Error::Driver(DriverError::PacketTooLarge) => Ok(()),
                Error::Driver(error) => write!(formatter, " ({error})"),
                Error::Url(_) | Error::Other(_) => Ok(()),
            },
            Cause::Timeout => formatter.write_str(" (no answer in time)"),
            Cause::Held => formatter
                .write_str(" (not before the writer has seen that it has this directory's users)"),
            Cause::Unreadable => formatter.write_str(" (a row does not fit this schema)"),
            Cause::TooLarge { .. } => Ok(()),
        }
    }
}

impl std::error::Error for ServerFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_table_are_told_apart() {
        let table = [
            (FailureKind::Deadlock, &[1213, 1412, 8028][..]),
            (FailureKind::LockWait, &[1205, 1206]),
            (FailureKind::Unreachable, &[2006, 2013, 1047, 1317, 1927, 1969, 3032, 4031]),
            (FailureKind::PacketTooLarge, &[1153, 1197, 8004]),
            (FailureKind::ReadOnly, &[1036, 1290, 1792, 1836]),
            (FailureKind::DiskFull, &[1021, 1026, 1114, 28]),
            (FailureKind::Crowded, &[1040, 1041, 1129, 1203, 1226]),
            (FailureKind::Schema, &[1146, 1054]),
            (FailureKind::Duplicate, &[1062]),
            (FailureKind::BadData, &[1264, 1366, 1406, 3140]),
            (FailureKind::Denied, &[1044, 1045, 1130, 1142, 1227, 1862, 3159, 4151]),
            (FailureKind::Other, &[1064]),
        ];
        for (kind, codes) in table {
            for code in codes {
                assert_eq!(FailureKind::of_code(*code), kind, "{code}");
            }
        }
    }

    #[test]
    fn what_an_operator_has_to_mend_is_said_with_its_mend() {
        for (code, mend) in [
            (1044, "grants.sql"),
            (1045, "mysql.url"),
            (1049, "nudged migrate"),
            (1129, "flush-hosts"),
            (1130, "'NAME'@'HOST'"),
            (1142, "grants.sql"),
            (1146, "nudged migrate"),
            (1290, "read-only"),
            (1251, "a login method that nudged does not support"),
            (1406, "longer than its column"),
            (1862, "expired"),
            (4151, "ACCOUNT UNLOCK"),
            (3159, "require_ssl"),
        ] {
            let (message, state) = ("canary".to_owned(), "42000".to_owned());
            let error = Error::Server(mysql_async::ServerError { code, message, state });
            let text = ServerFailure::from(error).to_string();
            assert!(text.contains(mend) && text.ends_with(&format!(" (error {code})")), "{text}");
        }
    }

    #[test]
    fn what_was_not_sent_is_told_with_its_size_and_the_setting() {
        let failure = ServerFailure::too_large(20_000, 16_384);
        assert_eq!(failure.kind(), FailureKind::PacketTooLarge);
        let said = failure.to_string();
        for part in ["20000 bytes", "16384", "max_allowed_packet"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_row_that_a_server_quotes_is_not_shown() {
        let failure = ServerFailure::from(Error::Server(mysql_async::ServerError {
            code: 1062,
            message: "Duplicate entry 'alice' for key".to_owned(),
            state: "23000".to_owned(),
        }));
        assert_eq!(
            failure.to_string(),
            "a row with the same unique key exists already (error 1062)"
        );
        assert!(failure.message().contains("alice"));
    }
}
