//! Property: a kill -9 of either process at any moment of an upgrade loses nothing. Afterwards one
//! of them serves, or both have ended and a start serves; nobody is shown twice, and neither a lock
//! nor a socket is left behind (docs/guarantees.md#g8).

use std::path::Path;

use rustix::process::{Signal, kill_process};

use super::pid;
use crate::client::Client;
use crate::cluster::{Cluster, Plan};
use crate::database;
use crate::harness::{Server, Setup, WELCOME, until};

/// The moments: a line of the log, and how many of them there were before the upgrade.
const MOMENTS: [(&str, usize); 7] = [
    ("handover_begun", 0),
    ("started", 1),
    ("handover_prepared", 0),
    ("handover_leaving", 0),
    ("journal_recovered", 1),
    ("taken_over", 0),
    ("ready", 1),
];
/// Long enough to be hit.
const LAME_DUCK: &str = "lame_duck = \"200ms\"\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Old,
    New,
}

/// Whether a process runs: one that has ended and was not waited for does not.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether somebody answers.
fn is_served(server: &Server) -> bool {
    let asked =
        Client::try_connect(server.data).and_then(|mut one| one.try_ask("GET", "/health", ""));
    asked.is_ok_and(|answer| answer.status == 200)
}

/// Kills a process of an upgrade of this node at a moment; gives the tokens of what a user was
/// shown before, and another one after it.
fn kill_at(
    (code, before): (&str, usize),
    victim: Victim,
    setup: &Setup,
    user: &str,
) -> [String; 2] {
    let mut server = setup.start();
    server.allow("handover_failed");
    server.allow("handover_lost");
    let first = until("a show", || server.client().decide(user).token());
    let (old, new) = (server.pid(), server.begin_hand_over());
    until(code, || (server.logged(code).len() > before).then_some(()));
    // One that has ended meanwhile is hit as little as one that was never started.
    let _ = kill_process(pid(if victim == Victim::Old { old } else { new }), Signal::KILL);
    until("the victim to end", || {
        (!runs(if victim == Victim::Old { old } else { new })).then_some(())
    });
    let has_survived = match victim {
        Victim::Old => {
            let code = server.become_successor(new);
            assert!(matches!(code, None | Some(0)), "{code:?}: {}", server.said());
            true
        }
        // A service that goes on, in the old process or what that has become, or its end.
        Victim::New => until("a service or an end", || {
            let has_ended = !runs(old);
            (has_ended || is_served(&server)).then_some(!has_ended)
        }),
    };
    if has_survived {
        until("a service", || is_served(&server).then_some(()));
        assert_eq!([old, new].map(runs).iter().filter(|runs| **runs).count(), 1);
    } else {
        assert_eq!(server.wait(crate::harness::STOP_TIMEOUT), Some(0), "{}", server.said());
        drop(std::mem::replace(&mut server, setup.start()));
    }
    let mut client = server.client();
    until("a decision", || (client.decide(user).reason() == "gap").then_some(()));
    let accepted = client.event(&first, "clicked").expect(202).json();
    assert_eq!(accepted["accepted"], 1, "{accepted}");
    let second = until("another show", || client.decide(&format!("{user}-2")).token());
    drop(client);
    server.stop();
    // Neither lock nor socket hinders it.
    setup.start().stop();
    [first, second]
}

#[test]
fn whoever_is_killed_at_whatever_moment_one_serves_or_a_start_does() {
    for moment in MOMENTS {
        for victim in [Victim::Old, Victim::New] {
            println!("{victim:?} at {moment:?}");
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("admin.sock");
            let setup = Setup::new(WELCOME).config(LAME_DUCK);
            let setup = setup.admin(&format!("unix:{}", path.display()));
            let tokens = kill_at(moment, victim, &setup, "ann");
            assert_eq!(database::decided(setup.data()), tokens.into(), "{victim:?} at {moment:?}");
            assert!(!Path::new(&path).exists(), "{victim:?} at {moment:?}");
        }
    }
}

#[test]
fn with_redis_too() {
    let cluster = Cluster::new(Plan { settings: LAME_DUCK, ..Plan::new(WELCOME) });
    let mut shows = 0;
    for moment in [MOMENTS[2], MOMENTS[4], MOMENTS[5]] {
        for victim in [Victim::Old, Victim::New] {
            println!("{victim:?} at {moment:?}");
            let setup = cluster.node();
            shows += kill_at(moment, victim, &setup, &format!("user-{shows}")).len();
        }
    }
    cluster.await_events("decided", shows);
    cluster.await_events("clicked", shows / 2);
    cluster.check_sql();
}
