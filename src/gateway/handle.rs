//! Commands to a gateway that runs, from outside its loop.
//!
//! Commands wait in a short queue, and the loop takes one in each turn: many commands delay each other, not devices.

use super::report::{Report, SessionLine};
use crate::credentials::ClientPolicy;
use crate::device::Registry;
use crate::dtls::{self, SessionId};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait.
const QUEUE: usize = 16;

/// The most sessions that one command describes, so that it delays no request.
pub(crate) const SESSIONS_PER_ANSWER: usize = 512;

/// A replacement for what was read from files before. It has been validated.
#[derive(Debug)]
pub enum Change {
    /// The device of each certificate.
    Registry(Arc<Registry>),
    /// The gateway's certificate and key, for handshakes that begin from now on.
    Server(dtls::Settings),
    /// Which client certificates are accepted; established sessions are checked again.
    Clients(ClientPolicy),
}

/// A command, and where its answer goes.
#[derive(Debug)]
pub(super) enum Command {
    Change(Change, oneshot::Sender<()>),
    Report(oneshot::Sender<Box<Report>>),
    Sessions(oneshot::Sender<Vec<SessionId>>),
    Describe(Vec<SessionId>, oneshot::Sender<Vec<SessionLine>>),
}

/// The gateway has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has ended")]
pub struct Ended;

/// Sends commands to a gateway that runs, or soon will.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

/// A handle, and the receiver of its commands.
pub(super) fn channel() -> (Handle, mpsc::Receiver<Command>) {
    let (commands, received) = mpsc::channel(QUEUE);
    (Handle { commands }, received)
}

impl Handle {
    /// Replaces what was read from files. Returns once requests are served by it.
    pub async fn change(&self, change: Change) -> Result<(), Ended> {
        self.send(|done| Command::Change(change, done)).await
    }

    /// Levels and counters. An answer shows that the loop runs.
    pub async fn report(&self) -> Result<Box<Report>, Ended> {
        self.send(Command::Report).await
    }

    /// The ids of all established sessions, in no order.
    pub async fn sessions(&self) -> Result<Vec<SessionId>, Ended> {
        self.send(Command::Sessions).await
    }

    /// The first [`SESSIONS_PER_ANSWER`] of these sessions, without those that have ended since.
    pub async fn describe(&self, sessions: Vec<SessionId>) -> Result<Vec<SessionLine>, Ended> {
        self.send(|answer| Command::Describe(sessions, answer))
            .await
    }

    /// Waits until the gateway has ended.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    async fn send<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(command(answer))
            .await
            .map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}
