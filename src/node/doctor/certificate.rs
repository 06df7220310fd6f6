//! Whether clients will take the certificate: by the very reader that a start has, and by its end.

use std::path::Path;

use nudged_base::limits::TLS_EXPIRY_WARNING_S;
use nudged_config::TlsSettings;
use nudged_runtime::clocks;
use nudged_runtime::tls_files::{self, TlsFileProblem, TlsFilesError};
use nudged_tls::{IdentityRefusal, TlsIdentity};

use super::Patient;
use super::report::{Concern, Diagnosis};

const CERTIFICATE: Concern = Concern {
    name: "certificate",
    why: "a node does not start without one that fits its key, and clients refuse one that ended",
};

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Looks at certificate and key; nothing where there are none.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    let settings = &patient.config.tls;
    let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
        return Vec::new();
    };
    let now_s = clocks::wall().0 / 1_000;
    vec![match tls_files::read(settings) {
        Ok(Some(identity)) => of_times(&identity, now_s, certificate),
        Ok(None) => return Vec::new(),
        Err(error) => of_files(&error, settings, key),
    }]
}

fn of_times(identity: &TlsIdentity, now_s: i64, certificate: &Path) -> Diagnosis {
    let file = certificate.display();
    let renew = "certbot renew && systemctl reload nudged  # or from whoever issues it";
    let left_s = identity.not_after_s.saturating_sub(now_s);
    let days = left_s / DAY_S;
    match () {
        () if identity.not_before_s > now_s => {
            let ahead = (identity.not_before_s - now_s) / DAY_S;
            CERTIFICATE.fail(
                format!("{file} holds in {}, and not yet", days_text(ahead)),
                "timedatectl  # is the clock right? else wait, or have one issued that holds",
            )
        }
        () if left_s < 0 => {
            CERTIFICATE.fail(format!("{file} ended {} ago", days_text(-days)), renew)
        }
        () if left_s < TLS_EXPIRY_WARNING_S => {
            CERTIFICATE.warn(format!("{file} ends in {}", days_text(days)), renew)
        }
        () => CERTIFICATE.ok(format!("{file} has its key, and ends in {}", days_text(days))),
    }
}

/// A count of days, for people.
fn days_text(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

fn of_files(error: &TlsFilesError, settings: &TlsSettings, key: &Path) -> Diagnosis {
    let path = error.path.display();
    let mend = match &error.why {
        TlsFileProblem::Open(_) => format!("chmod o= {path}"),
        TlsFileProblem::Unreadable(source) => match source.kind() {
            std::io::ErrorKind::PermissionDenied => {
                format!("chgrp nudged {path} && chmod g+r {path}  # and x of its folders")
            }
            _ => format!("ls -l {path}"),
        },
        TlsFileProblem::Refused(IdentityRefusal::OtherKey) => {
            let certificate = settings.certificate.as_deref().unwrap_or(key).display();
            format!(
                "openssl x509 -noout -pubkey -in {certificate}; openssl pkey -pubout -in {}  # \
                 have to be the same",
                key.display()
            )
        }
        TlsFileProblem::Refused(_) => format!("openssl storeutl -noout -text {path}"),
    };
    CERTIFICATE.fail(error.to_string(), mend)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;

    /// A host whose node has these files of the corpus.
    fn host(certificate: &str, key: &str) -> Fixture {
        let mut fixture = Fixture::new();
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/tls");
        let place = |name: &str, place: &str| {
            let path = fixture.root().join(place);
            fs::copy(corpus.join(name), &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            Some(path)
        };
        let (certificate, key) = (place(certificate, "tls.pem"), place(key, "tls.key"));
        fixture.config.tls = TlsSettings { certificate, key, ..TlsSettings::default() };
        fixture
    }

    #[test]
    fn a_certificate_is_looked_at_with_its_key_and_its_times() {
        assert_eq!(check(&Fixture::new().patient()), [], "without TLS there is none");
        for (certificate, key, status, found, mend) in [
            ("server.pem", "server.key", Condition::Ok, "has its key", ""),
            ("expired.pem", "server.key", Condition::Fail, "days ago", "certbot renew"),
            ("future.pem", "server.key", Condition::Fail, "not yet", "timedatectl"),
            ("server.pem", "other.key", Condition::Fail, "not the key of", "openssl pkey -pubout"),
            ("server.key", "server.key", Condition::Fail, "no certificate", "openssl storeutl"),
        ] {
            let said = host(certificate, key).said("certificate", check);
            assert_eq!(said.status, status, "{said:?}");
            assert!(said.found.contains(found) && said.mend.contains(mend), "{said:?}");
        }
    }

    #[test]
    fn its_last_fortnight_is_warned_of() {
        let fixture = host("server.pem", "server.key");
        let identity = tls_files::read(&fixture.config.tls).unwrap().unwrap();
        let at = |days| identity.not_after_s - days * DAY_S;
        let said = |now_s| of_times(&identity, now_s, Path::new("tls.pem"));
        assert_eq!(said(at(15)).status, Condition::Ok);
        let last = said(at(13));
        assert_eq!(
            (last.status, last.found.as_str()),
            (Condition::Warn, "tls.pem ends in 13 days")
        );
        assert_eq!(said(at(-1)).status, Condition::Fail);
        assert_eq!(said(at(1)).found, "tls.pem ends in 1 day");
        assert_eq!(said(at(-1)).found, "tls.pem ended 1 day ago");
    }

    #[test]
    fn a_key_that_all_can_read_is_shut() {
        let fixture = host("server.pem", "server.key");
        let key = fixture.config.tls.key.clone().unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let said = fixture.mended("certificate", check);
        assert!(said.found.contains("everybody can read this key"), "{said:?}");
        fs::remove_file(&key).unwrap();
        assert!(fixture.said("certificate", check).mend.starts_with("ls -l "));
    }
}
