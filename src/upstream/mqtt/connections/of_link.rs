//! How a connection's task reports: to the loop, and to what is counted and logged of all connections.

use super::super::counters::{AtomicCounters, count};
use super::super::dial::Dial;
use super::super::link::Link;
use super::super::losses::Losses;
use super::super::notice::Notice;
use super::super::task::Surroundings;
use super::Connections;
use crate::device::Device;
use std::sync::Arc;
use tokio::sync::mpsc::Permit;
use tokio::sync::mpsc::error::TrySendError;

/// What a connection's task needs: for one link, out of what all connections share.
pub(super) struct OfLink<'a, T, D> {
    pub(super) connections: &'a Connections<T, D>,
    /// That of provisioning is of no device.
    pub(super) link: &'a Link,
}

impl<T: Send + 'static, D: Dial> OfLink<'_, T, D> {
    /// Sends a notice to those that it is for.
    fn send<'r>(
        &self,
        room: impl Iterator<Item = Permit<'r, T>>,
        notices: Vec<(Arc<Device>, Notice)>,
    ) where
        T: 'r,
    {
        for (room, (device, notice)) in room.zip(notices) {
            room.send((self.connections.convert)(&device, notice));
        }
    }
}

impl<T: Send + 'static, D: Dial> Surroundings for OfLink<'_, T, D> {
    fn reached(&self) {
        if self.connections.outage.succeeded() {
            tracing::info!(url = self.connections.url, "ThingsBoard answers again");
        }
    }

    fn connected(&self) {
        if self.link.most_recipients() > 0 {
            count(&self.connections.counters.opened);
            self.connections.not_missing(self.link, Losses::opened);
        }
    }

    fn counters(&self) -> &AtomicCounters {
        &self.connections.counters
    }

    fn try_notify(&self, notice: Notice) -> Result<(), Notice> {
        let recipients = self.link.recipients(&notice);
        match self.connections.notices.try_reserve_many(recipients.len()) {
            Ok(room) => {
                self.send(room, recipients);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(notice),
            // The loop is shutting down.
            Err(TrySendError::Closed(())) => Ok(()),
        }
    }

    async fn notify(&self, notice: Notice) {
        let connections = self.connections;
        // Were it given back to be taken afterwards, the next one that waits would have it.
        let most = self.link.most_recipients();
        // If the channel is closed, the loop is shutting down.
        let Ok(room) = connections.notices.reserve_many(most).await else {
            return;
        };
        if !notice.is_large() {
            self.send(room, self.link.recipients(&notice));
            return;
        }
        let recipients = self.link.recipients(&notice);
        let convert = connections.convert;
        let messages = connections.runtime.spawn_blocking(move || {
            let convert = |(device, notice)| convert(&device, notice);
            recipients.into_iter().map(convert).collect::<Vec<T>>()
        });
        // It fails only if the runtime ends.
        for (room, message) in room.zip(messages.await.unwrap_or_default()) {
            room.send(message);
        }
    }
}
