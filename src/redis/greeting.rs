//! How a connection begins, whoever holds it: the commands that say who we are, and what the
//! server says of itself.

use super::encode;
use super::link::{Incompatible, LinkSettings};
use nudged_base::hash::Keyed;

/// The oldest version that is served, by its first number.
const VERSION_MIN: u32 = 7;

/// Appends `HELLO 3`, with name and password. It is sent alone: its reply tells the protocol.
pub fn hello(output: &mut Vec<u8>, settings: &LinkSettings) {
    let name = settings.name.as_bytes();
    match &settings.password {
        Some(password) => {
            let user = settings.user.as_deref().unwrap_or("default").as_bytes();
            let password = password.expose().as_bytes();
            let words: [&[u8]; 7] = [b"HELLO", b"3", b"AUTH", user, password, b"SETNAME", name];
            encode::words(output, &words);
        }
        None => encode::words(output, &[b"HELLO", b"3", b"SETNAME", name]),
    }
}

/// Whether the error to `HELLO` means that the server speaks the old protocol only.
pub fn is_old_protocol(error: &[u8]) -> bool {
    error.starts_with(b"NOPROTO") || error.starts_with(b"ERR unknown command")
}

/// Appends what stands for `HELLO` in the old protocol; gives the number of commands.
pub fn old_hello(output: &mut Vec<u8>, settings: &LinkSettings) -> usize {
    let mut count = 1;
    if let Some(password) = &settings.password {
        let password = password.expose().as_bytes();
        match &settings.user {
            Some(user) => encode::words(output, &[b"AUTH", user.as_bytes(), password]),
            None => encode::words(output, &[b"AUTH", password]),
        }
        count += 1;
    }
    encode::words(output, &[b"CLIENT", b"SETNAME", settings.name.as_bytes()]);
    count
}

/// Which run of a server this is, by the `run_id` of its INFO: equal on every node, of no meaning
/// otherwise.
pub fn run_of(run_id: &[u8]) -> u64 {
    Keyed::new(0).of(run_id)
}

/// The value of a field in the text of INFO.
pub fn info_field<'a>(info: &'a [u8], name: &str) -> Option<&'a [u8]> {
    info.split(|byte| *byte == b'\n').find_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.strip_prefix(name.as_bytes())?.strip_prefix(b":")
    })
}

/// The run of a server, from the `server` section of its INFO.
///
/// # Errors
/// [`Incompatible`] where it is too old or does not say.
pub fn run_of_info(info: &[u8]) -> Result<u64, Incompatible> {
    let version = info_field(info, "redis_version").ok_or(Incompatible::Unnamed)?;
    let major = version.split(|byte| *byte == b'.').next().unwrap_or_default();
    let major = std::str::from_utf8(major).ok().and_then(|text| text.parse::<u32>().ok());
    if major.ok_or(Incompatible::Unnamed)? < VERSION_MIN {
        return Err(Incompatible::TooOld);
    }
    let run_id =
        info_field(info, "run_id").filter(|id| !id.is_empty()).ok_or(Incompatible::Unnamed)?;
    Ok(run_of(run_id))
}

/// Whether the server can evict keys, from the `memory` section of its INFO; where it does not
/// say, it can.
pub fn evicts(info: &[u8]) -> bool {
    info_field(info, "maxmemory_policy").is_none_or(|policy| policy != b"noeviction")
}

/// How many keys the server has evicted in this run, from the `stats` section of its INFO; 0 where
/// it does not say.
pub fn evicted(info: &[u8]) -> u64 {
    let count = info_field(info, "evicted_keys").and_then(|text| std::str::from_utf8(text).ok());
    count.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the server is a replica, from the `replication` section of its INFO.
pub fn is_replica(info: &[u8]) -> bool {
    info_field(info, "role").is_some_and(|role| role != b"master")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_info() {
        let info = |version: &str| {
            format!("# Server\r\nredis_version:{version}\r\nrun_id:abc\r\nprocess_id:1\r\n")
        };
        assert_eq!(run_of_info(info("7.0.15").as_bytes()), Ok(run_of(b"abc")));
        assert_eq!(run_of_info(info("10.1").as_bytes()), Ok(run_of(b"abc")));
        assert_eq!(run_of_info(info("6.2.7").as_bytes()), Err(Incompatible::TooOld));
        assert_eq!(run_of_info(info("x").as_bytes()), Err(Incompatible::Unnamed));
        assert_eq!(run_of_info(b"redis_version:7.0.0\r\n"), Err(Incompatible::Unnamed));
        assert_ne!(run_of(b"abc"), run_of(b"abd"));
        let info = b"role:slave\r\nevicted_keys:12\r\n";
        assert_eq!((evicted(info), evicted(b""), evicted(b"evicted_keys:x\r\n")), (12, 0, 0));
        assert!(is_replica(info) && !is_replica(b"role:master\r\n") && !is_replica(b""));
        assert!(evicts(b"maxmemory_policy:allkeys-lru\r\n"));
        assert!(evicts(b""), "a server that does not say may do anything");
        assert!(!evicts(b"a:b\r\nmaxmemory_policy:noeviction\r\n"));
    }
}
