//! Property: a node that can't live within the limits of its process says which, and what would do,
//! exits 3 and has made nothing; soft limits are no reason.

use std::io;
use std::net::TcpListener;

use rustix::process::{Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set, set_thread_res_uid};

use crate::harness::{Exit, Setup, WELCOME, run};

fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
    Ok(setrlimit(resource, limit)?)
}

fn refused(before_exec: fn() -> io::Result<()>) -> Exit {
    let setup = Setup::new(WELCOME).before_exec(before_exec);
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(3), "{exit:?}");
    assert!(!exit.stderr.contains("panicked") && !exit.stdout.contains("ready"), "{exit:?}");
    assert!(!setup.data().exists(), "nothing is made on a host that is not fit");
    exit
}

#[test]
fn too_little_memory_to_lock_is_exit_3_and_named() {
    let exit = refused(|| limit(Resource::Memlock, 65_536, 65_536));
    assert!(exit.stderr.contains("RLIMIT_MEMLOCK is 65536"), "{exit:?}");
    assert!(exit.stderr.contains("LimitMEMLOCK="), "{exit:?}");
}

#[test]
fn too_few_descriptors_are_exit_3_and_named() {
    let limits: [fn() -> io::Result<()>; 3] = [
        // With this few not even the configuration can be read.
        || limit(Resource::Nofile, 5, 5),
        || limit(Resource::Nofile, 20, 20),
        || limit(Resource::Nofile, 300, 300),
    ];
    for before in limits {
        let exit = refused(before);
        assert!(exit.stderr.contains("RLIMIT_NOFILE is "), "{exit:?}");
        assert!(exit.stderr.contains("LimitNOFILE="), "{exit:?}");
    }
}

#[test]
fn a_check_says_what_a_start_here_would_meet_and_finds_no_fault_in_the_configuration() {
    let few = || limit(Resource::Nofile, 300, 300);
    let checked = Setup::new(WELCOME).before_exec(few).run(&["check", "--config", "nudged.toml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for part in ["warning: ", "a node would not start: RLIMIT_NOFILE is 300"] {
        assert!(checked.stdout.contains(part), "{checked:?}");
    }
}

#[test]
fn files_that_may_not_be_large_enough_are_exit_3_and_named() {
    let exit = refused(|| limit(Resource::Fsize, 1 << 20, 1 << 20));
    assert!(exit.stderr.contains("RLIMIT_FSIZE is 1048576"), "{exit:?}");
}

#[test]
fn too_few_threads_are_exit_3_and_named() {
    /// The limit holds for no user 0, and for nobody who may exceed limits.
    fn few() -> io::Result<()> {
        if geteuid().is_root() {
            remove_capability_from_bounding_set(CapabilitySet::SYS_RESOURCE)?;
            remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN)?;
            set_thread_res_uid(Uid::from_raw(54_321), Uid::ROOT, Uid::ROOT)?;
        }
        limit(Resource::Nproc, 10, 10)
    }
    let exit = refused(few);
    assert!(exit.stderr.contains("RLIMIT_NPROC is 10"), "{exit:?}");
    assert!(exit.stderr.contains("LimitNPROC="), "{exit:?}");
}

#[test]
fn a_wrong_usage_names_itself_and_has_made_nothing() {
    let setup = Setup::new(WELCOME);
    let plain = format!("unix:{}", setup.path("popups.toml").display());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let token = "admin_token_file = \"missing\"\n";
    std::fs::write(setup.path("token.toml"), token).unwrap();
    let table: [(&[&str], &[&str]); 8] = [
        (&["--cpus", "1023"], &["--cpus: cpus: 1023 is not among", "taskset -p"]),
        (&["--writer-cpu", "1023"], &["--writer-cpu: writer_cpu: 1023 is not"]),
        (
            &["--popups", "missing.toml"],
            &["missing.toml: can't read the popups file: No such file"],
        ),
        (
            &["--config", "missing.toml"],
            &["missing.toml: can't read the configuration file: No such file"],
        ),
        (
            &["--config", "token.toml", "--admin", "0.0.0.0:0"],
            &["admin_token_file: missing: can't be read: No such file"],
        ),
        (&["--admin", &plain], &["popups.toml", "it exists and is not a socket: remove it"]),
        (&["--admin", &taken], &[&taken, "another process is listening there"]),
        (&["--listen", &taken], &[&taken, "another process is listening there"]),
    ];
    for (flags, parts) in table {
        let mut line = vec!["serve", "--data", "fresh"];
        let usual =
            ["--config", "nudged.toml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        line.extend(usual.chunks(2).filter(|pair| !flags.contains(&pair[0])).flatten());
        line.extend(flags);
        let exit = run(&setup.path(""), &line);
        assert_eq!(exit.code, Some(2), "{exit:?}");
        for part in parts {
            assert!(exit.stderr.contains(part), "{part}: {exit:?}");
        }
        assert!(!setup.path("fresh").exists(), "{flags:?} has left something behind");
    }
}

#[test]
fn soft_limits_are_raised_to_the_hard_ones() {
    fn soft() -> io::Result<()> {
        let descriptors = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(20), ..descriptors })?;
        let memory = getrlimit(Resource::Memlock);
        setrlimit(Resource::Memlock, Rlimit { current: Some(65_536), ..memory })?;
        Ok(())
    }
    let setup = Setup::new(WELCOME).before_exec(soft);
    let server = setup.start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    for name in ["Max open files", "Max locked memory"] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let mut numbers = line[name.len()..].split_ascii_whitespace();
        assert_eq!(numbers.next(), numbers.next(), "{line}");
    }
    assert!(server.client().decide("ann").token().is_some());
    server.stop();
}
