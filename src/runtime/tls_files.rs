//! A certificate and its key from their files. Read whole and checked before anything changes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nudged_base::limits::TLS_FILE_BYTES_MAX;
use nudged_config::{TlsSettings, TlsVersion};
use nudged_tls::{IdentityRefusal, OldestVersion, TlsIdentity};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {}: {why}", path.display())]
pub struct TlsFilesError {
    /// The setting that names the file.
    pub key: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: TlsFileProblem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileProblem {
    /// The system gives nothing of it.
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Others may read the key.
    #[error("everybody can read this key (mode {0:o}): `chmod o= FILE`")]
    Open(u32),
    /// It holds something else.
    #[error("{0}")]
    Refused(#[from] IdentityRefusal),
}

/// Reads what the settings name; `None` where they name nothing.
///
/// # Errors
/// [`TlsFilesError`], with the setting and the file.
pub fn read(settings: &TlsSettings) -> Result<Option<TlsIdentity>, TlsFilesError> {
    let (Some(certificate_path), Some(key_path)) = (&settings.certificate, &settings.key) else {
        return Ok(None);
    };
    let (of_certificate, of_key) =
        (failure_of("tls.certificate", certificate_path), failure_of("tls.key", key_path));
    let (certificate, _) =
        contents(certificate_path).map_err(|error| of_certificate(error.into()))?;
    let (key, mode) = contents(key_path).map_err(|error| of_key(error.into()))?;
    if mode & 0o007 != 0 {
        return Err(of_key(TlsFileProblem::Open(mode)));
    }
    let oldest = match settings.min_version {
        TlsVersion::Tls12 => OldestVersion::Tls12,
        TlsVersion::Tls13 => OldestVersion::Tls13,
    };
    let identity = TlsIdentity::read(&certificate, &key, oldest);
    identity.map(Some).map_err(|refusal| match refusal.is_of_key() {
        true => of_key(refusal.into()),
        false => of_certificate(refusal.into()),
    })
}

fn failure_of(key: &'static str, path: &Path) -> impl Fn(TlsFileProblem) -> TlsFilesError {
    move |why| TlsFilesError { key, path: path.to_owned(), why }
}

/// What is in a file, and its mode.
fn contents(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    // Of the open file, so that it can't be another one that is looked at.
    let mode = file.metadata()?.mode() & 0o777;
    let mut bytes = Vec::new();
    file.take(TLS_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok((bytes, mode))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/tls/");

    #[test]
    fn each_file_is_named_with_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["server.pem", "server.key", "other.key"] {
            fs::copy(format!("{CORPUS}{name}"), path(name)).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(path("text"), "no PEM").unwrap();
        fs::set_permissions(path("text"), fs::Permissions::from_mode(0o640)).unwrap();
        let said = |certificate: &str, key: &str| {
            let settings = TlsSettings {
                certificate: Some(path(certificate)),
                key: Some(path(key)),
                ..TlsSettings::default()
            };
            read(&settings).map(|identity| identity.is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(said("server.pem", "server.key"), Ok(true));
        let table = [
            ("nothing", "server.key", ["tls.certificate", "nothing: can't be read"]),
            ("server.pem", "nothing", ["tls.key", "nothing: can't be read"]),
            ("text", "server.key", ["tls.certificate", "holds no certificate in PEM"]),
            ("server.pem", "text", ["tls.key", "holds no private key in PEM"]),
            ("server.pem", "other.key", ["tls.key", "not the key of the certificate"]),
        ];
        for (certificate, key, wanted) in table {
            let said = said(certificate, key).unwrap_err();
            assert!(wanted.iter().all(|part| said.contains(part)), "{said}");
        }
        fs::set_permissions(path("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
        let said = said("server.pem", "server.key").unwrap_err();
        assert!(said.contains("everybody can read this key (mode 644)"), "{said}");
        assert_eq!(read(&TlsSettings::default()).unwrap().map(drop), None);
    }
}
