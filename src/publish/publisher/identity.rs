//! The certificate of listeners that speak TLS, read anew at each reload: from its files also where
//! no setting has changed.

use std::sync::Arc;

use super::ConfigRefused;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::Config;
use nudged_runtime::{clocks, tls_files};
use nudged_tls::{SharedIdentity, TlsIdentity};

/// The setting that names it.
pub(super) const CERTIFICATE: &str = "tls.certificate";

/// Reads what a configuration names.
///
/// # Errors
/// It is no good, or gone while a listener that runs needs it.
pub(super) fn read(config: &Config) -> Result<Option<TlsIdentity>, ConfigRefused> {
    let identity = tls_files::read(&config.tls);
    let identity = identity.map_err(|error| ConfigRefused(vec![error.to_string()]))?;
    match config.tls_listener().filter(|_| identity.is_none()) {
        None => Ok(identity),
        Some(listener) => Err(ConfigRefused(vec![format!(
            "{CERTIFICATE}: `{listener}` speaks TLS until the next restart, and needs it till then"
        )])),
    }
}

/// Has new connections use another certificate, where clients would see that it is another one;
/// those that stand go on. Gives whether they do.
pub(super) fn replace(shared: &SharedIdentity, identity: Option<TlsIdentity>, log: &Log) -> bool {
    let is_same = match (&identity, shared.current()) {
        (Some(identity), Some(current)) => identity.is_same(&current),
        (identity, current) => identity.is_none() && current.is_none(),
    };
    if is_same {
        return false;
    }
    let not_after_s = identity.as_ref().map(|identity| identity.not_after_s);
    shared.replace(identity.map(Arc::new));
    if let Some(not_after_s) = not_after_s {
        let until = LogValue::Number(u64::try_from(not_after_s).unwrap_or(0));
        log.write(clocks::now(), Message::CertificateLoaded, &[("not_after", until)]);
    }
    true
}
