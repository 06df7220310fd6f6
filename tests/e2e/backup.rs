//! Property: a copy that `nudged backup` makes has all that was acknowledged before it was asked
//! for, and opens as a node's database that shows nobody anything twice; the node does not notice,
//! however slow the copy is; what fails leaves nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::database;
use crate::harness::{Server, Setup, WELCOME, nudged, until};

const EVENTS: &str = "SELECT count(*) FROM events";

fn backup(setup: &Setup, server: &Server, file: &str) -> crate::harness::Exit {
    setup.run(&["backup", "--admin", &server.admin.to_string(), file])
}

/// A node in a directory of its own that begins with a copy.
fn restore(setup: &Setup, file: &str) -> Setup {
    let restored = Setup::new(WELCOME);
    std::fs::create_dir(restored.data()).unwrap();
    std::fs::copy(setup.path(file), restored.data().join("nudged.db")).unwrap();
    restored
}

fn check_integrity(data: &Path) {
    let said: String =
        database::open(data).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
}

#[test]
fn a_copy_may_go_to_standard_output() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    let mut command = nudged();
    let admin = server.admin.to_string();
    command.current_dir(setup.path("")).args(["backup", "--admin", &admin, "-"]);
    let output = command.env("TMPDIR", setup.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("standard output: ") && said.contains("1 users"), "{said}");
    let restored = tempfile::tempdir().unwrap();
    std::fs::write(restored.path().join("nudged.db"), &output.stdout).unwrap();
    assert!(database::decided(restored.path()).contains(&token));
    let mut left = std::fs::read_dir(setup.path("")).unwrap();
    let is_left = |name: &str| name.contains("nudged-backup");
    assert!(!left.any(|entry| is_left(&entry.unwrap().file_name().to_string_lossy())));
    server.stop();
}

#[test]
fn a_copy_made_under_load_has_all_that_was_acknowledged_and_serves() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    let mut client = server.client();
    let tokens: Vec<String> = (0..300)
        .map(|user| client.decide(&format!("u{user}")).expect(200).token().unwrap())
        .collect();
    let is_over = AtomicBool::new(false);
    let exit = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut client, mut user) = (server.client(), 0);
            while !is_over.load(Ordering::Relaxed) {
                client.decide(&format!("later{user}"));
                user += 1;
            }
        });
        let exit = backup(&setup, &server, "copy.db");
        is_over.store(true, Ordering::Relaxed);
        exit
    });
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("copy.db: ") && exit.stdout.contains(" users, "), "{exit:?}");
    let copy = setup.path("copy.db");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!setup.path("copy.db.partial").exists());
    server.kill();

    let restored = restore(&setup, "copy.db");
    check_integrity(restored.data());
    let decided = database::decided(restored.data());
    assert!(tokens.iter().all(|token| decided.contains(token)));
    let again = restored.start();
    let mut client = again.client();
    for user in 0..300 {
        client.decide(&format!("u{user}")).expect(204);
    }
    let answer = client.event(&tokens[0], "clicked").expect(202).json();
    assert_eq!(answer["accepted"], 1, "a token of before");
    client.decide("somebody-else").expect(200);
    again.stop();
    // The directory that the copy was made of is as any other of a node that was killed.
    setup.start().stop();
}

#[test]
fn what_is_there_is_left_alone_and_one_backup_is_made_at_a_time() {
    let setup = Setup::new(WELCOME);
    let server = setup.start();
    std::fs::write(setup.path("mine"), "mine").unwrap();
    let exit = backup(&setup, &server, "mine");
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains("it is there already"), "{exit:?}");
    let held = std::fs::File::open(setup.data()).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let exit = backup(&setup, &server, "copy.db");
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains("another backup"), "{exit:?}");
    drop(held);
    let admin = server.admin.to_string();
    server.stop();
    let exit = setup.run(&["backup", "--admin", &admin, "copy.db"]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("is a whole backup: copy it"), "{exit:?}");
    assert!(!setup.path("copy.db").exists() && !setup.path("copy.db.partial").exists());
}

/// Makes the database large enough for a copy to take a while.
fn fill(data: &Path) {
    let mut connection = Connection::open(data.join("nudged.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    let insert = "INSERT INTO events SELECT 77, value, 'filler' || hex(randomblob(60)), 'decided', \
                  unixepoch() * 1000, 0, 'filler', 'p', 1, '', 1, value \
                  FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n \
                  WHERE value < 60000) SELECT value FROM n)";
    transaction.execute(insert, []).unwrap();
    transaction.commit().unwrap();
}

/// A copy that has begun and stands still.
fn standing(setup: &Setup, server: &Server) -> Child {
    let mut command: Command = nudged();
    command.current_dir(setup.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["backup", "--admin", &server.admin.to_string(), "copy.db"]);
    let child = command.spawn().unwrap();
    let partial = setup.path("copy.db.partial");
    until("the copy to begin", || {
        partial.metadata().is_ok_and(|metadata| metadata.len() > 0).then_some(())
    });
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    assert!(partial.exists(), "it was over before it could be held");
    child
}

#[test]
fn a_copy_that_stands_still_holds_nothing_up() {
    let setup = Setup::new(WELCOME);
    setup.start().stop();
    fill(setup.data());
    let server = setup.start();
    let copying = standing(&setup, &server);
    let (mut client, mut slowest) = (server.client(), Duration::ZERO);
    for user in 0..500 {
        let asked = Instant::now();
        client.decide(&format!("u{user}")).expect(200);
        slowest = slowest.max(asked.elapsed());
    }
    // An erase has the log folded in as soon as that can be: now it can't, and nothing waits.
    server.operator().ask("DELETE", "/v1/users/u1", "").expect(200);
    for user in 500..700 {
        client.decide(&format!("u{user}")).expect(200);
    }
    until("all in SQL", || (database::number(setup.data(), EVENTS) == 60_700).then_some(()));
    println!("the slowest answer took {slowest:?}");
    let log = setup.data().join("nudged.db-wal");
    assert!(log.metadata().unwrap().len() > 0);
    kill_process(Pid::from_child(&copying), Signal::CONT).unwrap();
    let output = copying.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    until("the log to be folded in", || (log.metadata().unwrap().len() == 0).then_some(()));
    let restored = restore(&setup, "copy.db");
    check_integrity(restored.data());
    assert_eq!(database::number(restored.data(), EVENTS), 60_000);
    server.stop();
}

#[test]
fn a_node_that_dies_meanwhile_and_a_command_that_does_leave_no_harm() {
    let setup = Setup::new(WELCOME);
    setup.start().stop();
    fill(setup.data());
    let server = setup.start();
    server.client().decide("ann").expect(200);
    let mut killed = standing(&setup, &server);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!setup.path("copy.db").exists());
    // What that one left is in nobody's way; empty, it is not taken for the next copy's.
    std::fs::write(setup.path("copy.db.partial"), "").unwrap();
    let copying = standing(&setup, &server);
    server.kill();
    kill_process(Pid::from_child(&copying), Signal::CONT).unwrap();
    let output = copying.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let restored = restore(&setup, "copy.db");
    check_integrity(restored.data());
    for setup in [&setup, &restored] {
        let server = setup.start();
        server.client().decide("ann").expect(204);
        server.stop();
    }
}
