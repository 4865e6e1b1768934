//! What was read from files: how often, and until when the certificates in them are good.
//!
//! Who reads them (at the start, and anew while the gateway runs) writes it down here, and a scrape reads it.

use crate::dtls::credentials::Ends;
use crate::dtls::{ClientPolicy, ServerCredentials};
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The most certificates that are told of one by one. Of more, those that end first are.
pub const MOST_CERTIFICATES: usize = 100;

/// How often one kind of file was read anew.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reloads {
    /// What was read took the place of what was there.
    pub accepted: u64,
    /// It had mistakes, and what was there stays.
    pub refused: u64,
    /// When it was accepted last, the start included, in seconds since 1970.
    pub last_accepted: Option<i64>,
}

impl Reloads {
    /// It was read anew, and serves from now on.
    pub fn accepted(&mut self, now: i64) {
        self.accepted += 1;
        self.last_accepted = Some(now);
    }

    /// It was read anew, and has mistakes.
    pub fn refused(&mut self) {
        self.refused += 1;
    }
}

/// What was read from files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FilesRead {
    /// The device registry.
    pub registry: Reloads,
    /// The gateway's own certificate and key.
    pub server: Reloads,
    /// Trust anchors, revocation lists.
    pub clients: Reloads,
    /// The gateway's certificate.
    pub server_ends: Vec<Ends>,
    /// All trust anchors and revocation lists.
    pub clients_end: Vec<Ends>,
}

impl FilesRead {
    /// What ends, the first first. Of several that are called the same, as an authority is before and after it was
    /// renewed, the one that ends first: two samples with the same labels would cost Prometheus all of them.
    pub fn ends(&self) -> Vec<&Ends> {
        let all = self.server_ends.iter().chain(&self.clients_end);
        let mut all: Vec<&Ends> = all.collect();
        all.sort_by_key(|ends| (ends.what, &ends.name, ends.at));
        all.dedup_by_key(|ends| (ends.what, &ends.name));
        all.sort_by_key(|ends| ends.at);
        all.truncate(MOST_CERTIFICATES);
        all
    }
}

/// The same, shared by who reads files and who tells of it.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<FilesRead>>);

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl Files {
    /// What the start has read: all of it was accepted now.
    pub fn first_read(server: &ServerCredentials, clients: &ClientPolicy) -> Files {
        let read_at = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let accepted = Reloads {
            last_accepted: Some(read_at),
            ..Reloads::default()
        };
        Files(Arc::new(Mutex::new(FilesRead {
            registry: accepted,
            server: accepted,
            clients: accepted,
            server_ends: server.ends().into_iter().collect(),
            clients_end: clients.dates().collect(),
        })))
    }

    /// Writes something down.
    pub fn update(&self, change: impl FnOnce(&mut FilesRead)) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut files);
    }

    /// What is written down.
    pub fn read(&self) -> FilesRead {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::credentials::{Moment, What};

    fn anchor(name: impl ToString, at: i64) -> Ends {
        Ends {
            what: What::TrustAnchor,
            name: name.to_string(),
            at: Moment::from_seconds(at),
        }
    }

    #[test]
    fn of_too_many_certificates_those_that_end_first_are_told() {
        let clients_end = (0..1000).rev().map(|at| anchor(at, at)).collect();
        let files = FilesRead {
            clients_end,
            ..FilesRead::default()
        };
        let told = files.ends();
        assert_eq!(told.len(), MOST_CERTIFICATES);
        assert_eq!((told[0].at.seconds(), told[99].at.seconds()), (0, 99));
    }

    #[test]
    fn two_of_one_name_are_told_once_since_a_scrape_can_not_tell_them_apart() {
        let clients_end = vec![
            anchor("CN=Root", 7),
            anchor("CN=Root", 5),
            anchor("CN=Other", 6),
        ];
        let files = FilesRead {
            clients_end,
            ..FilesRead::default()
        };
        let told = files.ends();
        let told: Vec<_> = told
            .iter()
            .map(|ends| (ends.name.as_str(), ends.at.seconds()))
            .collect();
        assert_eq!(told, [("CN=Root", 5), ("CN=Other", 6)]);
    }
}
