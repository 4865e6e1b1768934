//! `healthcheck`: the gateway's own `/readyz`, as an exit code.

use super::{Failed, Outcome, told};
use crate::config::Admin;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than `/readyz` ever says.
const LARGEST_ANSWER: u64 = 64 * 1024;

pub(super) fn healthcheck(file: Option<&Path>, out: &mut impl Write) -> Outcome {
    let Some(address) = Admin::address(file, std::env::vars_os()).map_err(told)? else {
        return Err(
            "listen.admin is not set, so there is nothing to ask; set it in the file or by \
             COAPS_GATEWAY__LISTEN__ADMIN=127.0.0.1:9684"
                .into(),
        );
    };
    let address = reached_from_here(address);
    let answer = ask(address).map_err(|why| format!("http://{address}/readyz: {why}"))?;
    let Some((head, words)) = answer.split_once("\r\n\r\n") else {
        return Err(format!("http://{address}/readyz: what answers there is no HTTP").into());
    };
    write!(out, "{words}")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("503") => Err(Failed(None)),
        _ => Err(format!("http://{address}/readyz: what answers there is not the gateway").into()),
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
}
