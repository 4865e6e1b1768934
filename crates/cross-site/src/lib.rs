//! Recognises requests that a page of another site makes a browser send to a server on this machine.
//!
//! * DNS rebinding: a site points its own name at 127.0.0.1, so its page can send requests to a loopback server and
//!   read the responses. `Host` then has that name. So a server on a loopback address accepts loopback names only.
//! * A form or a script of another site can send requests, but cannot read the responses. `Origin`, which browsers add
//!   to all requests except a plain GET (Fetch, section 3.2), then has that site.

#![warn(missing_docs)]

use std::net::{Ipv4Addr, Ipv6Addr};

/// The header that shows that a request is from another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossSite {
    /// `Host` is not a loopback name or address.
    Host,
    /// `Origin` is another site.
    Origin,
}

/// Checks the `Host` and `Origin` headers of a request. `on_loopback` is whether the server is bound to a loopback
/// address. A request without `Host` passes: a browser always sends one.
///
/// # Errors
/// The request is from another site.
pub fn check(on_loopback: bool, host: Option<&str>, origin: Option<&str>) -> Result<(), CrossSite> {
    if on_loopback && host.is_some_and(|host| loopback_port(host).is_none()) {
        return Err(CrossSite::Host);
    }
    let is_own = |origin: &str| {
        let server = origin.strip_prefix("http://");
        server.is_some_and(|server| host.is_some_and(|host| server.eq_ignore_ascii_case(host)))
    };
    if origin.is_some_and(|origin| !is_own(origin)) {
        return Err(CrossSite::Origin);
    }
    Ok(())
}

/// The port of a `Host` header with a loopback name or address (`localhost:8080`, `127.0.0.1`, `[::1]:80`): 80 if it
/// has none. `None` for another name.
#[must_use]
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
    fn names_that_only_look_like_loopback_are_not() {
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
    fn on_loopback_only_loopback_names_pass_and_elsewhere_any() {
        let check_host = |on_loopback, host| check(on_loopback, host, None);
        assert_eq!(check_host(true, Some("localhost:1")), Ok(()));
        assert_eq!(check_host(true, None), Ok(()));
        assert_eq!(check_host(true, Some("evil.example")), Err(CrossSite::Host));
        assert_eq!(check_host(false, Some("gateway.example")), Ok(()));
    }

    #[test]
    fn an_origin_is_the_servers_own_or_cross_site() {
        let host = Some("localhost:8080");
        assert_eq!(check(true, host, Some("http://localhost:8080")), Ok(()));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost",
            "http://localhost:8081",
            "https://localhost:8080",
        ] {
            assert_eq!(check(true, host, Some(origin)), Err(CrossSite::Origin));
            assert_eq!(check(false, host, Some(origin)), Err(CrossSite::Origin));
        }
        assert_eq!(
            check(true, None, Some("http://localhost")),
            Err(CrossSite::Origin)
        );
    }
}
