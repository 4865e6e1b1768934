//! Accepts MQTT connections.

use super::connection;
use crate::state::Shared;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The most connections. ThingsBoard has no limit of its own.
const MAX_CONNECTIONS: usize = 100_000;
/// How long to wait before the next attempt when `accept` fails, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections, and serves each in a task of its own, which ends when the simulator stops. Never returns.
pub(crate) async fn run(shared: &Arc<Shared>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = listener.accept().await;
        // Before the check below: a restart after it is a change for this receiver.
        let cuts = shared.mqtt_cuts.subscribe();
        match accepted {
            // ThingsBoard is down: dropping the socket closes it.
            Ok(_) if shared.connections.is_down() => {}
            Ok((stream, _)) => {
                // Packets are small and must not be delayed; a socket without the option works too.
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    connection::serve(&shared, stream, cuts).await;
                    drop(slot);
                });
            }
            // The client has gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept an MQTT connection, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
