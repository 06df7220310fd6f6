//! Where a node's operators are answered, how it is reached, and how it is known. Knows addresses
//! and certificates; must not know what is asked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nudged_base::limits::{ASK_TIMEOUT_MS, TLS_FILE_BYTES_MAX};
use nudged_config::{AdminAddress, Config};
use nudged_runtime::stream::BlockingStream;
use nudged_tls::{TlsClientStream, TlsConnectError, TlsTrust};

use super::AskError;

/// Where systems keep the certificates that all trust, as curl looks for them.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Names another bundle, for every program.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

/// An address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodePlace {
    /// A unix socket.
    Unix(PathBuf),
    /// A name or an address without brackets, and a port.
    Tcp {
        /// Whose certificate it has to be, where TLS is spoken.
        host: String,
        /// Not 0.
        port: u16,
        /// Whether TLS is spoken.
        is_tls: bool,
    },
}

impl NodePlace {
    /// Reads what only a command takes: a URL, or an address with the word `tls`. `None` where it
    /// is none of these: then it is read as the setting.
    ///
    /// # Errors
    /// It is one, and it is wrong.
    pub(super) fn read(text: &str) -> Result<Option<NodePlace>, AskError> {
        let (rest, is_tls) = if let Some(rest) = text.strip_prefix("https://") {
            (rest, true)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (rest, false)
        } else if let Some(rest) = text.trim_end().strip_suffix(" tls") {
            (rest.trim_end(), true)
        } else {
            return Ok(None);
        };
        let wrong = || AskError::Address(text.to_owned());
        let (host, port) =
            rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':').ok_or_else(wrong)?;
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |host: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_part)
        };
        let host = match in_brackets {
            Some(host) if host.parse::<Ipv6Addr>().is_ok() => host,
            None if is_name(host) => host,
            _ => return Err(wrong()),
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Some(NodePlace::Tcp { host: host.to_owned(), port, is_tls }))
    }

    /// The setting's. A node that listens on every address of this host is asked on loopback.
    ///
    /// # Errors
    /// Its port is 0.
    pub(super) fn of(address: &AdminAddress) -> Result<NodePlace, AskError> {
        let (address, is_tls) = match address {
            AdminAddress::Unix(path) => return Ok(NodePlace::Unix(path.clone())),
            AdminAddress::Tcp(address) => (address, false),
            AdminAddress::Tls(address) => (address, true),
        };
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        match address.port() {
            0 => Err(AskError::PortUnknown),
            port => Ok(NodePlace::Tcp { host: ip.to_string(), port, is_tls }),
        }
    }

    /// Whether it is on this host: then a node asks for no token, unless it listens elsewhere, too.
    pub(super) fn is_local(&self) -> bool {
        match self {
            NodePlace::Unix(_) => true,
            NodePlace::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, NodePlace::Tcp { is_tls: true, .. })
    }

    /// What requests call the host.
    pub(super) fn host(&self) -> String {
        match self {
            NodePlace::Unix(_) => "localhost".to_owned(),
            NodePlace::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            NodePlace::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        match self {
            NodePlace::Unix(path) => format!("unix:{}", path.display()),
            NodePlace::Tcp { is_tls: true, .. } => format!("https://{}", self.host()),
            NodePlace::Tcp { .. } => self.host(),
        }
    }

    /// Connects; each step may take `ASK_TIMEOUT_MS`.
    ///
    /// # Errors
    /// Nobody listens, or it is not the node.
    pub(super) fn connect(&self, trust: Option<&NodeTrust>) -> Result<NodeStream, AskError> {
        let timeout = Duration::from_millis(ASK_TIMEOUT_MS);
        let unreachable = |source| AskError::unreachable(self.text(), source);
        let (host, port) = match self {
            NodePlace::Unix(path) => {
                let stream = BlockingStream::connect_unix(path, timeout).map_err(unreachable)?;
                return Ok(NodeStream::Plain(stream));
            }
            NodePlace::Tcp { host, port, .. } => (host.as_str(), *port),
        };
        let stream = BlockingStream::connect_host(host, port, timeout).map_err(unreachable)?;
        let Some(NodeTrust { trust, source }) = trust else {
            return Ok(NodeStream::Plain(stream));
        };
        let secured = TlsClientStream::connect(stream, trust, host);
        secured.map(Box::new).map(NodeStream::Tls).map_err(|error| match error {
            TlsConnectError::NotTls => AskError::NoTls { address: self.host() },
            TlsConnectError::System(source) => unreachable(source),
            TlsConnectError::Unsigned if *source == TrustSource::Named => AskError::Untrusted {
                address: self.text(),
                why: "it is not signed by what --cacert has, nor among that".to_owned(),
                hint: "; give the certificate of who signed it, or the node's own",
            },
            TlsConnectError::Untrusted(_) | TlsConnectError::Unsigned => AskError::Untrusted {
                address: self.text(),
                why: error.to_string(),
                hint: source.hint(),
            },
            TlsConnectError::Refused(_) => unreachable(io::Error::other(error.to_string())),
        })
    }
}

/// By which certificates a node is known.
#[derive(Clone, Debug)]
pub(super) struct NodeTrust {
    trust: TlsTrust,
    source: TrustSource,
}

/// Where the certificates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrustSource {
    /// The file that was named.
    Named,
    /// The node's own, with those of this host.
    Own,
    /// This host alone.
    Host,
}

impl TrustSource {
    /// What may mend it.
    fn hint(self) -> &'static str {
        match self {
            TrustSource::Named => "; give one that is with --cacert FILE",
            TrustSource::Own => {
                "; give one that is with --cacert FILE; if tls.certificate was renewed, have the \
                 node read it (SIGHUP)"
            }
            TrustSource::Host => {
                "; give one that is with --cacert FILE, or the node's configuration with --config"
            }
        }
    }
}

impl NodeTrust {
    /// Those of the file that was named, and no others; else the node's own, from the setting, and
    /// those that this host trusts.
    ///
    /// # Errors
    /// The file that was named has none.
    pub(super) fn new(config: &Config, named: Option<&Path>) -> Result<NodeTrust, AskError> {
        let unusable = |path: &Path, source| AskError::CertificatesUnusable {
            path: path.display().to_string(),
            source,
        };
        let (own, listed) = match named {
            Some(path) => {
                let listed = contents(path).map_err(|source| unusable(path, source))?;
                if TlsTrust::count(&listed) == 0 {
                    let none = io::Error::other("it holds no certificate in PEM");
                    return Err(unusable(path, none));
                }
                (None, listed)
            }
            None => {
                // Where it can't be read, the node may still be known by who has signed it.
                let own = config.tls.certificate.as_deref().and_then(|path| contents(path).ok());
                (own, of_this_host())
            }
        };
        let trust = TlsTrust::new(own.as_deref(), &listed).map_err(|error| {
            unusable(named.unwrap_or(Path::new("TLS")), io::Error::other(error))
        })?;
        let source = match (named, own) {
            (Some(_), _) => TrustSource::Named,
            (None, Some(_)) => TrustSource::Own,
            (None, None) => TrustSource::Host,
        };
        Ok(NodeTrust { trust, source })
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TLS_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn of_this_host() -> Vec<u8> {
    let named = std::env::var_os(BUNDLE_VARIABLE).map(PathBuf::from);
    let known = BUNDLES.into_iter().map(PathBuf::from);
    named.into_iter().chain(known).find_map(|path| std::fs::read(path).ok()).unwrap_or_default()
}

/// A connection to a node.
#[derive(Debug)]
pub(super) enum NodeStream {
    /// As it comes.
    Plain(BlockingStream),
    /// With TLS.
    Tls(Box<TlsClientStream<BlockingStream>>),
}

impl Read for NodeStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            NodeStream::Plain(stream) => stream.read(bytes),
            NodeStream::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for NodeStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            NodeStream::Plain(stream) => stream.write(bytes),
            NodeStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            NodeStream::Plain(stream) => stream.flush(),
            NodeStream::Tls(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_what_is_none_is_left_to_the_setting() {
        let place = |text: &str| NodePlace::read(text).unwrap();
        let tcp =
            |host: &str, port, is_tls| Some(NodePlace::Tcp { host: host.to_owned(), port, is_tls });
        assert_eq!(place("https://node-1.example:8081"), tcp("node-1.example", 8081, true));
        assert_eq!(place("https://node-1.example:8081/"), tcp("node-1.example", 8081, true));
        assert_eq!(place("http://[::1]:80"), tcp("::1", 80, false));
        assert_eq!(place("10.0.0.5:8081 tls"), tcp("10.0.0.5", 8081, true));
        for setting in ["127.0.0.1:8081", "unix:/run/nudged/admin.sock", "", "tls"] {
            assert_eq!(place(setting), None, "{setting}");
        }
        for wrong in [
            "https://",
            "https://node",
            "https://node:0",
            "https://node:x",
            "https://node:1/v1",
            "https://a@node:1",
            "https://::1:80",
            "https://[node]:80",
            "https://no de:80",
        ] {
            let said = NodePlace::read(wrong).unwrap_err().to_string();
            assert!(said.contains("https://HOST:PORT") && said.contains(wrong), "{said}");
        }
        let everywhere = AdminAddress::Tls("0.0.0.0:5".parse().unwrap());
        assert_eq!(NodePlace::of(&everywhere).unwrap().text(), "https://127.0.0.1:5");
        let everywhere = AdminAddress::Tcp("[::]:5".parse().unwrap());
        assert_eq!(NodePlace::of(&everywhere).unwrap().text(), "[::1]:5");
        let local = ["https://localhost:1", "https://127.8.8.8:1", "https://[::1]:1"];
        assert!(local.into_iter().all(|text| place(text).unwrap().is_local()));
        assert!(!place("https://10.0.0.1:1").unwrap().is_local());
    }
}
