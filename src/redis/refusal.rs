//! The errors of Redis by kind.

/// Kinds of errors that Redis answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
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

impl Refusal {
    /// How many kinds there are.
    pub const COUNT: usize = 12;
    /// Every kind with its name in metrics, in the order of `index`.
    pub const ALL: [(Refusal, &'static str); Refusal::COUNT] = [
        (Refusal::Loading, "loading"),
        (Refusal::PrimaryDown, "primary_down"),
        (Refusal::Busy, "busy"),
        (Refusal::ReadOnly, "read_only"),
        (Refusal::OutOfMemory, "out_of_memory"),
        (Refusal::Misconfigured, "misconfigured"),
        (Refusal::Cluster, "cluster"),
        (Refusal::Denied, "denied"),
        (Refusal::WrongType, "wrong_type"),
        (Refusal::NoScript, "no_script"),
        (Refusal::NoCommand, "no_command"),
        (Refusal::Other, "other"),
    ];

    /// The kind of an error reply: its text without the leading `-`.
    pub fn of(text: &[u8]) -> Refusal {
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        match &text[..end] {
            b"LOADING" => Refusal::Loading,
            b"MASTERDOWN" => Refusal::PrimaryDown,
            b"BUSY" => Refusal::Busy,
            b"READONLY" | b"NOREPLICAS" => Refusal::ReadOnly,
            b"OOM" => Refusal::OutOfMemory,
            b"MISCONF" => Refusal::Misconfigured,
            b"CLUSTERDOWN" | b"MOVED" | b"ASK" | b"TRYAGAIN" | b"CROSSSLOT" => Refusal::Cluster,
            b"NOAUTH" | b"NOPERM" | b"WRONGPASS" => Refusal::Denied,
            b"WRONGTYPE" => Refusal::WrongType,
            b"NOSCRIPT" => Refusal::NoScript,
            b"ERR" => Refusal::of_words(&text[end..]),
            _ => Refusal::Other,
        }
    }

    /// What has no word of its own. Redis 7.0 says so where a script calls what its user may not.
    fn of_words(words: &[u8]) -> Refusal {
        let begins = |start: &[u8]| words.len() >= start.len() && words[..start.len()] == *start;
        if begins(b" The user executing the script can't") || begins(b" ACL failure in script") {
            Refusal::Denied
        } else if begins(b" unknown command") || begins(b" Unknown Redis command") {
            Refusal::NoCommand
        } else {
            Refusal::Other
        }
    }

    /// What is wrong with the server and what mends it, for people; `None` for what passes by
    /// itself, or is not of the whole server.
    pub fn mend(self) -> Option<&'static str> {
        Some(match self {
            Refusal::Loading => "Redis is loading its data: wait until it has finished",
            Refusal::PrimaryDown => "Redis is a replica and has lost its primary",
            Refusal::Busy => "Redis is busy running a script: end it with SCRIPT KILL",
            Refusal::ReadOnly => {
                "Redis accepts no writes: it is a replica (set redis.url to its primary), or it \
                 has fewer replicas than min-replicas-to-write"
            }
            Refusal::OutOfMemory => {
                "Redis is out of memory: raise maxmemory and keep maxmemory-policy noeviction"
            }
            Refusal::Misconfigured => {
                "Redis can't save its data to disk, so it accepts no writes: check its log and disk"
            }
            Refusal::Cluster => {
                "Redis runs in cluster mode: redis.url must name a standalone server"
            }
            Refusal::Denied => {
                "Redis denies a permission that nudged needs: grant the rights in \
                 vendor-config/redis/users.acl"
            }
            Refusal::NoCommand => {
                "Redis does not know a command that nudged needs: the command was renamed, or the \
                 server is not Redis 7.0 or newer"
            }
            Refusal::WrongType | Refusal::NoScript | Refusal::Other => return None,
        })
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        Refusal::ALL[self.index()].1
    }

    /// Its place in tables of counters, below `COUNT`.
    pub fn index(self) -> usize {
        Refusal::ALL.iter().position(|(kind, _)| *kind == self).expect("every kind is listed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::counters::REFUSALS;

    #[test]
    fn kinds_are_told_by_the_first_word() {
        for (text, kind) in [
            ("LOADING Redis is loading the dataset in memory", Refusal::Loading),
            ("MASTERDOWN Link with MASTER is down", Refusal::PrimaryDown),
            ("BUSY Redis is busy running a script.", Refusal::Busy),
            ("READONLY You can't write against a read only replica.", Refusal::ReadOnly),
            ("NOREPLICAS Not enough good replicas to write.", Refusal::ReadOnly),
            ("OOM command not allowed", Refusal::OutOfMemory),
            ("MISCONF Redis is configured to save RDB snapshots", Refusal::Misconfigured),
            ("CLUSTERDOWN The cluster is down", Refusal::Cluster),
            ("MOVED 1 127.0.0.1:7000", Refusal::Cluster),
            ("NOAUTH Authentication required.", Refusal::Denied),
            ("NOPERM this user has no permissions", Refusal::Denied),
            ("WRONGPASS invalid username-password pair", Refusal::Denied),
            ("WRONGTYPE Operation against a key", Refusal::WrongType),
            ("NOSCRIPT No matching script.", Refusal::NoScript),
            ("ERR unknown command 'EVALSHA', with args", Refusal::NoCommand),
            ("ERR Unknown Redis command called from script", Refusal::NoCommand),
            (
                "ERR The user executing the script can't run this command or subcommand script: x",
                Refusal::Denied,
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned",
                Refusal::Denied,
            ),
            ("NOPERM ACL failure in script: User n has no permissions", Refusal::Denied),
            ("ERR ACL failure in script", Refusal::Denied),
            ("ERR syntax error", Refusal::Other),
            ("ERR", Refusal::Other),
            ("", Refusal::Other),
            ("OOMPH", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn each_kind_has_its_place() {
        assert_eq!(Refusal::ALL.map(|(_, name)| name), REFUSALS);
        for (place, (kind, _)) in Refusal::ALL.iter().enumerate() {
            assert_eq!(kind.index(), place);
        }
    }
}
