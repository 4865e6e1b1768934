//! A session as a row, and back.

use super::clock::{Clock, Seconds};
use super::report::NotRestored;
use crate::credentials::{AuthorityPaths, ClientPolicy, KnownClient};
use crate::device::{Device, Registry};
use crate::dtls::{Association, Path};
use coap::RemoteEndpoint;
use rustls_pki_types::UnixTime;
use state_store::session_row::{SectionTooLong, SessionRow, SessionWindow};
use state_store::{SendNumbers, StoredSession};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// What a session is at one moment.
pub(crate) struct Session<'a> {
    /// The last that was proven.
    pub(crate) path: Path,
    pub(crate) association: &'a Association,
    pub(crate) client: KnownClient,
    pub(crate) endpoint: &'a RemoteEndpoint,
    pub(crate) established: Instant,
    pub(crate) last_received: Instant,
}

impl Session<'_> {
    /// The row. `is_final`: nothing is received or sent after it.
    ///
    /// # Errors
    /// It is too long to be stored.
    pub(crate) fn row(
        &self,
        now: Instant,
        clock: &Clock,
        paths: &mut AuthorityPaths,
        is_final: bool,
    ) -> Result<Zeroizing<Vec<u8>>, SectionTooLong> {
        // When it was exported, and the export.
        let mut coap = clock.seconds(now).0.to_be_bytes().to_vec();
        coap.extend(self.endpoint.export(now, is_final));
        SessionRow {
            remote: self.path.remote,
            local: self.path.local,
            established: clock.seconds(self.established).0,
            last_received: clock.seconds(self.last_received).0,
            association: &self.association.export(),
            coap: &coap,
            client: &self.client.encode(paths),
        }
        .encode()
    }
}

/// What is beside a session's row.
pub(crate) fn window(association: &Association, clock: &Clock, last_received: Instant) -> Vec<u8> {
    SessionWindow {
        receive_window: association.receive_window(),
        last_received: clock.seconds(last_received).0,
    }
    .encode()
    .to_vec()
}

/// A session as it was stored, with its device.
pub(crate) struct Restorable {
    pub(crate) key: u32,
    pub(crate) numbers: SendNumbers,
    pub(crate) path: Path,
    pub(crate) association: Association,
    pub(crate) client: KnownClient,
    pub(crate) device: Arc<Device>,
    pub(crate) endpoint: RemoteEndpoint,
    pub(crate) established: Instant,
    pub(crate) last_received: Instant,
}

/// What a stored session is judged by.
pub(crate) struct Judge<'a> {
    pub(crate) now: Instant,
    pub(crate) unix_time: UnixTime,
    pub(crate) policy: &'a ClientPolicy,
    pub(crate) paths: &'a AuthorityPaths,
    pub(crate) registry: &'a Registry,
    pub(crate) session_idle: Duration,
}

impl Judge<'_> {
    /// Reads a stored session and judges it as a handshake would be.
    pub(crate) fn judge(&self, stored: StoredSession) -> Result<Restorable, NotRestored> {
        let unreadable = NotRestored::Unreadable;
        let row = SessionRow::decode(&stored.row).map_err(|_| unreadable)?;
        let client = KnownClient::decode(row.client, self.paths).ok_or(unreadable)?;
        let device = self.registry.find(&client.id);
        let device = device.ok_or(NotRestored::NotRegistered)?.clone();
        let verdict = self.policy.verify_again(&client, self.unix_time);
        verdict.map_err(|_| NotRestored::NotAccepted)?;

        let mut association = Association::restore(row.association, stored.first_send_number)
            .map_err(|_| unreadable)?;
        let mut last_received = Seconds(row.last_received);
        if let Some(window) = &stored.window {
            let window = SessionWindow::decode(window).map_err(|_| unreadable)?;
            let renewed = association.renew_receive_window(&window.receive_window);
            renewed.map_err(|_| unreadable)?;
            last_received = last_received.max(Seconds(window.last_received));
        }
        let clock = Clock::new(self.now, self.unix_time);
        let since = clock.since(last_received);
        if since >= self.session_idle {
            return Err(NotRestored::Idle);
        }
        let (exported, coap) = row.coap.split_first_chunk().ok_or(unreadable)?;
        let exported = clock.since(Seconds(u32::from_be_bytes(*exported)));
        let endpoint = RemoteEndpoint::restore(self.now, exported, coap);
        Ok(Restorable {
            key: u32::try_from(stored.key).map_err(|_| unreadable)?,
            numbers: stored.numbers,
            path: Path {
                remote: row.remote,
                local: row.local,
            },
            association,
            client,
            device,
            endpoint: endpoint.map_err(|_| unreadable)?,
            established: clock.instant(Seconds(row.established)),
            last_received: clock.instant(last_received),
        })
    }
}
