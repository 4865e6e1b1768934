//! A session as a row, and back.

use super::clock::{Clock, Seconds};
use crate::credentials::{AuthorityPaths, KnownClient};
use crate::dtls::{Association, Path};
use coap::RemoteEndpoint;
use state_store::session_row::{SectionTooLong, SessionRow, SessionWindow};
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
    /// The row. `extent`: of its endpoint.
    ///
    /// # Errors
    /// It is too long to be stored.
    pub(crate) fn row(
        &self,
        now: Instant,
        clock: &Clock,
        extent: coap::Extent,
    ) -> Result<Zeroizing<Vec<u8>>, SectionTooLong> {
        // When it was exported, and the export.
        let mut coap = clock.seconds(now).0.to_be_bytes().to_vec();
        coap.extend(self.endpoint.export(now, extent));
        SessionRow {
            remote: self.path.remote,
            local: self.path.local,
            established: clock.seconds(self.established).0,
            last_received: clock.seconds(self.last_received).0,
            association: &self.association.export(),
            coap: &coap,
            client: &self.client.encode(),
        }
        .encode()
    }
}

/// What is beside a session's row.
pub(crate) fn window(
    association: &Association,
    clock: &Clock,
    last_received: Instant,
) -> [u8; SessionWindow::LENGTH] {
    SessionWindow {
        receive_window: association.receive_window(),
        last_received: clock.seconds(last_received).0,
    }
    .encode()
}

/// What is stored of a session.
pub(crate) struct Stored<'a> {
    pub(crate) row: &'a [u8],
    /// What is beside the row, if anything was written since.
    pub(crate) window: Option<&'a [u8]>,
    /// The number that it may use next.
    pub(crate) first_send_number: u64,
}

/// A session as it was stored.
pub(crate) struct Restorable {
    pub(crate) path: Path,
    pub(crate) association: Association,
    pub(crate) client: KnownClient,
    pub(crate) endpoint: RemoteEndpoint,
    pub(crate) established: Instant,
    pub(crate) last_received: Instant,
    /// The same, as it was stored.
    pub(crate) received_at: Seconds,
    pub(crate) silent_for: Duration,
}

impl Restorable {
    /// Reads a stored session. `paths`: those that were stored. `None`: it can't be read.
    pub(crate) fn read(
        clock: &Clock,
        now: Instant,
        stored: &Stored<'_>,
        paths: &AuthorityPaths,
    ) -> Option<Restorable> {
        let row = SessionRow::decode(stored.row).ok()?;
        let mut association =
            Association::restore(row.association, stored.first_send_number).ok()?;
        let mut last_received = Seconds(row.last_received);
        if let Some(window) = stored.window {
            let window = SessionWindow::decode(window).ok()?;
            association
                .renew_receive_window(&window.receive_window)
                .ok()?;
            last_received = last_received.max(Seconds(window.last_received));
        }
        let (exported, coap) = row.coap.split_first_chunk()?;
        let exported = clock.since(Seconds(u32::from_be_bytes(*exported)));
        Some(Restorable {
            path: Path {
                remote: row.remote,
                local: row.local,
                via: None,
            },
            association,
            client: KnownClient::decode(row.client, paths)?,
            endpoint: RemoteEndpoint::restore(now, exported, coap).ok()?,
            established: clock.instant(Seconds(row.established)),
            last_received: clock.instant(last_received),
            received_at: last_received,
            silent_for: clock.since(last_received),
        })
    }
}
