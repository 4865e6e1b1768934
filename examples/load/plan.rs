//! Who goes by which address and certificate, and when it is whose turn.

use super::args::{Args, Sources};
use super::dtls::Identity;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most source addresses a range may have.
const MOST_ADDRESSES: u32 = 65_536;

/// What is one session's own.
pub(crate) struct Slot {
    pub(crate) source: Option<IpAddr>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) pace: Pace,
}

/// When it is a session's turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// When the last is answered.
    ClosedLoop,
    /// At its own times, whether the server keeps up or not.
    Fixed { first: Duration, every: Duration },
}

impl Pace {
    /// Turns of all sessions together come `rate` times a second, those of one session evenly between the others'.
    fn new(rate: Option<f64>, index: u32, sessions: u32) -> Pace {
        let times = |n: u32, rate: f64| Duration::try_from_secs_f64(f64::from(n) / rate);
        rate.map_or(Pace::ClosedLoop, |rate| Pace::Fixed {
            first: times(index, rate).unwrap_or(Duration::MAX),
            every: times(sessions, rate).unwrap_or(Duration::MAX),
        })
    }

    /// When a turn is due, counted from 0; `None`: at once. A turn that can't be told in time is an hour away.
    pub(crate) fn due(self, start: Instant, turn: u32) -> Option<Instant> {
        let Pace::Fixed { first, every } = self else {
            return None;
        };
        let after = every
            .checked_mul(turn)
            .and_then(|time| time.checked_add(first));
        let far = start + Duration::from_secs(3600);
        Some(
            after
                .and_then(|time| start.checked_add(time))
                .unwrap_or(far),
        )
    }
}

/// One slot for each session.
pub(crate) fn slots(args: &Args) -> Result<Vec<Slot>, String> {
    let identities = identities(args)?;
    let sources: &[IpAddr] = args.from.as_deref().unwrap_or_default();
    let slots = (0..args.sessions).zip(identities.iter().cycle());
    // Both are taken in turn; without addresses, the system chooses.
    let mut sources = sources.iter().cycle();
    let slots = slots.map(|(index, identity)| Slot {
        source: sources.next().copied(),
        identity: Arc::clone(identity),
        pace: Pace::new(args.rate, index, args.sessions),
    });
    Ok(slots.collect())
}

/// One for all, or one for each.
fn identities(args: &Args) -> Result<Vec<Arc<Identity>>, String> {
    let read =
        |certificate: &Path, key: &Path| Identity::read(args.dtls, certificate, key).map(Arc::new);
    if let Some((certificate, key)) = args.certificate.as_deref().zip(args.key.as_deref()) {
        return Ok(vec![read(certificate, key)?]);
    }
    let directory = args.identities.clone().unwrap_or_default();
    let sessions = usize::try_from(args.sessions).unwrap_or(usize::MAX);
    let mut keys = keys(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    keys.sort();
    if keys.len() < sessions {
        return Err(format!(
            "{}: {} pairs of NAME.pem and NAME.key, fewer than the {sessions} sessions",
            directory.display(),
            keys.len()
        ));
    }
    let pairs = keys.iter().take(sessions);
    pairs
        .map(|key| read(&key.with_extension("pem"), key))
        .collect()
}

/// The keys in a directory that have their certificate beside them.
fn keys(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        if is_key && path.with_extension("pem").is_file() {
            keys.push(path);
        }
    }
    Ok(keys)
}

/// Reads a `--from`.
pub(crate) fn addresses(text: &str) -> Result<Sources, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let Some((first, last)) = part.split_once('-') else {
            all.push(
                part.parse()
                    .map_err(|_| format!("{part:?} is no address"))?,
            );
            continue;
        };
        let number = |text: &str| {
            let address = text.parse::<Ipv4Addr>();
            address
                .map(u32::from)
                .map_err(|_| format!("{text:?} is no IPv4 address"))
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first || last - first >= MOST_ADDRESSES {
            return Err(format!(
                "{part} is no range of 1 to {MOST_ADDRESSES} addresses"
            ));
        }
        all.extend((first..=last).map(|n| IpAddr::V4(n.into())));
    }
    Ok(all.into())
}

#[cfg(test)]
mod tests {
    use super::super::now;
    use super::*;

    #[test]
    fn a_fixed_rate_is_spread_over_the_sessions_and_over_time() {
        let start = now();
        let mut due: Vec<Duration> = (0..4)
            .flat_map(|index| {
                let pace = Pace::new(Some(8.0), index, 4);
                (0..4).map(move |turn| pace.due(start, turn).unwrap() - start)
            })
            .collect();
        due.sort();
        let eighths: Vec<Duration> = (0..16).map(|n| Duration::from_millis(125) * n).collect();
        assert_eq!(due, eighths);
    }

    #[test]
    fn a_closed_loop_waits_for_nothing_and_a_far_turn_overflows_nothing() {
        let start = now();
        assert_eq!(Pace::new(None, 3, 10).due(start, 7), None);
        let slow = Pace::new(Some(1e-5), 999_999, 1_000_000);
        assert!(slow.due(start, u32::MAX).unwrap() >= start + Duration::from_secs(3600));
    }

    #[test]
    fn source_addresses_are_listed_or_a_range() {
        let all = |text| addresses(text).map(|all| all.len());
        assert_eq!(all("127.0.0.1"), Ok(1));
        assert_eq!(all("127.0.0.250-127.0.1.5,::1"), Ok(13));
        let range = addresses("127.0.0.1-127.0.0.3").unwrap();
        assert_eq!(range.last(), Some(&IpAddr::from([127, 0, 0, 3])));
        for wrong in [
            "",
            "127.0.0.2-127.0.0.1",
            "0.0.0.0-255.255.255.255",
            "::1-::2",
            "x",
        ] {
            assert!(all(wrong).is_err(), "{wrong}");
        }
    }
}
