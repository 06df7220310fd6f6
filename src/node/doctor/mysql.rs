//! MySQL as the store: is it there, with the schema and the rights of a node, and set up to keep
//! what it is told. Asks; `judge` decides on what was answered. What a node sets for its own
//! sessions is judged by what it means for everybody else.

use super::host::{quantiles, size_of, time_of};
use super::report::{Concern, Diagnosis};
use nudged_config::{Config, SecretText};
use nudged_store::mysql::{ServerSurvey, survey};
use nudged_store::{FailureKind, StoreError};

pub(super) const MYSQL: Concern = Concern {
    name: "mysql",
    why: "records wait in the journal while it is away, and users missing in Redis are not found",
};
pub(super) const REPLICA: Concern =
    Concern { name: "mysql_replica", why: "reports are read from mysql.replica" };
const VERSION: Concern = Concern {
    name: "mysql_version",
    why: "statements are those of MySQL 5.7, MariaDB 10.6 and newer",
};
const SCHEMA: Concern =
    Concern { name: "mysql_schema", why: "a node does not start on another schema than its own" };
const RIGHTS: Concern =
    Concern { name: "mysql_rights", why: "a node that is refused a right is not ready" };
const WRITES: Concern =
    Concern { name: "mysql_read_only", why: "a server that takes no writes fills the journal" };
const MODE: Concern = Concern {
    name: "mysql_sql_mode",
    why: "nudged is strict in its own sessions; without it your own statements cut data silently",
};
const PACKET: Concern = Concern {
    name: "mysql_max_allowed_packet",
    why: "a statement has half of it: below 4 MiB batches are small, and large popups are refused",
};
const ISOLATION: Concern = Concern {
    name: "mysql_isolation",
    why: "nudged sets READ COMMITTED for itself; these read half a batch, or wait for each other",
};
const FLUSH: Concern = Concern {
    name: "mysql_flush",
    why: "otherwise a crash of the server loses transactions that only the journal still has",
};
const BINLOG: Concern = Concern {
    name: "mysql_binlog",
    why: "a binary log behind the tables lacks commits at a restore; STATEMENT refuses each batch",
};
const GALERA: Concern = Concern {
    name: "mysql_galera",
    why: "a commit may be lost with its cluster node: all nodes have to write to the same one",
};
const ZONE: Concern = Concern {
    name: "mysql_time_zone",
    why: "hours and days in the tables are UTC; in another zone FROM_UNIXTIME shows others",
};
const LATENCY: Concern = Concern {
    name: "mysql_latency",
    why: "a batch is some ten round trips; a user missing in Redis waits for one",
};

/// What statements are cut to at most is half of a packet of this size, in bytes.
const PACKET_LEAST: u64 = 4 << 20;
/// Slower round trips hold the writer up, in microseconds.
const SLOW_US: u64 = 20_000;

/// Asks the server of a configuration; nothing without one.
pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let Some(url) = &config.mysql.url else { return Vec::new() };
    match survey(config, url) {
        Ok(survey) => judge(&survey),
        Err(error) => vec![away(&MYSQL, &error)],
    }
}

/// Looks whether the server for reports is there; nothing without one.
pub(super) fn check_replica(config: &Config) -> Vec<Diagnosis> {
    let Some(url) = &config.mysql.replica else { return Vec::new() };
    let url: &SecretText = url;
    vec![match survey(config, url) {
        Ok(survey) => REPLICA.ok(survey.server),
        Err(error) => away(&REPLICA, &error),
    }]
}

/// What shows a person whether the server of a url answers at all; without its user and password.
pub(super) fn reach(url: Option<&SecretText>) -> String {
    let url = url.map_or("", SecretText::expose);
    let place = url.rsplit_once('@').or(url.split_once("://")).map_or("", |(_, place)| place);
    let place = place.split('?').next().unwrap_or_default();
    let client = MysqlCli::of(&format!("mysql {place}"));
    format!("{} ping  # it takes connections and says nothing", client.admin())
}

fn away(concern: &Concern, error: &StoreError) -> Diagnosis {
    let StoreError::Server { server, .. } = error else {
        return concern.fail(error.to_string(), "nudged check");
    };
    let client = MysqlCli::of(server);
    let mend = match error.kind() {
        FailureKind::Denied | FailureKind::Schema => {
            client.reads("vendor-config/mysql/grants.sql  # once its passwords are changed")
        }
        FailureKind::Crowded => client.sets("max_connections", "200"),
        _ => format!("{} ping  # then mysql.url, bind-address and the firewall", client.admin()),
    };
    concern.fail(error.to_string(), mend)
}

/// How a person reaches the first of a url's servers.
struct MysqlCli {
    host: String,
    port: String,
    database: String,
}

impl MysqlCli {
    /// From what errors call it: `mysql HOST:PORT,.../DATABASE`.
    fn of(server: &str) -> MysqlCli {
        let rest = server.strip_prefix("mysql ").unwrap_or(server);
        let (hosts, database) = rest.rsplit_once('/').unwrap_or((rest, "nudged"));
        let first = hosts.split(',').next().unwrap_or(hosts);
        let (host, port) = match first.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (first, "3306"),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        MysqlCli { host, port: port.to_owned(), database: database.to_owned() }
    }

    fn command(&self) -> String {
        format!("mysql -h {} -P {} -u root -p", self.host, self.port)
    }

    fn admin(&self) -> String {
        format!("mysqladmin -h {} -P {}", self.host, self.port)
    }

    fn reads(&self, file: &str) -> String {
        format!("{} < {file}", self.command())
    }

    fn says(&self, sql: &str) -> String {
        format!("{} -e \"{sql}\"", self.command())
    }

    /// A setting, until the next start of the server; its file keeps it.
    fn sets(&self, name: &str, value: &str) -> String {
        let sql = self.says(&format!("SET GLOBAL {name} = {value}"));
        format!("{sql}  # to keep: vendor-config/mysql/nudged.cnf")
    }
}

fn judge(survey: &ServerSurvey) -> Vec<Diagnosis> {
    let client = MysqlCli::of(&survey.server);
    let get = |name: &str| survey.variables.get(name).map(String::as_str);
    let mut found = vec![MYSQL.ok(format!("{} answers", survey.server))];
    found.extend(get("version").map(version));
    found.push(schema(&survey.schema, &client));
    found.push(rights(survey, &client));
    if get("read_only").is_some_and(is_on) {
        let mend = client.sets("read_only", "OFF");
        found.push(
            WRITES.fail("read_only is ON", format!("{mend}; or name the primary in mysql.url")),
        );
    }
    found.extend(get("sql_mode").map(|mode| match mode.contains("STRICT_") {
        true => MODE.ok(mode),
        false => {
            let strict = "CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES')";
            let shown = if mode.is_empty() { "empty" } else { mode };
            MODE.warn(
                format!("{shown}, without STRICT_TRANS_TABLES"),
                client.sets("sql_mode", strict),
            )
        }
    }));
    found.extend(get("max_allowed_packet").and_then(|text| text.parse().ok()).map(|bytes: u64| {
        match bytes < PACKET_LEAST {
            true => PACKET.warn(size_of(bytes), client.sets("max_allowed_packet", "67108864")),
            false => PACKET.ok(size_of(bytes)),
        }
    }));
    found.extend(get("transaction_isolation").or(get("tx_isolation")).map(|level| match level {
        "READ-UNCOMMITTED" | "SERIALIZABLE" => {
            let sql = client.says("SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED");
            ISOLATION.warn(level, format!("{sql}  # to keep: vendor-config/mysql/nudged.cnf"))
        }
        level => ISOLATION.ok(level),
    }));
    found.extend(get("innodb_flush_log_at_trx_commit").map(|value| {
        let shown = format!("innodb_flush_log_at_trx_commit is {value}");
        match value {
            "1" => FLUSH.ok(shown),
            _ => FLUSH.warn(shown, client.sets("innodb_flush_log_at_trx_commit", "1")),
        }
    }));
    found.push(binlog(&get, &client));
    found.push(galera(&get, &client));
    found.extend(zone(&get, &client));
    found.extend(latency(&survey.round_trips_us, &client));
    found
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("ON") || value == "1"
}

fn version(text: &str) -> Diagnosis {
    let is_maria = text.to_ascii_lowercase().contains("mariadb");
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let found = (number(numbers.next()), number(numbers.next()));
    let least = if is_maria { (10, 6) } else { (5, 7) };
    match found < least {
        true => VERSION.fail(text, "apt-get install -y mariadb-server  # 10.6 or newer: Debian 12"),
        false => VERSION.ok(text),
    }
}

fn schema(found: &Result<(), StoreError>, client: &MysqlCli) -> Diagnosis {
    match found {
        Ok(()) => SCHEMA.ok("the one of this version"),
        Err(error @ StoreError::SchemaNewer { .. }) => SCHEMA.fail(
            error.to_string(),
            "nudged --version  # then the package of the newer version on this host",
        ),
        Err(error @ StoreError::SchemaOlder { .. }) => {
            let MysqlCli { host, port, database } = client;
            let url = format!("mysql://nudged_migrate:PASSWORD@{host}:{port}/{database}");
            SCHEMA.fail(error.to_string(), format!("NUDGED_MYSQL_URL={url} nudged migrate"))
        }
        Err(error) => SCHEMA.fail(error.to_string(), client.says("SHOW PROCESSLIST")),
    }
}

fn rights(survey: &ServerSurvey, client: &MysqlCli) -> Diagnosis {
    let missing = match &survey.missing_rights {
        Ok(missing) => missing,
        Err(error) => return RIGHTS.fail(error.to_string(), client.says("SHOW PROCESSLIST")),
    };
    if survey.schema.is_err() {
        return RIGHTS.warn("not tried without the schema", "nudged doctor  # after the migration");
    }
    if missing.is_empty() {
        return RIGHTS.ok(format!("all that a node needs, as {}", survey.account));
    }
    // As GRANT takes an account: 'name'@'host'.
    let (name, host) = survey.account.rsplit_once('@').unwrap_or((&survey.account, "%"));
    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {}.* TO '{name}'@'{host}'",
        client.database
    );
    let shown = missing.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
    let more = missing.len().saturating_sub(4);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    RIGHTS.fail(format!("{} lacks {shown}{more}", survey.account), client.says(&grant))
}

fn binlog<'a>(get: &dyn Fn(&str) -> Option<&'a str>, client: &MysqlCli) -> Diagnosis {
    if !get("log_bin").is_some_and(is_on) {
        return BINLOG.ok("off");
    }
    let (format, sync) = (get("binlog_format").unwrap_or("ROW"), get("sync_binlog").unwrap_or("1"));
    let shown = format!("binlog_format is {format}, sync_binlog is {sync}");
    if format.eq_ignore_ascii_case("STATEMENT") {
        return BINLOG.fail(shown, client.sets("binlog_format", "'ROW'"));
    }
    match sync {
        "1" => BINLOG.ok(shown),
        _ => BINLOG.warn(shown, client.sets("sync_binlog", "1")),
    }
}

fn galera<'a>(get: &dyn Fn(&str) -> Option<&'a str>, client: &MysqlCli) -> Diagnosis {
    match get("wsrep_on").is_some_and(is_on) {
        true => GALERA.warn(
            "wsrep_on is ON",
            format!(
                "NUDGED_MYSQL_URL=mysql://USER:PASSWORD@{}:{}/{} nudged serve  # the same first host \
                 on every node",
                client.host, client.port, client.database
            ),
        ),
        false => GALERA.ok("off"),
    }
}

fn zone<'a>(get: &dyn Fn(&str) -> Option<&'a str>, client: &MysqlCli) -> Option<Diagnosis> {
    let (zone, system) = (get("time_zone")?, get("system_time_zone").unwrap_or_default());
    let shown = if zone == "SYSTEM" { format!("SYSTEM, {system}") } else { zone.to_owned() };
    let meant = if zone == "SYSTEM" { system } else { zone };
    Some(match meant {
        "UTC" | "GMT" | "+00:00" | "-00:00" | "Etc/UTC" => ZONE.ok(shown),
        _ => ZONE.warn(shown, client.sets("time_zone", "'+00:00'")),
    })
}

fn latency(times_us: &[u64], client: &MysqlCli) -> Option<Diagnosis> {
    let (middle, slow) = quantiles(times_us.to_vec())?;
    let found = format!("p50 {}, p99 {} of {}", time_of(middle), time_of(slow), times_us.len());
    Some(match middle > SLOW_US {
        true => LATENCY.warn(found, client.says("SHOW PROCESSLIST")),
        false => LATENCY.ok(found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::report::Condition::{self, Fail, Ok as Good, Warn};

    fn of(variables: &[(&str, &str)]) -> ServerSurvey {
        let usual = [
            ("version", "10.11.6-MariaDB-0+deb12u1"),
            ("sql_mode", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"),
            ("max_allowed_packet", "16777216"),
            ("tx_isolation", "REPEATABLE-READ"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("log_bin", "OFF"),
            ("time_zone", "SYSTEM"),
            ("system_time_zone", "UTC"),
        ];
        let variables = usual.iter().chain(variables);
        let variables = variables.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        ServerSurvey {
            server: "mysql db1:3307,db2/shop".to_owned(),
            account: "nudged@10.0.0.%".to_owned(),
            variables,
            round_trips_us: vec![300; 20],
            schema: Ok(()),
            missing_rights: Ok(Vec::new()),
        }
    }

    fn wrong(survey: &ServerSurvey) -> Vec<(&'static str, Condition, String)> {
        let all = judge(survey).into_iter();
        all.filter(|one| one.status != Good).map(|one| (one.name, one.status, one.mend)).collect()
    }

    #[test]
    fn a_server_as_it_is_installed_is_fine() {
        assert_eq!(wrong(&of(&[])), []);
        assert_eq!(judge(&of(&[])).len(), 12);
    }

    #[test]
    fn each_setting_that_is_wrong_has_its_line_and_its_command() {
        let binlog = [("log_bin", "ON"), ("sync_binlog", "0"), ("binlog_format", "ROW")];
        let statement = [("log_bin", "ON"), ("sync_binlog", "1"), ("binlog_format", "STATEMENT")];
        type Table<'a> = [(&'a [(&'a str, &'a str)], &'a str, Condition, &'a str)];
        let table: &Table<'_> = &[
            (&[("version", "10.5.1-MariaDB")], "mysql_version", Fail, "apt-get"),
            (&[("version", "5.6.51-log")], "mysql_version", Fail, "apt-get"),
            (&[("read_only", "ON")], "mysql_read_only", Fail, "read_only = OFF"),
            (&[("sql_mode", "")], "mysql_sql_mode", Warn, "STRICT_TRANS_TABLES"),
            (&[("max_allowed_packet", "1048576")], "mysql_max_allowed_packet", Warn, "67108864"),
            (&[("tx_isolation", "READ-UNCOMMITTED")], "mysql_isolation", Warn, "READ COMMITTED"),
            (&[("transaction_isolation", "SERIALIZABLE")], "mysql_isolation", Warn, "READ COM"),
            (&[("innodb_flush_log_at_trx_commit", "2")], "mysql_flush", Warn, "commit = 1"),
            (&binlog, "mysql_binlog", Warn, "sync_binlog = 1"),
            (&statement, "mysql_binlog", Fail, "binlog_format = 'ROW'"),
            (&[("wsrep_on", "ON")], "mysql_galera", Warn, "db1:3307/shop"),
            (&[("system_time_zone", "CET")], "mysql_time_zone", Warn, "time_zone = '+00:00'"),
            (&[("time_zone", "Europe/Berlin")], "mysql_time_zone", Warn, "-h db1 -P 3307"),
        ];
        for (variables, name, status, mend) in table {
            let found = wrong(&of(variables));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].0, found[0].1), (*name, *status));
            assert!(found[0].2.contains(mend), "{found:?}");
        }
        assert_eq!(wrong(&of(&[("version", "8.0.11-TiDB-v7.5.0")])), []);
    }

    #[test]
    fn a_server_that_says_nothing_is_named_without_its_password() {
        for url in ["mysql://u:canary@h:3307,i/d?require_ssl=true", "mysql://h:3307/d"] {
            let said = reach(Some(&SecretText::new(url.to_owned())));
            assert!(said.starts_with("mysqladmin -h h -P 3307 ping  # "), "{said}");
        }
    }

    #[test]
    fn rights_and_schema_are_named_with_what_gives_them() {
        let mut survey = of(&[]);
        survey.missing_rights = Ok(vec!["INSERT ON events".to_owned(); 6]);
        let found = wrong(&survey);
        assert_eq!((found[0].0, found[0].1), ("mysql_rights", Fail));
        let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'nudged'@'10.0.0.%'";
        assert!(found[0].2.contains(grant), "{found:?}");
        let mut survey = of(&[]);
        let server = "mysql db1/shop".into();
        survey.schema = Err(StoreError::SchemaOlder { server, found: 0, known: 3 });
        let found = wrong(&survey);
        assert_eq!((found[0].0, found[0].1, found[1].1), ("mysql_schema", Fail, Warn));
        assert!(found[0].2.ends_with("@db1:3307/shop nudged migrate"), "{found:?}");
        let mut survey = of(&[]);
        survey.round_trips_us = vec![30_000; 20];
        assert_eq!(wrong(&survey)[0].0, "mysql_latency");
    }
}
