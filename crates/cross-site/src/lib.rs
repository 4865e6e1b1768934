//! Requests that a page of any site can make a browser on this machine send, to an address that only this machine reaches.
//!
//! A name that its owner rebinds to 127.0.0.1 makes the page's own requests arrive there, and lets it read the answers:
//! such a name shows in Host. So on a loopback address only loopback names count. A form or script of another site can
//! send, but not read: it shows in Origin, which browsers add to whatever is no plain GET (Fetch, section 3.2).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A request that another site has made a browser send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Host is no loopback name or address.
    Host,
    /// Origin is another site's.
    Origin,
}

/// Judges a request by its Host and Origin. `on_loopback`: whether the server is bound to a loopback address. A browser
/// always sends Host, so a request without one is a program's.
pub fn judge(on_loopback: bool, host: Option<&str>, origin: Option<&str>) -> Result<(), Foreign> {
    if on_loopback && host.is_some_and(|host| loopback_port(host).is_none()) {
        return Err(Foreign::Host);
    }
    let is_own = |origin: &str| {
        let server = origin.strip_prefix("http://");
        server.is_some_and(|server| host.is_some_and(|host| server.eq_ignore_ascii_case(host)))
    };
    if origin.is_some_and(|origin| !is_own(origin)) {
        return Err(Foreign::Origin);
    }
    Ok(())
}

/// If a Host header names this machine's loopback (`localhost:8080`, `127.0.0.1`, `[::1]:80`): the port in it, 80 if there
/// is none.
pub fn loopback_port(host: &str) -> Option<u16> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_loopback = if host.starts_with('[') {
        name.parse::<Ipv6Addr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
    } else {
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<Ipv4Addr>()
                .is_ok_and(|address| address.is_loopback())
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => Some(80),
        None => None,
        // Not "+80", which `parse` would take.
        Some(digits) if digits.chars().all(|c| c.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => None,
    };
    port.filter(|_| is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_name_is_told_from_what_only_looks_like_one() {
        for (host, port) in [
            ("localhost", 80),
            ("LocalHost:8080", 8080),
            ("127.0.0.1:9684", 9684),
            ("127.9.9.9", 80),
            ("[::1]", 80),
            ("[::1]:81", 81),
            ("[::ffff:127.0.0.1]:81", 81),
        ] {
            assert_eq!(loopback_port(host), Some(port), "{host}");
        }
        for host in [
            "",
            "?",
            "evil.example:9684",
            "localhost.evil.example",
            "localhost:8080.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "localhost:",
            "localhost:+80",
            "localhost:99999",
            "0.0.0.0:8080",
            "192.0.2.1:9684",
            "[::1",
            "[::1]x",
            "[::2]",
            "::1",
        ] {
            assert_eq!(loopback_port(host), None, "{host}");
        }
    }

    #[test]
    fn on_loopback_only_loopback_names_count_and_elsewhere_any() {
        let judge_host = |on_loopback, host| judge(on_loopback, host, None);
        assert_eq!(judge_host(true, Some("localhost:1")), Ok(()));
        assert_eq!(judge_host(true, None), Ok(()));
        assert_eq!(judge_host(true, Some("evil.example")), Err(Foreign::Host));
        assert_eq!(judge_host(false, Some("gateway.example")), Ok(()));
    }

    #[test]
    fn an_origin_is_the_servers_own_or_foreign() {
        let host = Some("localhost:8080");
        assert_eq!(judge(true, host, Some("http://localhost:8080")), Ok(()));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost",
            "http://localhost:8081",
            "https://localhost:8080",
        ] {
            assert_eq!(judge(true, host, Some(origin)), Err(Foreign::Origin));
            assert_eq!(judge(false, host, Some(origin)), Err(Foreign::Origin));
        }
        assert_eq!(
            judge(true, None, Some("http://localhost")),
            Err(Foreign::Origin)
        );
    }
}
