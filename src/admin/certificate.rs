//! The last days of the certificate: warned of once a day, and when another one is loaded.

use super::service::Service;
use nudged_base::limits::{TLS_EXPIRY_WARNING_PERIOD_MS, TLS_EXPIRY_WARNING_S};
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_runtime::clocks;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Looks at it now and then.
#[derive(Debug, Default)]
pub(super) struct CertificateWatch {
    due: MonoNs,
    version: u64,
}

impl CertificateWatch {
    /// Says what is to be said, where it is time. Costs two loads otherwise.
    pub(super) fn look(&mut self, service: &Service) {
        let (version, now) = (service.mesh.identity.version(), clocks::mono());
        if version == self.version && now < self.due {
            return;
        }
        (self.version, self.due) = (version, now.plus_ms(TLS_EXPIRY_WARNING_PERIOD_MS));
        let Some(identity) = service.mesh.identity.current() else { return };
        let now_s = clocks::wall().0 / 1_000;
        let left_s = identity.not_after_s.saturating_sub(now_s);
        if left_s < TLS_EXPIRY_WARNING_S {
            let days = u64::try_from(left_s.max(0) / DAY_S).unwrap_or(0);
            service.log(Message::CertificateExpires, &[("days_left", LogValue::Number(days))]);
        }
        if identity.not_before_s > now_s {
            service.log(Message::CertificateEarly, &[]);
        }
    }
}
