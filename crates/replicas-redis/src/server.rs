//! Where the server is, and how it is used.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// The port of a URL that names none.
pub(crate) const DEFAULT_PORT: u16 = 6379;

/// Where the server is, and how it is used. [`parse`](Server::parse) reads it from a URL.
#[derive(Clone)]
pub struct Server {
    /// Its name, which is resolved each time a connection is opened, or its address. IPv6 is without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is reached over TLS.
    pub is_tls: bool,
    /// PEM of the trust anchors for its certificate. `None`: those of the operating system.
    pub ca: Option<Vec<u8>>,
    /// The name of the user, if it is not the default one.
    pub user: Option<String>,
    /// Its password, if it has one.
    pub password: Option<Zeroizing<String>>,
    /// The number of the database.
    pub database: u32,
    /// What all keys begin with, before a colon. Gateways with the same one are a group.
    pub prefix: String,
    /// How long a session is kept after it was written last: longer than it may be idle.
    pub ttl: Duration,
    /// How long the server may take to accept a connection, and to reply to the calls that go together.
    pub timeout: Duration,
}

impl Server {
    /// A server with what a URL need not say.
    pub(crate) fn new(host: String, port: u16, is_tls: bool) -> Server {
        Server {
            host,
            port,
            is_tls,
            ca: None,
            user: None,
            password: None,
            database: 0,
            prefix: "coaps-gateway".to_owned(),
            ttl: Duration::from_secs(24 * 60 * 60),
            timeout: Duration::from_secs(2),
        }
    }
}

/// The URL, without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        match self.host.parse() {
            Ok(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]:{}", self.port)?,
            _ => write!(f, "{scheme}://{}:{}", self.host, self.port)?,
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.to_string())
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("has_ca", &self.ca.is_some())
            .field("prefix", &self.prefix)
            .field("ttl", &self.ttl)
            .field("timeout", &self.timeout)
            .finish()
    }
}
