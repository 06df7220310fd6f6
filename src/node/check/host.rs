//! What only this host can tell of a configuration, before a node starts on it: CPUs, descriptors,
//! the files and directories that it names, its addresses. Changes nothing, asks no server, and
//! holds nobody up: what a running node has in use is a warning, for that node may be the one whose
//! reload is checked.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use super::directory;
use super::report::{CheckReport, Finding, Severity};
use crate::node::serve::size;
use crate::node::upgrade::given::{Askers, GivenSockets};
use crate::node::{preflight, redis};
use nudged_admin::token::AdminToken;
use nudged_base::limits::TLS_EXPIRY_WARNING_S;
use nudged_config::{AdminAddress, Config, Examined, SecretText, SettingSource};
use nudged_runtime::shard::listener;
use nudged_runtime::topology::Topology;
use nudged_runtime::{clocks, tls_files};
use nudged_store::mysql;

/// What is looked at, and where it is told.
pub(super) struct HostCheck<'a> {
    pub(super) examined: &'a Examined,
    pub(super) report: &'a mut CheckReport,
}

impl<'a> HostCheck<'a> {
    pub(super) fn config(&self) -> &'a Config {
        &self.examined.loaded.config
    }

    /// Adds a problem of a key, which its text need not name once more.
    fn add(&mut self, severity: Severity, key: &str, (code, text): (&'static str, String)) {
        let of_table = key.split('[').next().unwrap_or(key);
        let origin = self.examined.loaded.origin(of_table);
        let message = text.strip_prefix(key).and_then(|text| text.strip_prefix(": "));
        let message = message.map_or(text.clone(), str::to_owned);
        self.report.add(Finding::new(severity, key, code, message).at(origin));
    }

    pub(super) fn error(&mut self, key: &str, code: &'static str, problem: impl ToString) {
        self.add(Severity::Error, key, (code, problem.to_string()));
    }

    pub(super) fn warn(&mut self, key: &str, code: &'static str, problem: impl ToString) {
        self.add(Severity::Warning, key, (code, problem.to_string()));
    }
}

/// Looks at everything whose keys could be read.
pub(super) fn check(
    examined: &Examined,
    given: Result<GivenSockets, String>,
    report: &mut CheckReport,
) {
    let mut look = HostCheck { examined, report };
    let given = given.unwrap_or_else(|problem| {
        look.error("", "sockets_given", problem);
        GivenSockets::default()
    });
    check_urls(&mut look);
    check_cpus(&mut look);
    check_token(&mut look);
    check_tls(&mut look);
    if examined.are_right(&["data"]) {
        directory::check(&mut look);
    }
    check_listeners(&mut look, &given);
    check_doors(&mut look);
}

/// What the readers of the URLs say that the table of keys did not: options of MySQL.
fn check_urls(look: &mut HostCheck<'_>) {
    let config = look.config();
    if look.examined.are_right(&["redis.url"])
        && let Err(error) = redis::address_of(config)
    {
        look.error("redis.url", "bad_url", error);
    }
    for (key, url) in [("mysql.url", &config.mysql.url), ("mysql.replica", &config.mysql.replica)] {
        if let Some(url) = url
            && let Err(error) = mysql::check_url(url.expose())
        {
            look.error(key, "bad_url", error.to_string().replacen("mysql.url: ", "", 1));
        }
    }
    if redis::needs_sync(config) && config.redis.url.is_some() {
        let message = "with queue = \"redis\" a node starts only if Redis has `appendonly yes` and \
                       `appendfsync always`, which is checked at start";
        look.warn("ack", "needs_redis_synced", message);
    }
}

fn check_cpus(look: &mut HostCheck<'_>) {
    let config = look.config();
    let mut is_placed = look.examined.are_right(&["cpus", "writer_cpu", "shards"]);
    for (key, message) in preflight::wrong_cpus(config) {
        look.error(key, "cpu_not_allowed", message);
        is_placed = false;
    }
    if !is_placed {
        return;
    }
    let Ok(topology) = size::plan(config) else { return };
    if look.examined.are_right(&["slice_bytes"])
        && let Err(error) = size::check_slice(config, topology.shards)
    {
        look.error("slice_bytes", "does_not_fit", error);
    }
    if look.examined.are_right(&["connections_max"])
        && let Err(error) = size::connections_per_shard(config, topology.shards)
    {
        look.error("connections_max", "does_not_fit", error);
    }
    check_fitness(look, &topology);
}

/// Kernel and limits are this process's, and no fault of the configuration: it may be looked at
/// where it is not to run, and a unit has limits of its own.
fn check_fitness(look: &mut HostCheck<'_>, topology: &Topology) {
    if let Err(error) = preflight::check_host(look.config(), topology) {
        let message = format!("with the limits of this process a node would not start: {error}");
        look.warn("", "host_not_fit", message);
    }
}

fn check_token(look: &mut HostCheck<'_>) {
    let config = look.config();
    let Some(path) = &config.admin_token_file else { return };
    match AdminToken::read(path) {
        Ok(_) => {}
        Err(error) if config.admin.is_local() => {
            let message = format!("{error} (not in use at the moment)");
            look.warn("admin_token_file", "token_file", message);
        }
        Err(error) => look.error("admin_token_file", "token_file", error),
    }
}

/// Whether clients would take the certificate.
fn check_tls(look: &mut HostCheck<'_>) {
    if !look.examined.are_right(&["tls.certificate", "tls.key"]) {
        return;
    }
    let identity = match tls_files::read(&look.config().tls) {
        Ok(Some(identity)) => identity,
        Ok(None) => return,
        Err(error) => return look.error(error.key, "tls_file", error),
    };
    let now_s = clocks::wall().0 / 1_000;
    let left_s = identity.not_after_s.saturating_sub(now_s);
    if left_s < 0 {
        look.warn("tls.certificate", "certificate_expired", "it has expired: clients refuse it");
    } else if left_s < TLS_EXPIRY_WARNING_S {
        let days = left_s / 86_400;
        let said = format!("it expires in {days} {}", if days == 1 { "day" } else { "days" });
        look.warn("tls.certificate", "certificate_expires", said);
    }
    if identity.not_before_s > now_s {
        let said = "it is not valid yet: clients refuse it";
        look.warn("tls.certificate", "certificate_early", said);
    }
}

/// Sockets of a service manager stand for what the configuration has.
fn tell_given(look: &mut HostCheck<'_>, given: &GivenSockets) -> (bool, bool) {
    let found = look.config();
    let mut config = found.clone();
    given.addresses().stand_for(&mut config);
    let addresses = config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (for_listen, for_admin) = (
        config.listen.iter().any(|listener| given.has(Askers::Data, &listener.address.to_string())),
        given.has(Askers::Admin, &nudged_admin::text_of(&config.admin)),
    );
    let told = [
        (for_listen && found.listen != config.listen, "listen", addresses),
        (for_admin && found.admin != config.admin, "admin", nudged_admin::text_of(&config.admin)),
    ];
    for (_, key, addresses) in told.into_iter().filter(|(is_other, ..)| *is_other) {
        let message = format!("not used: the service manager gives sockets of {addresses}");
        look.warn(key, "sockets_given", message);
    }
    (for_listen, for_admin)
}

fn check_listeners(look: &mut HostCheck<'_>, given: &GivenSockets) {
    let (is_listen_given, is_admin_given) = tell_given(look, given);
    let config = look.config();
    let is_right = |key| look.examined.are_right(&[key]);
    let is_listen_right = is_right("listen") && !is_listen_given;
    let is_admin_right = is_right("admin") && !is_admin_given;
    let mut addresses: Vec<(String, SocketAddr)> = Vec::new();
    if is_listen_right {
        let names = (0..).map(|index| format!("listen[{index}]"));
        let listeners = config.listen.iter().map(|listener| listener.address);
        addresses.extend(names.zip(listeners));
    }
    match &config.admin {
        AdminAddress::Tcp(address) | AdminAddress::Tls(address) if is_admin_right => {
            addresses.push(("admin".to_owned(), *address));
        }
        AdminAddress::Unix(_) if is_admin_right => check_socket(look),
        _ => {}
    }
    check_dual_stack(look, &addresses);
    for (key, address) in addresses.iter().filter(|(_, address)| address.port() != 0) {
        match listener::probe(*address) {
            Ok(()) => {}
            Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => {
                let said = format!("{address} is in use: a second node would not start there");
                look.warn(key, "address_in_use", said);
            }
            Err(error) => look.error(key, "address_unusable", error),
        }
    }
}

/// `[::]` takes IPv4 as well, where the host is not set up otherwise.
fn check_dual_stack(look: &mut HostCheck<'_>, addresses: &[(String, SocketAddr)]) {
    let setting = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only").unwrap_or_default();
    if setting.trim() != "0" {
        return;
    }
    for (key, address) in addresses.iter().filter(|(_, address)| address.is_ipv4()) {
        let takes_it = |other: &SocketAddr| {
            other.is_ipv6() && other.ip().is_unspecified() && other.port() == address.port()
        };
        if address.port() != 0
            && let Some((other, _)) = addresses.iter().find(|(_, other)| takes_it(other))
        {
            let message = format!("`{other}` is [::] on the same port, which covers IPv4 as well");
            look.error(key, "same_address", message);
        }
    }
}

fn check_socket(look: &mut HostCheck<'_>) {
    match nudged_admin::probe(look.config()) {
        Ok(()) => {}
        Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => {
            let message = "the socket is in use: a second node would not start there";
            look.warn("admin", "address_in_use", message);
        }
        Err(error) => look.error("admin", "address_unusable", error),
    }
}

/// What is allowed and leaves something open that may not be meant to be.
fn check_doors(look: &mut HostCheck<'_>) {
    let config = look.config();
    let has_keys = !config.keys.server.is_empty() || !config.keys.public.is_empty();
    if !has_keys && look.examined.are_right(&["listen", "keys.server", "keys.public"]) {
        for (index, listener) in config.listen.iter().enumerate() {
            if !listener.address.ip().is_loopback() {
                let key = format!("listen[{index}]");
                let message = "other hosts can reach it, but `keys` has no key to ask them for";
                look.warn(&key, "keys_missing", message);
            }
        }
    }
    let url = |url: &Option<SecretText>| url.as_ref().is_some_and(|url| url.expose().contains('@'));
    let secrets = [
        ("redis.url", url(&config.redis.url)),
        ("mysql.url", url(&config.mysql.url)),
        ("mysql.replica", url(&config.mysql.replica)),
        ("keys.server", !config.keys.server.is_empty()),
        ("keys.public", !config.keys.public.is_empty()),
        ("keys.identity", !config.keys.identity.is_empty()),
    ];
    for (key, _) in secrets.into_iter().filter(|(_, is_there)| *is_there) {
        let Some(SettingSource::File { name, .. }) = look.examined.loaded.origin(key) else {
            continue;
        };
        let name = name.to_string();
        let mode = std::fs::metadata(&name).map(|found| found.permissions().mode() & 0o777);
        if let Ok(mode) = mode
            && mode & 0o004 != 0
        {
            let message = format!(
                "it holds a secret, but everybody can read {name} (mode {mode:o}): `chmod o= \
                 {name}`"
            );
            return look.warn(key, "secret_readable", message);
        }
    }
}
