//! Assigns each session its source address, certificate and pace.

use super::args::{Args, Sources};
use super::dtls::Identity;
use super::pace::{Pace, Turns};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most source addresses a range may have.
const MOST_ADDRESSES: u32 = 65_536;

/// The parameters of one session.
pub(crate) struct Slot {
    pub(crate) source: Option<IpAddr>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) pace: Pace,
    pub(crate) turns: Turns,
}

/// One slot for each session.
pub(crate) fn slots(args: &Args) -> Result<Vec<Slot>, String> {
    let identities = identities(args)?;
    let sources: &[IpAddr] = args.from.as_deref().unwrap_or_default();
    let slots = (0..args.sessions).zip(identities.iter().cycle());
    // Sessions take them in rotation; without addresses, the system chooses.
    let mut sources = sources.iter().cycle();
    let slots = slots.map(|(index, identity)| Slot {
        source: sources.next().copied(),
        identity: Arc::clone(identity),
        pace: Pace::new(args.rate, index, args.sessions),
        turns: Turns::default(),
    });
    Ok(slots.collect())
}

/// One identity for all sessions, or one for each.
fn identities(args: &Args) -> Result<Vec<Arc<Identity>>, String> {
    let read =
        |certificate: &Path, key: &Path| Identity::read(args, certificate, key).map(Arc::new);
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

/// Parses the value of `--from`.
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
    use super::*;

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
