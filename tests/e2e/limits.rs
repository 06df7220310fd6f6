//! Property: a node that can't live within the limits of its process says which, and what would do,
//! exits 3 and has made nothing; soft limits are no reason.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Exit, Setup, WELCOME};

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
    for before in [|| limit(Resource::Nofile, 20, 20), || limit(Resource::Nofile, 300, 300)] {
        let exit = refused(before);
        assert!(exit.stderr.contains("RLIMIT_NOFILE is "), "{exit:?}");
        assert!(exit.stderr.contains("LimitNOFILE="), "{exit:?}");
    }
}

#[test]
fn files_that_may_not_be_large_enough_are_exit_3_and_named() {
    let exit = refused(|| limit(Resource::Fsize, 1 << 20, 1 << 20));
    assert!(exit.stderr.contains("RLIMIT_FSIZE is 1048576"), "{exit:?}");
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
