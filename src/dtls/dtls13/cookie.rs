//! Stateless cookies: they prove a client's address (RFC 6347 §4.2.1).
//!
//! A cookie is a MAC, under a secret key, over both addresses of the path, the client's random and the length of its hello;
//! the length replaces the MAC's last two bytes. A client that returns it has received it at its address recently: keys
//! are used for a minute, and accepted for one more.

use crate::dtls::path::Path;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand::SystemRandom};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A cookie, as sent to and returned by the client.
pub(crate) type Cookie = [u8; 32];

/// How long cookies are made with one key. A client whose cookie is lost repeats its hello after 1, 2, 4, … seconds.
const KEY_LIFETIME: Duration = Duration::from_secs(60);
/// No cookie is valid for longer.
pub(crate) const LIFETIME: Duration = KEY_LIFETIME.saturating_mul(2);

/// The keys of cookies.
#[derive(Debug)]
pub(crate) struct Cookies {
    /// `None` if the system has no randomness; then no cookies are sent.
    current: Option<hmac::Key>,
    previous: Option<hmac::Key>,
    since: Option<Instant>,
}

impl Default for Cookies {
    fn default() -> Cookies {
        Cookies {
            current: key(),
            previous: None,
            since: None,
        }
    }
}

impl Cookies {
    /// The cookie for a hello with this random and of this length in bytes.
    pub(crate) fn issue(
        &mut self,
        now: Instant,
        path: Path,
        random: &[u8; 32],
        length: u16,
    ) -> Option<Cookie> {
        self.rotate(now);
        make(self.current.as_ref()?, path, random, length)
    }

    /// Whether this cookie was sent to this client.
    pub(crate) fn is_valid(
        &mut self,
        now: Instant,
        path: Path,
        random: &[u8; 32],
        cookie: &[u8],
    ) -> bool {
        self.rotate(now);
        let Some(length) = hello_length(cookie) else {
            return false;
        };
        let keys = [&self.current, &self.previous].into_iter().flatten();
        let mut expected = keys.filter_map(|key| make(key, path, random, length));
        expected.any(|expected| verify_slices_are_equal(&expected, cookie).is_ok())
    }

    /// Replaces the key if it is due.
    fn rotate(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= KEY_LIFETIME {
            let last = std::mem::replace(&mut self.current, key());
            // Cookies of a key that was last used so long ago have expired.
            self.previous = last.filter(|_| passed < LIFETIME);
            self.since = Some(now);
        }
    }
}

/// The length of the hello that this cookie was issued for.
pub(crate) fn hello_length(cookie: &[u8]) -> Option<u16> {
    cookie.last_chunk().copied().map(u16::from_be_bytes)
}

fn make(key: &hmac::Key, path: Path, random: &[u8; 32], length: u16) -> Option<Cookie> {
    let mac = hmac::sign(key, &mac_input(path, random, length));
    let mut cookie: Cookie = mac.as_ref().try_into().ok()?;
    *cookie.last_chunk_mut()? = length.to_be_bytes();
    Some(cookie)
}

fn key() -> Option<hmac::Key> {
    hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()
}

/// What the MAC is computed over: the same number of bytes for any path.
fn mac_input(path: Path, random: &[u8; 32], length: u16) -> [u8; 69] {
    let local = path.local.map(address);
    let fields = address(path.remote.ip())
        .into_iter()
        .chain(path.remote.port().to_be_bytes())
        .chain([u8::from(local.is_some())])
        .chain(local.unwrap_or_default())
        .chain(*random)
        .chain(length.to_be_bytes());
    let mut input = [0; 69];
    for (place, byte) in input.iter_mut().zip(fields) {
        *place = byte;
    }
    input
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn path(last: u8, port: u16, local: Option<u8>) -> Path {
        Path {
            remote: SocketAddr::from(([192, 0, 2, last], port)),
            local: local.map(|last| IpAddr::from([198, 51, 100, last])),
            via: None,
        }
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        Instant::now()
    }

    #[test]
    fn a_cookie_is_valid_for_its_path_and_random_only() {
        let (mut cookies, now) = (Cookies::default(), start());
        let own = (path(1, 5, Some(1)), [7; 32]);
        let mut other_random = own.1;
        other_random[31] = 8;
        let cookie = cookies.issue(now, own.0, &own.1, 99).unwrap();
        assert!(cookies.is_valid(now, own.0, &own.1, &cookie));
        for (path, random) in [
            (path(2, 5, Some(1)), own.1),
            (path(1, 6, Some(1)), own.1),
            (path(1, 5, Some(2)), own.1),
            (path(1, 5, None), own.1),
            (own.0, other_random),
        ] {
            assert!(!cookies.is_valid(now, path, &random, &cookie), "{path:?}");
        }
        assert_eq!(hello_length(&cookie), Some(99));
        let mut longer = cookie;
        longer[31] += 1;
        for wrong in [&[][..], &cookie[..31], &longer, &[0; 32]] {
            assert!(!cookies.is_valid(now, own.0, &own.1, wrong));
        }
        assert!(!Cookies::default().is_valid(now, own.0, &own.1, &cookie));
    }

    #[test]
    fn a_cookie_is_valid_for_one_to_two_minutes() {
        let valid = |issued: &[u64], returned: u64| {
            let (mut cookies, path, random) = (Cookies::default(), path(1, 5, None), [7; 32]);
            let start = start();
            let at = |seconds| start + Duration::from_secs(seconds);
            let first = cookies.issue(at(0), path, &random, 99).unwrap();
            for seconds in issued {
                cookies.issue(at(*seconds), path, &random, 99).unwrap();
            }
            cookies.is_valid(at(returned), path, &random, &first)
        };
        assert!(valid(&[], 59));
        assert!(valid(&[60], 119));
        assert!(!valid(&[60], 120));
        assert!(!valid(&[60, 120], 121));
        // Without another client in between.
        assert!(valid(&[], 119) && !valid(&[], 120));
    }
}
