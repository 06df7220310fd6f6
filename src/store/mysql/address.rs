//! A url as the hosts to try: `mysql://USER:PASSWORD@HOST[:PORT][,HOST[:PORT]]/DATABASE[?OPTIONS]`.
//! Must not know statements. The password stays within the options.

use std::sync::Arc;

use idna_adapter as _; // of the version that Cargo.toml chooses for mysql_async's urls
use mysql_async::{Opts, OptsBuilder, UrlError};

use crate::error::StoreError;

/// The hosts of a url in order, and what to call them: host, port and database.
///
/// # Errors
/// Where the url is none, or names no database.
pub(super) fn hosts(url: &str) -> Result<(Vec<Opts>, Arc<str>), StoreError> {
    let refused = |what| StoreError::Address { what };
    let (scheme, rest) = url.split_once("://").ok_or(refused("it has no scheme"))?;
    let (authority, path) = rest.split_once('/').ok_or(refused("it names no database"))?;
    let (credentials, names) = match authority.rsplit_once('@') {
        Some((credentials, names)) => (format!("{credentials}@"), names),
        None => (String::new(), authority),
    };
    let mut hosts = Vec::new();
    for name in names.split(',') {
        let one = format!("{scheme}://{credentials}{name}/{path}");
        let options = Opts::from_url(&one).map_err(|error| refused(in_words(&error)))?;
        if options.db_name().is_none_or(str::is_empty) {
            return Err(refused("it names no database"));
        }
        hosts.push(settled(options));
    }
    let database = path.split('?').next().unwrap_or(path);
    Ok((hosts, format!("mysql {names}/{database}").into()))
}

/// Without the names and values that the library quotes: they may be a piece of a password.
fn in_words(error: &UrlError) -> &'static str {
    match error {
        UrlError::UnknownParameter { .. } => "an option after its `?` is unknown",
        UrlError::InvalidParamValue { .. } => "an option after its `?` has a wrong value",
        _ => "it can't be read",
    }
}

/// What the store rests on, whatever the url says: counts of changed rows are of those that
/// changed, and connecting does not end elsewhere.
fn settled(options: Opts) -> Opts {
    OptsBuilder::from_opts(options)
        .client_found_rows(false)
        .prefer_socket(false)
        .tcp_nodelay(true)
        .stmt_cache_size(0_usize)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_tried_in_order_and_the_name_hides_the_password() {
        let (hosts, name) =
            hosts("mysql://nudged:se,cret@db1:3307,db2/nudged?require_ssl=true").unwrap();
        let places: Vec<_> =
            hosts.iter().map(|host| (host.ip_or_hostname(), host.tcp_port())).collect();
        assert_eq!(places, [("db1", 3307), ("db2", 3306)]);
        assert!(hosts.iter().all(|host| host.pass() == Some("se,cret")));
        assert!(hosts.iter().all(|host| host.ssl_opts().is_some()));
        assert_eq!(&*name, "mysql db1:3307,db2/nudged");
    }

    #[test]
    fn an_option_that_is_wrong_is_told_without_its_text() {
        for (options, said) in
            [("secret=1", "is unknown"), ("require_ssl=secret", "has a wrong value")]
        {
            let error = hosts(&format!("mysql://u@h/d?{options}")).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_the_password() {
        for url in ["nudged", "mysql://secret@h", "mysql://secret@h/", "mysql://secret@h:p/d"] {
            let error = hosts(url).unwrap_err().to_string();
            assert!(error.starts_with("mysql.url: "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
