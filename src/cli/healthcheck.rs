//! `healthcheck`: requests the gateway's own `/readyz`, and ends with an exit code.

use super::{Failed, Outcome, print_mistakes};
use crate::config;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The time limit of the whole request.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Larger than any response of `/readyz`.
const LARGEST_RESPONSE: u64 = 64 * 1024;

pub(super) fn healthcheck(file: Option<&Path>, out: &mut impl Write) -> Outcome {
    let Some(address) = config::admin_address(file, std::env::vars_os()).map_err(print_mistakes)?
    else {
        return Err(
            "listen.admin is not set, so there is no health check; set it in the file or by \
             COAPS_GATEWAY__LISTEN__ADMIN=127.0.0.1:9684"
                .into(),
        );
    };
    let address = connectable(address);
    let at_readyz = |why: &str| Failed(Some(format!("http://{address}/readyz: {why}")));
    let response = request(address).map_err(|why| at_readyz(&why))?;
    let (is_ready, body) = parse(&response).map_err(at_readyz)?;
    write!(out, "{body}")?;
    match is_ready {
        true => Ok(()),
        false => Err(Failed(None)),
    }
}

/// Parses a response: whether the gateway is ready, and the body. A 200 alone is not enough, because another program
/// may have the port.
fn parse(response: &str) -> Result<(bool, &str), &'static str> {
    const NOT_THE_GATEWAY: &str = "the response is not from the gateway";
    let http = response
        .strip_prefix("HTTP/1.")
        .ok_or("the response is not HTTP");
    let (head, body) = http?.split_once("\r\n\r\n").ok_or(NOT_THE_GATEWAY)?;
    match (head.split(' ').nth(1), body.lines().next()) {
        (Some("200"), Some("ready")) => Ok((true, body)),
        (Some("503"), Some("not ready")) => Ok((false, body)),
        _ => Err(NOT_THE_GATEWAY),
    }
}

/// The address to connect to: the unspecified address can be listened on, but stands for the loopback one here.
fn connectable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn request(address: SocketAddr) -> Result<String, String> {
    let deadline = now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
    let head = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(failed)?;
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Err(timed_out());
        }
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        let read = stream.read(&mut buffer).map_err(failed)?;
        response.extend(buffer.iter().take(read));
        let is_long = u64::try_from(response.len()).is_ok_and(|length| length > LARGEST_RESPONSE);
        if read == 0 || is_long {
            return Ok(String::from_utf8_lossy(&response).into_owned());
        }
    }
}

fn failed(error: std::io::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    let kind = error.kind();
    if kind == ConnectionRefused {
        "connection refused: no program listens there".to_owned()
    } else if kind == TimedOut || kind == WouldBlock {
        timed_out()
    } else {
        error.to_string()
    }
}

fn timed_out() -> String {
    format!("no answer within {} s", TIMEOUT.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "a command of a few seconds")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_listens_on_all_addresses_is_reached_by_loopback() {
        for (listens, connects) in [
            ("0.0.0.0:9684", "127.0.0.1:9684"),
            ("[::]:9684", "[::1]:9684"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            let address = connectable(listens.parse().unwrap());
            assert_eq!(address.to_string(), connects);
        }
    }

    #[test]
    fn only_the_gateways_own_responses_are_accepted() {
        let ready = "HTTP/1.1 200 OK\r\ndate: today\r\n\r\nready\nok: it serves\n";
        assert_eq!(parse(ready), Ok((true, "ready\nok: it serves\n")));
        let not = "HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready\nnot ready: it is stopping\n";
        assert_eq!(
            parse(not),
            Ok((false, "not ready\nnot ready: it is stopping\n"))
        );
        for another in [
            "HTTP/1.1 200 OK\r\n\r\n<html>Welcome</html>",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nnot ready\n",
            "HTTP/1.1 503 Service Unavailable\r\n\r\n\u{1b}[2Jnot ready\n",
            "HTTP/1.1 200 OK\r\nx: y",
            "SSH-2.0 200 hello\r\n\r\nready\n",
            "",
        ] {
            assert!(parse(another).is_err(), "{another:?}");
        }
    }
}
