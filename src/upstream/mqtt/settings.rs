//! The settings of the MQTT form of `[upstream]`.

use super::super::http::tls::Tls;
use std::time::Duration;

/// Checked by [`Mqtt::new`](super::Mqtt::new).
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// A name or an address; an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `mqtts`
    pub(crate) is_tls: bool,
    pub(in crate::upstream) tls: Tls,
    /// For one request as a whole: connecting, sending, and the answer. More than zero.
    pub(crate) timeout: Duration,
    /// Concurrent requests of devices, 1 or more.
    pub(crate) max_in_flight: usize,
    /// Concurrent reads of the gateway's own, 1 or more.
    pub(crate) max_downlink: usize,
    /// Concurrent requests about packages, 1 or more.
    pub(crate) max_packages: usize,
    /// Devices that have a connection, or wait for one; 1 or more.
    pub(crate) max_connections: usize,
    /// Connections that are opened in a second, 1 or more.
    pub(crate) connects_per_second: u32,
    /// How long a connection stays open after a device's request, if nothing is subscribed to. ThingsBoard takes a device
    /// for active as long as it is connected.
    pub(crate) alive_for: Duration,
}

impl Settings {
    /// For a server that is no socket's.
    #[cfg(test)]
    pub(crate) fn simulated() -> Settings {
        Settings {
            host: "thingsboard.example".to_owned(),
            port: 1883,
            is_tls: false,
            tls: Tls::new(&crate::upstream::TlsFiles::default(), false).unwrap(),
            timeout: Duration::from_secs(10),
            max_in_flight: 1024,
            max_downlink: 64,
            max_packages: 8,
            max_connections: 20_000,
            connects_per_second: 500,
            alive_for: Duration::from_secs(900),
        }
    }

    /// `mqtt://host:port`
    pub(super) fn uri(&self) -> String {
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }
}
