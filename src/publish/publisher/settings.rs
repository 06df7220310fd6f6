//! What a configuration says to those who are not told of it otherwise: to decisions, to the
//! shards' listeners, and to the log.

use std::io::IsTerminal as _;

use nudged_api::access::Access;
use nudged_api::cors::Cors;
use nudged_api::identity::IdentitySecrets;
use nudged_api::visitors::{PreviewUsers, VisitorRules};
use nudged_config::{Config, LogFormat};
use nudged_domain::catalog::snapshot::Settings;
use nudged_shard::view::Rules;

/// Whether log lines are JSON: by default they are, but for a terminal.
pub fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    }
}

/// The settings of decisions.
pub fn settings_of(config: &Config) -> Settings {
    let tz = Settings::parse("0s", 0, 0, &config.tz).expect("the configuration has read the zone");
    Settings {
        quiet_time: config.quiet_time,
        max_per_day: config.max_per_day,
        max_per_session: config.max_per_session,
        tz: tz.tz,
    }
}

/// Keys by listener, origins, and who may be named. Keys are asked for on loopback too: behind a
/// proxy on this host everybody comes from there.
pub(super) fn rules_of(config: &Config) -> Rules {
    let server = config.keys.server.iter().map(|key| key.expose());
    let public = config.keys.public.iter().map(|key| key.expose());
    let access = Access::new(server, public).limited(config.limits.of_key());
    let cors = Cors::new(config.cors.origins.clone(), config.cors.max_age);
    let secrets = config.keys.identity.iter().map(|secret| secret.expose());
    let visitors = VisitorRules {
        identity: IdentitySecrets::new(secrets),
        preview: PreviewUsers::new(config.preview.users.iter().map(String::as_str)),
    };
    Rules { access: vec![access; config.listen.len()], cors, visitors }
}
