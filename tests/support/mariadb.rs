//! A MariaDB server of a test's own, with the settings of `vendor-config/mysql`, or one that the
//! tests of a binary share, each with a database of its own.
//!
//! `TEST_NUDGED_MYSQLD` names another server binary, a MySQL or another MariaDB, that the same
//! tests then run against. It is called as `mysqld` is, `--version` first; one that lies where it
//! was not built for may be a script that adds `--basedir` and the like behind `"$@"`. The client
//! is the machine's own in any case.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::Process;
use super::vendor;

/// Its unix socket, in its folder.
const SOCKET: &str = "mariadb.sock";
/// Its temporary files, in its directory.
const TEMPORARY: &str = "tmp";

/// The server that the tests of this binary share, started by the first that asks. Nobody kills or
/// freezes it. It ends with the process, however that ends.
pub fn shared() -> &'static MariaDb {
    static SHARED: OnceLock<MariaDb> = OnceLock::new();
    SHARED.get_or_init(|| {
        let server = MariaDb::start();
        server.end_with_this_process();
        server
    })
}

/// A new empty database on the shared server: its name. [`MariaDb::url_of`] and
/// [`MariaDb::number`] take it.
pub fn shared_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("nudged_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    shared().create_database(&name);
    name
}

/// A client that holds what its statements have taken, until it is dropped.
pub struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that has taken a connection answers the client within this.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(30);

/// The server to test against.
fn binary() -> OsString {
    std::env::var_os("TEST_NUDGED_MYSQLD").unwrap_or_else(|| "mariadbd".into())
}

/// Whether it is a MySQL: another way to make a data directory, and other words here and there.
pub fn is_mysql() -> bool {
    static IS_MYSQL: OnceLock<bool> = OnceLock::new();
    *IS_MYSQL.get_or_init(|| {
        let output = Command::new(binary()).arg("--version").output();
        let output = output.expect("mariadb-server is installed (tools/test installs it)");
        !String::from_utf8_lossy(&output.stdout).contains("MariaDB")
    })
}

/// A running MariaDB with an empty database `nudged`. Its directory outlives its restarts.
pub struct MariaDb {
    // Before its folder, which it writes to until its end.
    process: Process,
    folder: TempDir,
}

impl MariaDb {
    /// Starts one.
    pub fn start() -> MariaDb {
        MariaDb::start_with(&[])
    }

    /// Starts one with more arguments.
    pub fn start_with(arguments: &[&str]) -> MariaDb {
        MariaDb::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    /// Starts one with its data in a folder, with more arguments.
    pub fn start_in(folder: TempDir, arguments: &[&str]) -> MariaDb {
        // One at a time: each is a server of its own for some seconds.
        static INSTALLING: Mutex<()> = Mutex::new(());
        let installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that starts removes the temporary tables that it finds, also another's.
        let temporary = folder.path().join(TEMPORARY);
        std::fs::create_dir(&temporary).unwrap();
        let installed = match is_mysql() {
            true => Command::new(binary())
                .env("TMPDIR", &temporary)
                .args(["--no-defaults", "--initialize-insecure", "--user=root"])
                .arg(format!("--datadir={}", folder.path().join("data").display()))
                // Some settings are for the life of a data directory.
                .args(arguments)
                .output(),
            false => Command::new("mariadb-install-db")
                .env("TMPDIR", &temporary)
                .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                .arg("--skip-test-db")
                .arg(format!("--datadir={}", folder.path().join("data").display()))
                .output(),
        };
        let installed = installed.expect("mariadb-server is installed (tools/test installs it)");
        assert!(installed.status.success(), "no data directory: {installed:?}");
        drop(installing);
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let path = folder.path().to_owned();
        let make = move |address| command(address, &path, &arguments);
        let process = Process::start(Box::new(make), || log(folder.path()));
        let server = MariaDb { process, folder };
        // A MySQL listens on its port first, and only then on the client's socket.
        let begun = Instant::now();
        while server.try_sql("SELECT 1").is_err() {
            assert!(begun.elapsed() < SOCKET_TIMEOUT, "no socket: {}", log(server.folder.path()));
            std::thread::park_timeout(Duration::from_millis(5));
        }
        server.run_sql(
            "CREATE DATABASE IF NOT EXISTS nudged CHARACTER SET utf8mb4;
             CREATE USER IF NOT EXISTS 'nudged'@'%' IDENTIFIED BY 'secret';
             CREATE USER IF NOT EXISTS 'nudged'@'localhost' IDENTIFIED BY 'secret';
             GRANT ALL ON *.* TO 'nudged'@'%';
             GRANT ALL ON *.* TO 'nudged'@'localhost';",
        );
        server
    }

    /// Starts it again on the same address, with the files that it left.
    pub fn restart(&mut self) {
        self.process.restart(|| log(self.folder.path()));
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it in its tracks; connections stay.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Its address for `[mysql] url`, with the database `nudged`.
    pub fn url(&self) -> String {
        self.url_of("nudged")
    }

    /// The url of another database, which `create_database` has made.
    pub fn url_of(&self, database: &str) -> String {
        format!("mysql://nudged:secret@{}/{database}", self.address())
    }

    /// Makes an empty database, so that tests can share the server.
    pub fn create_database(&self, name: &str) {
        self.run_sql(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
    }

    /// The url of a database for the user of `vendor-config/mysql/grants.sql`, who may change rows
    /// and nothing else.
    pub fn url_of_least_user(&self, database: &str) -> String {
        let grants = std::fs::read_to_string(vendor("mysql/grants.sql")).unwrap();
        // Names of its own beside the mighty `nudged` of other tests.
        let grants = grants.replace("nudged.*", &format!("{database}.*"));
        let grants = grants.replace("EXISTS nudged ", &format!("EXISTS {database} "));
        self.run_sql(&grants.replace("'nudged'", "'nudged_least'"));
        format!("mysql://nudged_least:change-me@{}/{database}", self.address())
    }

    /// The url of a database for the user of `nudged migrate`, whom
    /// [`MariaDb::url_of_least_user`] has made.
    pub fn url_of_migrator(&self, database: &str) -> String {
        format!("mysql://nudged_migrate:change-me-too@{}/{database}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The number that a query on a database gives.
    pub fn number(&self, database: &str, query: &str) -> i64 {
        let text = self.run_sql(&format!("USE {database}; {query}"));
        text.trim().parse().unwrap_or_else(|error| panic!("{error}: {query}: {text:?}"))
    }

    /// Ends every connection of nudged, and says how many there were.
    pub fn kill_connections(&self) -> usize {
        let query = "SELECT id FROM information_schema.processlist WHERE user LIKE 'nudged%'";
        let ids = self.run_sql(query);
        // One that has gone by itself meanwhile is an error to nobody.
        ids.lines().filter(|id| self.try_sql(&format!("KILL CONNECTION {id}")).is_ok()).count()
    }

    /// Its process id, for /proc.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Runs statements as root with the command-line client, and gives what they print: rows by
    /// line, columns by tab.
    pub fn run_sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// As [`MariaDb::run_sql`], where the server may be away or refuse.
    ///
    /// # Errors
    /// What the client printed.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output = Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "-N", "-B", "-e", sql])
            .arg(format!("--socket={}", self.socket().display()))
            .output()
            .expect("mariadb-client is installed with the server");
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Somebody of root's who has run these statements, each with its semicolon, and stays.
    pub fn hold(&self, sql: &str) -> Held {
        self.try_hold(sql).unwrap_or_else(|| panic!("not done: {sql}"))
    }

    /// As [`MariaDb::hold`]; `None` where the server does not let them in, or refuses.
    pub fn try_hold(&self, sql: &str) -> Option<Held> {
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "-N", "-B", "--unbuffered"])
            .arg(format!("--socket={}", self.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mariadb-client is installed with the server");
        // The pipe may be closed already, which the missing answer says too.
        let _ = writeln!(client.stdin.as_ref().expect("it is piped"), "{sql}\nSELECT 'done';");
        let mut lines = BufReader::new(client.stdout.take().expect("it is piped")).lines();
        let is_done = lines.any(|line| line.is_ok_and(|line| line == "done"));
        let held = Held(client);
        is_done.then_some(held)
    }

    /// A shell that waits for this process's end and then ends the server: what lies in a static
    /// is never dropped.
    fn end_with_this_process(&self) {
        let script = "read -r _; kill -9 \"$1\"; rm -rf \"$2\"";
        let guard = Command::new("sh")
            .args(["-c", script, "guard", &self.pid().to_string()])
            .arg(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh is there");
        // The pipe's other end stays open until this process ends.
        std::mem::forget(guard);
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}

fn command(address: SocketAddr, folder: &Path, arguments: &[String]) -> Command {
    let log = std::fs::File::create(folder.join("mariadb.log")).unwrap();
    let mut command = Command::new(binary());
    command
        .env("TMPDIR", folder.join(TEMPORARY))
        .arg(format!("--defaults-file={}", vendor("mysql/nudged.cnf").display()))
        .args(["--user=root", "--bind-address=127.0.0.1"])
        .args(["--innodb-buffer-pool-size=64M", "--loose-innodb-log-file-size=64M"])
        // MySQL's second protocol has a port of its own.
        .arg("--loose-mysqlx=OFF")
        .arg(format!("--port={}", address.port()))
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join(SOCKET).display()))
        .arg(format!("--pid-file={}", folder.join("mariadb.pid").display()))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(log);
    command
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("mariadb.log")).unwrap_or_default()
}
