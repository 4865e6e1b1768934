//! Runs the gateway, and restarts it under its devices' feet: what it knows of them is on disk meanwhile.

use super::text::{self, print};
use coaps_gateway::facade::gateway::Gateway;
use coaps_gateway::facade::state::{KeySource, Settings};
use std::future::pending;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the gateway may take to stop. Polls for commands end within [`POLL_TIMEOUT`].
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// A shorter one than usual: a stop waits until polls for commands have ended.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(5);

/// Where sessions are stored: below the demo's directory, without those of the last demo, whose devices have ended.
pub(super) fn state(directory: &Path) -> io::Result<Settings> {
    let directory = directory.join("state");
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Ok(Settings {
        key: KeySource::File(directory.join("key")),
        directory,
        window: WINDOW,
    })
}

/// Runs `first` until `stopped` resolves. Each time after `every` it is stopped, and another one made by `make`.
pub(super) async fn run(
    first: Gateway,
    every: Option<Duration>,
    make: impl Fn() -> Result<Gateway, String>,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let mut gateway = first;
    let mut is_first = true;
    loop {
        let handle = gateway.handle();
        let (stop, stops) = oneshot::channel::<()>();
        let requested = async {
            let _ = stops.await;
        };
        let running = tokio::spawn(gateway.run(requested, pending()));
        if !is_first {
            let report = handle.report().await.map_err(io::Error::other)?;
            let sessions = report.stored.map_or(0, |stored| stored.restored_sessions());
            print(&text::started_again(sessions))?;
        }
        is_first = false;
        let is_over = tokio::select! {
            _ = &mut stopped => true,
            () = pause(every) => false,
        };
        if !is_over {
            print(text::STOPPING)?;
        }
        drop(stop);
        running.await?;
        if is_over {
            return Ok(());
        }
        gateway = make().map_err(io::Error::other)?;
    }
}

async fn pause(every: Option<Duration>) {
    match every {
        Some(every) => tokio::time::sleep(every).await,
        None => pending().await,
    }
}
