//! `healthcheck`: the gateway's own `/readyz`, as an exit code.

use super::{Failed, Outcome, told};
use crate::config;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than `/readyz` ever says.
const LARGEST_ANSWER: u64 = 64 * 1024;

pub(super) fn healthcheck(file: Option<&Path>, out: &mut impl Write) -> Outcome {
    let Some(address) = config::admin_address(file, std::env::vars_os()).map_err(told)? else {
        return Err(
            "listen.admin is not set, so there is nothing to ask; set it in the file or by \
             COAPS_GATEWAY__LISTEN__ADMIN=127.0.0.1:9684"
                .into(),
        );
    };
    let address = reached_from_here(address);
    let at_readyz = |why: &str| Failed(Some(format!("http://{address}/readyz: {why}")));
    let answer = ask(address).map_err(|why| at_readyz(&why))?;
    let (is_ready, words) = understood(&answer).map_err(at_readyz)?;
    write!(out, "{words}")?;
    match is_ready {
        true => Ok(()),
        false => Err(Failed(None)),
    }
}

/// Whether the gateway is ready, and all it says of that. Where something else has taken the port, 200 alone is no
/// sign of health.
fn understood(answer: &str) -> Result<(bool, &str), &'static str> {
    const ANOTHER: &str = "what answers there is not the gateway";
    let http = answer
        .strip_prefix("HTTP/1.")
        .ok_or("what answers there is no HTTP");
    let (head, words) = http?.split_once("\r\n\r\n").ok_or(ANOTHER)?;
    match (head.split(' ').nth(1), words.lines().next()) {
        (Some("200"), Some("ready")) => Ok((true, words)),
        (Some("503"), Some("not ready")) => Ok((false, words)),
        _ => Err(ANOTHER),
    }
}

/// An address that stands for all of this machine's can be listened on, but not asked.
fn reached_from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr) -> Result<String, String> {
    let deadline = now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Err(silent());
        }
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        let read = stream.read(&mut buffer).map_err(failed)?;
        answer.extend(buffer.iter().take(read));
        let is_long = u64::try_from(answer.len()).is_ok_and(|length| length > LARGEST_ANSWER);
        if read == 0 || is_long {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

fn failed(error: std::io::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    let kind = error.kind();
    if kind == ConnectionRefused {
        "nothing listens there".to_owned()
    } else if kind == TimedOut || kind == WouldBlock {
        silent()
    } else {
        error.to_string()
    }
}

fn silent() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "a command of a few seconds")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_on_all_addresses_is_asked_on_this_machines_own() {
        for (listens, asked) in [
            ("0.0.0.0:9684", "127.0.0.1:9684"),
            ("[::]:9684", "[::1]:9684"),
            ("192.0.2.7:1", "192.0.2.7:1"),
        ] {
            let reached = reached_from_here(listens.parse().unwrap());
            assert_eq!(reached.to_string(), asked);
        }
    }

    #[test]
    fn only_the_gateways_own_words_say_that_it_is_ready() {
        let ready = "HTTP/1.1 200 OK\r\ndate: today\r\n\r\nready\nok: it serves\n";
        assert_eq!(understood(ready), Ok((true, "ready\nok: it serves\n")));
        let not = "HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready\nnot ready: it is stopping\n";
        assert_eq!(
            understood(not),
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
            assert!(understood(another).is_err(), "{another:?}");
        }
    }
}
