//! What a gateway that runs can be told and asked, from outside its loop.
//!
//! Orders wait in a short queue, and the loop takes one in each turn: whoever asks too often waits, devices don't.

use super::report::{Report, SessionLine};
use crate::credentials::ClientPolicy;
use crate::device::Registry;
use crate::dtls::{SessionId, engine};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait.
const QUEUE: usize = 16;

/// The most sessions told of in one answer, so that no request waits for it.
pub const SESSIONS_PER_ANSWER: usize = 512;

/// What takes the place of what was read before. All of it is valid as it is.
#[derive(Debug)]
pub enum Change {
    /// Which certificate is which device.
    Registry(Arc<Registry>),
    /// The gateway's certificate and key, for handshakes that begin from now on.
    Server(engine::Settings),
    /// Which client certificates are let in; live sessions are judged by it too.
    Clients(ClientPolicy),
}

/// What the loop is told or asked.
#[derive(Debug)]
pub(super) enum Order {
    Change(Change, oneshot::Sender<()>),
    Report(oneshot::Sender<Box<Report>>),
    Sessions(oneshot::Sender<Vec<SessionId>>),
    Describe(Vec<SessionId>, oneshot::Sender<Vec<SessionLine>>),
}

/// The gateway has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has ended")]
pub struct Ended;

/// A way to a gateway that runs, or soon will.
#[derive(Debug, Clone)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
}

/// A handle, and where its orders arrive.
pub(super) fn channel() -> (Handle, mpsc::Receiver<Order>) {
    let (orders, arriving) = mpsc::channel(QUEUE);
    (Handle { orders }, arriving)
}

impl Handle {
    /// Puts something new in the place of the old. Returns when requests are served by it.
    pub async fn change(&self, change: Change) -> Result<(), Ended> {
        self.ask(|done| Order::Change(change, done)).await
    }

    /// What there is, and what was counted. That it answers shows that the loop lives.
    pub async fn report(&self) -> Result<Box<Report>, Ended> {
        self.ask(Order::Report).await
    }

    /// The names of all established sessions, in no order.
    pub async fn sessions(&self) -> Result<Vec<SessionId>, Ended> {
        self.ask(Order::Sessions).await
    }

    /// The first [`SESSIONS_PER_ANSWER`] of these sessions, those that have ended since left out.
    pub async fn describe(&self, sessions: Vec<SessionId>) -> Result<Vec<SessionLine>, Ended> {
        self.ask(|answer| Order::Describe(sessions, answer)).await
    }

    /// Waits until the gateway has ended.
    pub async fn ended(&self) {
        self.orders.closed().await;
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}
