//! Relations between keys: what each of them takes, and together they can't mean. One is looked at
//! only where its keys could be read.

use std::net::SocketAddr;

use super::layers::Layers;
use super::problem::ProblemKind;
use super::schema::{AdminAddress, Count, QueueMode};
use super::url::REDIS_LATER;
use nudged_base::limits::SLICE_SHARD_BYTES_MIN;

/// Refuses what does not go together.
pub(super) fn check(layers: &mut Layers) {
    check_stores(layers);
    check_listeners(layers);
    check_tls(layers);
    if layers.all_read(&["keys.server", "keys.public"]) {
        let keys = &layers.config.keys;
        if keys.public.iter().any(|key| keys.server.contains(key)) {
            layers.refuse_key("keys.public", ProblemKind::SameKey("keys.server"));
        }
    }
    if layers.all_read(&["keys.server", "keys.public", "keys.identity"]) {
        check_identity(layers);
    }
    if layers.config.limits.key_rate.is_some()
        && layers.config.keys.server.is_empty()
        && layers.config.keys.public.is_empty()
        && layers.all_read(&["limits.key_rate", "keys.server", "keys.public"])
    {
        let kind = ProblemKind::NeedsEither("keys.public", "keys.server");
        layers.refuse_key("limits.key_rate", kind);
    }
    if layers.all_read(&["lame_duck", "drain_timeout"])
        && layers.config.lame_duck > layers.config.drain_timeout
    {
        layers.refuse_key("lame_duck", ProblemKind::LongerThan("drain_timeout"));
    }
    if let Count::Exactly(shards) = layers.config.shards {
        let needed = u64::from(shards) * SLICE_SHARD_BYTES_MIN;
        if layers.all_read(&["shards", "slice_bytes"]) && layers.config.slice_bytes < needed {
            let kind = ProblemKind::SliceTooSmall { shards, needed_mib: needed >> 20 };
            layers.refuse_key("slice_bytes", kind);
        }
    }
}

/// Users are proven to those who are not trusted, so somebody has to be.
fn check_identity(layers: &mut Layers) {
    let keys = &layers.config.keys;
    if keys.identity.is_empty() {
        return;
    }
    if keys.server.is_empty() && keys.public.is_empty() {
        let kind = ProblemKind::NeedsEither("keys.public", "keys.server");
        layers.refuse_key("keys.identity", kind);
    } else if keys.identity.iter().any(|secret| keys.public.contains(secret)) {
        // Everybody who looks into a page has that.
        layers.refuse_key("keys.identity", ProblemKind::SameKey("keys.public"));
    }
}

fn check_stores(layers: &mut Layers) {
    let (redis, mysql) = (layers.config.redis.url.is_some(), layers.config.mysql.url.is_some());
    if redis && !mysql && layers.all_read(&["redis.url", "mysql.url"]) {
        layers.refuse_key("redis.url", ProblemKind::Needs("mysql.url"));
    }
    let url = layers.config.redis.url.as_ref().map_or("", |url| url.expose());
    let scheme = url.split("://").next().unwrap_or("");
    if let Some((_, what)) = REDIS_LATER.iter().find(|(later, _)| *later == scheme)
        && layers.all_read(&["redis.url"])
    {
        layers.refuse_key("redis.url", ProblemKind::NotYet(what));
    }
    if layers.config.redis.breaker_open > layers.config.redis.breaker_open_max
        && layers.all_read(&["redis.breaker_open", "redis.breaker_open_max"])
    {
        layers.refuse_key("redis.breaker_open", ProblemKind::LongerThan("redis.breaker_open_max"));
    }
    if layers.config.mysql.replica.is_some()
        && !mysql
        && layers.all_read(&["mysql.url", "mysql.replica"])
    {
        layers.refuse_key("mysql.replica", ProblemKind::Needs("mysql.url"));
    }
    if layers.config.queue == QueueMode::Redis && !redis && layers.all_read(&["queue", "redis.url"])
    {
        layers.refuse_key("queue", ProblemKind::Needs("redis.url"));
    }
}

/// Whoever speaks TLS needs a certificate, and a certificate its key.
fn check_tls(layers: &mut Layers) {
    let keys = ["listen", "admin", "tls.certificate", "tls.key"];
    if !layers.all_read(&keys) {
        return;
    }
    let settings = &layers.config.tls;
    let has = (settings.certificate.is_some(), settings.key.is_some());
    match (layers.config.tls_listener(), has) {
        (Some(listener), (false, _)) => {
            layers.refuse_key(&listener, ProblemKind::Needs("tls.certificate"));
        }
        (Some(listener), (true, false)) => {
            layers.refuse_key(&listener, ProblemKind::Needs("tls.key"));
        }
        (None, (true, false)) => {
            layers.refuse_key("tls.certificate", ProblemKind::Needs("tls.key"));
        }
        (None, (false, true)) => {
            layers.refuse_key("tls.key", ProblemKind::Needs("tls.certificate"));
        }
        _ => {}
    }
}

fn check_listeners(layers: &mut Layers) {
    if !layers.config.admin.is_local()
        && layers.config.admin_token_file.is_none()
        && layers.all_read(&["admin", "admin_token_file"])
    {
        layers.refuse_key("admin", ProblemKind::TokenMissing);
    }
    if !layers.all_read(&["listen"]) {
        return;
    }
    let needs = layers.config.listen.iter().position(|listener| listener.is_proxied);
    if let Some(index) = needs
        && layers.config.proxy_protocol.networks.is_empty()
        && layers.all_read(&["proxy_protocol.networks"])
    {
        let kind = ProblemKind::Needs("proxy_protocol.networks");
        layers.refuse_key(&format!("listen[{index}]"), kind);
    }
    let listen: Vec<_> = layers.config.listen.iter().map(|listener| listener.address).collect();
    for (index, address) in listen.iter().enumerate() {
        if let Some(other) = listen[..index].iter().position(|other| overlap(*other, *address)) {
            let kind = ProblemKind::SameAddress(format!("listen[{other}]"));
            layers.refuse_key(&format!("listen[{index}]"), kind);
        }
    }
    if let AdminAddress::Tcp(admin) | AdminAddress::Tls(admin) = layers.config.admin
        && let Some(index) = listen.iter().position(|address| overlap(*address, admin))
        && layers.all_read(&["admin"])
    {
        let name = if listen.len() == 1 { "listen".to_owned() } else { format!("listen[{index}]") };
        layers.refuse_key("admin", ProblemKind::SameAddress(name));
    }
}

/// Whether the system gives one of the two to a single socket alone. `[::]` takes IPv4 too on most
/// hosts, but not on all, so that it is left to them.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let is_any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || is_any)
}
