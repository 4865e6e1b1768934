//! What connections to ThingsBoard need of the operating system: open files and local ports.

use crate::upstream::Settings;
use std::ops::RangeInclusive;

/// Open files other than connections to ThingsBoard: sockets, the log, the runtime's own.
const OTHER_FILES: usize = 64;

/// Where Linux has the range of local ports that it chooses from.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Linux's default.
const DEFAULT_PORTS: RangeInclusive<u32> = 32_768..=60_999;

/// How many files may be open at a time.
pub(super) fn open_files(upstream: &Settings) -> u64 {
    let files = upstream.most_connections().saturating_add(OTHER_FILES);
    u64::try_from(files).unwrap_or(u64::MAX)
}

/// A warning, if no more than `granted` files can be open at a time.
pub(super) fn warning_of_files(upstream: &Settings, granted: u64) -> Option<String> {
    let wanted = open_files(upstream);
    let keys = match (upstream.url.is_mqtt(), &upstream.http_url) {
        (true, None) => "upstream.max_connections",
        (true, Some(_)) => "upstream.max_connections and upstream.max_in_flight",
        (false, _) => "upstream.max_in_flight and relay.max_polls",
    };
    (granted < wanted).then(|| {
        format!(
            "too few open files for {keys} ({granted} may be open, {wanted} are needed): raise the limit (ulimit -Hn, \
             LimitNOFILE) or lower what needs them"
        )
    })
}

/// A warning, if one local address has too few ports for all connections to one address of the server.
pub(super) fn warning_of_ports(upstream: &Settings) -> Option<String> {
    warning_of_range(upstream, &local_ports())
}

fn warning_of_range(upstream: &Settings, ports: &RangeInclusive<u32>) -> Option<String> {
    let ports = ports.end().saturating_sub(*ports.start()).saturating_add(1);
    let ports = usize::try_from(ports).unwrap_or(usize::MAX);
    let connections = upstream.max_connections;
    (upstream.url.is_mqtt() && connections > ports).then(|| {
        format!(
            "upstream.max_connections: {connections} are more than the {ports} local ports for one address of ThingsBoard \
             (net.ipv4.ip_local_port_range): widen the range, or give its name several addresses"
        )
    })
}

/// The range of local ports that the operating system chooses from.
fn local_ports() -> RangeInclusive<u32> {
    let text = std::fs::read_to_string(PORT_RANGE).unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => DEFAULT_PORTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{HttpVersion, TlsFiles};
    use std::time::Duration;

    fn upstream(url: &str, http_url: Option<&str>, max_connections: usize) -> Settings {
        Settings {
            url: url.parse().unwrap(),
            http_url: http_url.map(|url| url.parse().unwrap()),
            tls: TlsFiles::default(),
            http_version: HttpVersion::Auto,
            timeout: Duration::from_secs(10),
            max_in_flight: 10,
            max_downlink: 200,
            max_packages: 3,
            max_connections,
            connects_per_second: 500,
            alive_for: Duration::from_secs(900),
        }
    }

    #[test]
    fn each_form_needs_its_own_number_of_files() {
        for (url, http_url, expected, keys) in [
            ("http://tb", None, 277, "relay.max_polls"),
            ("mqtt://tb", None, 5064, "upstream.max_connections ("),
            (
                "mqtt://tb",
                Some("http://tb"),
                5077,
                "upstream.max_in_flight (",
            ),
        ] {
            let upstream = upstream(url, http_url, 5000);
            assert_eq!(open_files(&upstream), expected, "{url}");
            assert_eq!(warning_of_files(&upstream, expected), None);
            let warning = warning_of_files(&upstream, expected - 1).unwrap();
            assert!(warning.contains(keys), "{warning}");
        }
        let shared = Settings {
            http_version: HttpVersion::Http2,
            ..upstream("http://tb", None, 5000)
        };
        assert_eq!(open_files(&shared), 64 + 1 + 2 + 1);
    }

    #[test]
    fn more_connections_than_ports_are_warned_about_where_each_device_has_one() {
        let warning =
            |url: &str, most| warning_of_range(&upstream(url, None, most), &DEFAULT_PORTS);
        assert_eq!(warning("mqtt://tb", 28_232), None);
        assert!(warning("mqtt://tb", 28_233).unwrap().contains("28233"));
        assert_eq!(warning("http://tb", 28_233), None);
    }
}
