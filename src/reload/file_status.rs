//! How often files were reloaded, and when the certificates in them end.
//!
//! The reload task writes it, and each scrape reads it.

use crate::credentials::{ClientPolicy, Expiry, ExpiryKind, ServerCredentials};
use crate::upstream::TlsFiles;
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificates that are reported one by one. Of more, only those that end first.
pub(crate) const MAX_CERTIFICATES: usize = 100;

/// How often one source was reloaded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReloadCounts {
    /// Reloads that replaced the previous version.
    pub accepted: u64,
    /// Reloads with mistakes, after which the previous version stayed in use.
    pub refused: u64,
    /// When it was accepted last, the start included, in seconds since 1970.
    pub last_accepted: Option<i64>,
}

impl ReloadCounts {
    /// Counts a reload that replaced the previous version. `now`: in seconds since 1970.
    pub(crate) fn accepted(&mut self, now: i64) {
        self.accepted += 1;
        self.last_accepted = Some(now);
    }

    /// Counts a reload with mistakes.
    pub(crate) fn refused(&mut self) {
        self.refused += 1;
    }
}

/// The reloads of each source, and the certificates in use.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FileStatus {
    pub registry: ReloadCounts,
    /// The gateway's own certificate and key.
    pub server: ReloadCounts,
    /// Trust anchors and revocation lists.
    pub clients: ReloadCounts,
    /// Authorities, certificate and key for TLS to ThingsBoard.
    pub upstream: ReloadCounts,
    /// When the gateway's certificate ends.
    pub server_ends: Vec<Expiry>,
    /// When each trust anchor and revocation list ends.
    pub clients_end: Vec<Expiry>,
    /// When the certificate that ThingsBoard, or a proxy before it, is shown ends.
    pub upstream_ends: Vec<Expiry>,
}

/// When the gateway's certificate for TLS to ThingsBoard ends.
pub(super) fn upstream_ends(files: &TlsFiles) -> Vec<Expiry> {
    let client = files.client.iter();
    let own = client.filter_map(|client| client.chain.first());
    own.filter_map(|own| Expiry::of_certificate(ExpiryKind::UpstreamClient, own))
        .collect()
}

impl FileStatus {
    /// The certificates and lists in the order in which they end. Of several with the same name, as an authority before
    /// and after its renewal, only the one that ends first: Prometheus refuses a scrape with two samples of the same
    /// labels.
    pub(crate) fn ends(&self) -> Vec<&Expiry> {
        let all = self.server_ends.iter().chain(&self.clients_end);
        let all = all.chain(&self.upstream_ends);
        let mut all: Vec<&Expiry> = all.collect();
        all.sort_by_key(|ends| (ends.kind, &ends.name, ends.at));
        all.dedup_by_key(|ends| (ends.kind, &ends.name));
        all.sort_by_key(|ends| ends.at);
        all.truncate(MAX_CERTIFICATES);
        all
    }
}

/// A [`FileStatus`] that the reload task and the admin server share.
#[derive(Clone, Default)]
pub(crate) struct SharedFileStatus(Arc<Mutex<FileStatus>>);

impl fmt::Debug for SharedFileStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl SharedFileStatus {
    /// The status after the start: every source was accepted now.
    pub(crate) fn at_start(
        server: &ServerCredentials,
        clients: &ClientPolicy,
        upstream: &TlsFiles,
    ) -> SharedFileStatus {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let accepted = ReloadCounts {
            last_accepted: Some(now),
            ..ReloadCounts::default()
        };
        SharedFileStatus(Arc::new(Mutex::new(FileStatus {
            registry: accepted,
            server: accepted,
            clients: accepted,
            upstream: accepted,
            server_ends: server.expiries().collect(),
            clients_end: clients.expiries().collect(),
            upstream_ends: upstream_ends(upstream),
        })))
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut FileStatus)) {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut status);
    }

    /// A copy of the status.
    pub(crate) fn get(&self) -> FileStatus {
        let status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Moment;

    fn anchor(name: impl ToString, at: i64) -> Expiry {
        Expiry {
            kind: ExpiryKind::TrustAnchor,
            name: name.to_string(),
            at: Moment::from_seconds(at),
        }
    }

    fn status(clients_end: Vec<Expiry>) -> FileStatus {
        FileStatus {
            clients_end,
            ..FileStatus::default()
        }
    }

    #[test]
    fn of_too_many_certificates_those_that_end_first_are_reported() {
        let status = status((0..1000).rev().map(|at| anchor(at, at)).collect());
        let ends = status.ends();
        assert_eq!(ends.len(), MAX_CERTIFICATES);
        assert_eq!((ends[0].at.seconds(), ends[99].at.seconds()), (0, 99));
    }

    #[test]
    fn of_two_with_the_same_name_the_one_that_ends_first_is_reported() {
        let status = status(vec![
            anchor("CN=Root", 7),
            anchor("CN=Root", 5),
            anchor("CN=Other", 6),
        ]);
        let ends = status.ends();
        let ends: Vec<_> = ends
            .iter()
            .map(|ends| (ends.name.as_str(), ends.at.seconds()))
            .collect();
        assert_eq!(ends, [("CN=Root", 5), ("CN=Other", 6)]);
    }
}
