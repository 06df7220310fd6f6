//! The errors of Redis by kind.

/// Kinds of errors that Redis answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisRefusal {
    /// It loads its data (LOADING).
    Loading,
    /// Its primary is away (MASTERDOWN).
    PrimaryDown,
    /// A script runs for too long (BUSY).
    Busy,
    /// It is a replica (READONLY, NOREPLICAS).
    ReadOnly,
    /// Its memory is full (OOM).
    OutOfMemory,
    /// It can't write its data to disk (MISCONF).
    Misconfigured,
    /// The slot is elsewhere or nowhere (CLUSTERDOWN, MOVED, ASK, TRYAGAIN, CROSSSLOT).
    Cluster,
    /// It does not let us (NOAUTH, NOPERM, WRONGPASS).
    Denied,
    /// The key holds something else (WRONGTYPE).
    WrongType,
    /// It does not have the script (NOSCRIPT).
    NoScript,
    /// It has no such command: it was renamed, or something else than Redis answers.
    NoCommand,
    /// Anything else.
    Other,
}

impl RedisRefusal {
    /// How many kinds there are.
    pub const COUNT: usize = 12;
    /// Every kind with its name in metrics, in the order of `index`.
    pub const ALL: [(RedisRefusal, &'static str); RedisRefusal::COUNT] = [
        (RedisRefusal::Loading, "loading"),
        (RedisRefusal::PrimaryDown, "primary_down"),
        (RedisRefusal::Busy, "busy"),
        (RedisRefusal::ReadOnly, "read_only"),
        (RedisRefusal::OutOfMemory, "out_of_memory"),
        (RedisRefusal::Misconfigured, "misconfigured"),
        (RedisRefusal::Cluster, "cluster"),
        (RedisRefusal::Denied, "denied"),
        (RedisRefusal::WrongType, "wrong_type"),
        (RedisRefusal::NoScript, "no_script"),
        (RedisRefusal::NoCommand, "no_command"),
        (RedisRefusal::Other, "other"),
    ];

    /// The kind of an error reply: its text without the leading `-`.
    pub fn of(text: &[u8]) -> RedisRefusal {
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        match &text[..end] {
            b"LOADING" => RedisRefusal::Loading,
            b"MASTERDOWN" => RedisRefusal::PrimaryDown,
            b"BUSY" => RedisRefusal::Busy,
            b"READONLY" | b"NOREPLICAS" => RedisRefusal::ReadOnly,
            b"OOM" => RedisRefusal::OutOfMemory,
            b"MISCONF" => RedisRefusal::Misconfigured,
            b"CLUSTERDOWN" | b"MOVED" | b"ASK" | b"TRYAGAIN" | b"CROSSSLOT" => {
                RedisRefusal::Cluster
            }
            b"NOAUTH" | b"NOPERM" | b"WRONGPASS" => RedisRefusal::Denied,
            b"WRONGTYPE" => RedisRefusal::WrongType,
            b"NOSCRIPT" => RedisRefusal::NoScript,
            b"ERR" => RedisRefusal::of_words(&text[end..]),
            _ => RedisRefusal::Other,
        }
    }

    /// What has no word of its own. Redis 7.0 says so where a script calls what its user may not.
    fn of_words(words: &[u8]) -> RedisRefusal {
        let begins = |start: &[u8]| words.len() >= start.len() && words[..start.len()] == *start;
        if begins(b" The user executing the script can't") || begins(b" ACL failure in script") {
            RedisRefusal::Denied
        } else if begins(b" unknown command") || begins(b" Unknown Redis command") {
            RedisRefusal::NoCommand
        } else {
            RedisRefusal::Other
        }
    }

    /// What is wrong with the server and what mends it, for people; `None` for what passes by
    /// itself, or is not of the whole server.
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            RedisRefusal::Loading => "Redis is loading its data: wait until it has finished",
            RedisRefusal::PrimaryDown => "Redis is a replica and has lost its primary",
            RedisRefusal::Busy => "Redis is busy running a script: end it with SCRIPT KILL",
            RedisRefusal::ReadOnly => {
                "Redis accepts no writes: it is a replica (set redis.url to its primary), or it \
                 has fewer replicas than min-replicas-to-write"
            }
            RedisRefusal::OutOfMemory => {
                "Redis is out of memory: raise maxmemory and keep maxmemory-policy noeviction"
            }
            RedisRefusal::Misconfigured => {
                "Redis can't save its data to disk, so it accepts no writes: check its log and disk"
            }
            RedisRefusal::Cluster => {
                "Redis runs in cluster mode: redis.url must name a standalone server"
            }
            RedisRefusal::Denied => {
                "Redis denies a permission that nudged needs: grant the rights in \
                 vendor-config/redis/users.acl"
            }
            RedisRefusal::NoCommand => {
                "Redis does not know a command that nudged needs: the command was renamed, or the \
                 server is not Redis 7.0 or newer"
            }
            RedisRefusal::WrongType | RedisRefusal::NoScript | RedisRefusal::Other => return None,
        })
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        RedisRefusal::ALL[self.index()].1
    }

    /// Its place in tables of counters, below `COUNT`.
    pub fn index(self) -> usize {
        RedisRefusal::ALL.iter().position(|(kind, _)| *kind == self).expect("every kind is listed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::counters::REFUSALS;

    #[test]
    fn kinds_are_told_by_the_first_word() {
        for (text, kind) in [
            ("LOADING Redis is loading the dataset in memory", RedisRefusal::Loading),
            ("MASTERDOWN Link with MASTER is down", RedisRefusal::PrimaryDown),
            ("BUSY Redis is busy running a script.", RedisRefusal::Busy),
            ("READONLY You can't write against a read only replica.", RedisRefusal::ReadOnly),
            ("NOREPLICAS Not enough good replicas to write.", RedisRefusal::ReadOnly),
            ("OOM command not allowed", RedisRefusal::OutOfMemory),
            ("MISCONF Redis is configured to save RDB snapshots", RedisRefusal::Misconfigured),
            ("CLUSTERDOWN The cluster is down", RedisRefusal::Cluster),
            ("MOVED 1 127.0.0.1:7000", RedisRefusal::Cluster),
            ("NOAUTH Authentication required.", RedisRefusal::Denied),
            ("NOPERM this user has no permissions", RedisRefusal::Denied),
            ("WRONGPASS invalid username-password pair", RedisRefusal::Denied),
            ("WRONGTYPE Operation against a key", RedisRefusal::WrongType),
            ("NOSCRIPT No matching script.", RedisRefusal::NoScript),
            ("ERR unknown command 'EVALSHA', with args", RedisRefusal::NoCommand),
            ("ERR Unknown Redis command called from script", RedisRefusal::NoCommand),
            (
                "ERR The user executing the script can't run this command or subcommand script: x",
                RedisRefusal::Denied,
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned",
                RedisRefusal::Denied,
            ),
            ("NOPERM ACL failure in script: User n has no permissions", RedisRefusal::Denied),
            ("ERR ACL failure in script", RedisRefusal::Denied),
            ("ERR syntax error", RedisRefusal::Other),
            ("ERR", RedisRefusal::Other),
            ("", RedisRefusal::Other),
            ("OOMPH", RedisRefusal::Other),
        ] {
            assert_eq!(RedisRefusal::of(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn each_kind_has_its_place() {
        assert_eq!(RedisRefusal::ALL.map(|(_, name)| name), REFUSALS);
        for (place, (kind, _)) in RedisRefusal::ALL.iter().enumerate() {
            assert_eq!(kind.index(), place);
        }
    }
}
