//! A Redis server of a test's own, with the settings of `vendor-config/redis`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::Process;
use super::vendor;

/// Its unix socket, in its folder.
const SOCKET: &str = "redis.sock";
/// Of the least user: no word that anybody says for another reason.
const PASSWORD: &str = "canary-of-redis";

/// A running Redis. Its directory outlives its restarts.
pub struct Redis {
    // Before its folder, which it writes to until its end.
    process: Process,
    folder: TempDir,
}

impl Redis {
    /// Starts one as `vendor-config/redis/redis.conf` says: everything is synced before it is
    /// answered (`appendfsync always`).
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// Starts one with arguments that win over the file, such as `--appendonly no`.
    pub fn start_with(arguments: &[&str]) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let path = folder.path().to_owned();
        let make = move |address| command(address, &path, &arguments);
        let process = Process::start(Box::new(make), || log(folder.path()));
        Redis { process, folder }
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Its address for `[redis] url`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The address for `[redis] url` with the user `nudged` of `vendor-config/redis/users.acl`.
    /// Everybody else may do anything, still.
    pub fn url_of_least_user(&self) -> String {
        format!("redis://nudged:{PASSWORD}@{}", self.address())
    }

    /// What a command answers, as the reply's first line without its type: a number, a status, or
    /// an error.
    pub fn line(&self, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let reply = self.ask(&words);
        let line = reply.split(|byte| *byte == b'\r').next().unwrap();
        String::from_utf8_lossy(&line[1..]).into_owned()
    }

    /// An `INFO` section as text.
    pub fn info(&self, section: &str) -> String {
        String::from_utf8_lossy(&self.ask(&[b"INFO", section.as_bytes()])).into_owned()
    }

    /// How often a command was called since the start or since `CONFIG RESETSTAT`; what scripts
    /// call counts too.
    pub fn calls(&self, command: &str) -> u64 {
        let info = self.info("commandstats");
        let prefix = format!("cmdstat_{command}:calls=");
        let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    /// Its process id, for /proc.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Its directory: append-only files and the like.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends one command on a connection of its own and gives the raw reply of up to 1 MiB, as far
    /// as it came in one piece.
    pub fn ask(&self, words: &[&[u8]]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        stream.write_all(&command).unwrap();
        let mut reply = vec![0; 1 << 20];
        let length = stream.read(&mut reply).unwrap();
        reply.truncate(length);
        reply
    }
}

fn command(address: SocketAddr, folder: &Path, arguments: &[String]) -> Command {
    let log = std::fs::File::create(folder.join("redis.log")).unwrap();
    let mut command = Command::new("redis-server");
    command
        .arg(vendor("redis/redis.conf"))
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
        .args(["--dir", folder.to_str().unwrap()])
        .args(["--unixsocket", folder.join(SOCKET).to_str().unwrap()])
        .args(arguments)
        .args(users(arguments))
        .stdout(log)
        .stderr(Stdio::null());
    command
}

/// The least user, who outlives restarts; where there is a file of users, it has its own.
fn users(arguments: &[String]) -> Vec<String> {
    if arguments.iter().any(|argument| argument == "--aclfile") {
        return Vec::new();
    }
    let user = ["--user".to_owned(), "nudged".to_owned()];
    user.into_iter().chain(least_user_rules(PASSWORD)).collect()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("redis.log")).unwrap_or_default()
}

/// The rules of the user `nudged` in `vendor-config/redis/users.acl`, with another password.
pub fn least_user_rules(password: &str) -> Vec<String> {
    let file = std::fs::read_to_string(vendor("redis/users.acl")).unwrap();
    let rules = file.lines().find_map(|line| line.strip_prefix("user nudged ")).unwrap();
    assert!(rules.contains(" >change-me "), "the password to change: {rules}");
    let rules = rules.replace(">change-me", &format!(">{password}"));
    rules.split(' ').map(str::to_owned).collect()
}
