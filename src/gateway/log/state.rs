//! The log lines about what is stored.
//!
//! They are few: a start, a stop, and when the disk begins to fail or works again.

use crate::shown::Shown;
use crate::state::report::Restored;
use state_store::{Event, SetAside, StopError};
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;
use tracing::{error, info, warn};

/// A store was opened. `is_new`: its key was made now.
pub(crate) fn opened(directory: &Path, is_new: bool, set_aside: Option<&SetAside>) {
    let directory = Shown::path(directory);
    if is_new {
        info!(%directory, "a key for stored sessions was made");
    }
    if let Some(SetAside { path, reason }) = set_aside {
        let path = Shown::path(path);
        warn!(
            %directory, %path,
            "what was stored can't be used, and all devices make a new handshake. It is set aside: {reason}"
        );
    }
}

/// The store can't be opened.
pub(crate) fn not_opened(directory: &Path, error: &impl Display) {
    let directory = Shown::path(directory);
    error!(%directory, "no session is stored: {error}. All devices are served, and their sessions end with the process");
}

/// Sessions were restored, in this time.
pub(crate) fn restored(restored: &Restored, took: Duration) {
    let sessions = restored.sessions;
    let mut stored = sessions;
    let mut reasons = String::new();
    for (why, count) in restored.not_restored() {
        stored = stored.saturating_add(count);
        if count > 0 {
            reasons.push_str(if reasons.is_empty() { ": " } else { ", " });
            reasons.push_str(&format!("{} {count}", why.name()));
        }
    }
    let milliseconds = took.as_millis();
    if stored == sessions {
        info!(sessions, milliseconds, "stored sessions restored");
    } else {
        info!(
            sessions,
            stored,
            milliseconds,
            "stored sessions restored, except those that no longer hold{reasons}"
        );
    }
}

/// The disk has begun to fail, or works again.
pub(crate) fn event(event: &Event) {
    match event {
        Event::Failing(error) => warn!(
            "sessions can't be stored now: {error}. All devices are served; what has changed waits in memory, and is lost in a \
             crash. It is tried again"
        ),
        Event::WorksAgain { failed } => {
            info!(failed, "sessions are stored again");
        }
    }
}

/// The gateway stops with so many stored sessions.
pub(crate) fn stopped(sessions: usize, stored: Result<(), StopError>) {
    match stored {
        Ok(()) => info!(
            sessions,
            "sessions are stored, and go on after the next start"
        ),
        Err(error) => error!(
            sessions,
            "not all sessions are stored: {error}. After the next start they go on as they were stored last"
        ),
    }
}

#[cfg(test)]
mod tests;
