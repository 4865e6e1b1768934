//! How the other gateways and the store of the group are reached: a socket, and a thread that calls the store.

use super::core::Core;
use crate::gateway::log;
use crate::logging::throttle::Throttle;
use crate::udp::{self, FragmentedUdp};
use replicas::store::Reply;
use replicas_redis::{RedisStore, Server, StartError};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Calls of the store that may wait for its thread, and replies that may wait for the loop.
const CALLS: usize = 16_384;
/// Pause after an error of the socket: an immediate retry would fail again. The lease is renewed more often than the loop would
/// need to be woken for this.
const SOCKET_PAUSE: Duration = Duration::from_millis(100);
/// Replies, and batches of datagrams, that are taken in one turn.
const PER_TURN: usize = 256;

/// How a group is reached. `None`: there is none.
pub(super) struct GroupIo(Option<Reached>);

struct Reached {
    udp: FragmentedUdp,
    store: RedisStore,
    replies: mpsc::Receiver<(u64, Reply)>,
    errors: Throttle<io::ErrorKind>,
    /// After an error of the socket it is not used until then.
    paused_until: Option<Instant>,
}

/// Why a group can't be joined.
pub(super) enum GroupError {
    /// The address can't be bound.
    Bind(io::Error),
    /// The store can't be used as it is configured.
    Store(StartError),
}

/// What there is to take.
pub(super) enum Received {
    Reply(u64, Reply),
    Datagrams(io::Result<()>),
}

impl GroupIo {
    /// Without a group.
    pub(super) const fn none() -> GroupIo {
        GroupIo(None)
    }

    /// Binds the socket for other gateways, and starts the thread for the store, which need not be there yet.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub(super) fn start(
        listen: SocketAddr,
        server: Server,
    ) -> Result<(GroupIo, SocketAddr), GroupError> {
        let udp = FragmentedUdp::bind(listen).map_err(GroupError::Bind)?;
        let address = udp.local_addr().map_err(GroupError::Bind)?;
        let (sender, replies) = mpsc::channel(CALLS);
        let store = RedisStore::start(
            server,
            CALLS,
            move |ticket, reply| {
                // It waits while the loop is behind. At the end nobody takes it.
                let _ = sender.blocking_send((ticket, reply));
            },
            |event| log::group::store_event(&event),
        )
        .map_err(GroupError::Store)?;
        let reached = Reached {
            udp,
            store,
            replies,
            errors: Throttle::every(Duration::from_secs(60)),
            paused_until: None,
        };
        Ok((GroupIo(Some(reached)), address))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Resolves when there is something to [handle](Self::handle); never without a group.
    pub(super) async fn wait(&mut self) -> Received {
        let Some(reached) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            Some((ticket, reply)) = reached.replies.recv() => Received::Reply(ticket, reply),
            readable = reached.udp.readable(), if reached.paused_until.is_none() => {
                Received::Datagrams(readable)
            }
        }
    }

    /// Gives the core what was received.
    pub(super) fn handle(&mut self, now: Instant, received: Received, core: &mut Core) {
        let Some(reached) = &mut self.0 else {
            return;
        };
        match received {
            Received::Reply(ticket, reply) => {
                core.store_replied(now, ticket, reply);
                for _ in 1..PER_TURN {
                    let Ok((ticket, reply)) = reached.replies.try_recv() else {
                        break;
                    };
                    core.store_replied(now, ticket, reply);
                }
            }
            Received::Datagrams(readable) => {
                let mut taken = 0;
                let mut result = readable;
                while result.is_ok() && taken < PER_TURN {
                    let count = reached
                        .udp
                        .receive(|datagram| core.receive_hop(now, datagram));
                    match count {
                        Ok(count) => {
                            taken += count;
                            if count < udp::BATCH {
                                break;
                            }
                        }
                        Err(error) => result = Err(error),
                    }
                }
                if let Err(error) = result {
                    if reached.errors.admits(now, error.kind()) {
                        log::group::socket_fails(&error);
                    }
                    reached.paused_until = Some(now + SOCKET_PAUSE);
                }
            }
        }
    }

    /// Sends what there is for other gateways, and calls the store.
    pub(super) fn send_all(&mut self, now: Instant, core: &mut Core) {
        let Some(reached) = &mut self.0 else {
            return;
        };
        reached.paused_until = reached.paused_until.filter(|until| *until > now);
        while let Some((to, bytes)) = core.poll_hop() {
            // What is not sent is as if it were lost.
            reached.udp.send(to, &bytes);
        }
        while let Some((ticket, call)) = core.poll_store_call() {
            if reached.store.call(ticket, call).is_err() {
                core.store_replied(now, ticket, Reply::Failed);
            }
        }
    }

    /// Ends the thread.
    pub(super) async fn stop(&mut self) {
        if let Some(Reached {
            store, mut replies, ..
        }) = self.0.take()
        {
            replies.close();
            // It waits for the store.
            let _ = tokio::task::spawn_blocking(move || drop(store)).await;
        }
    }
}
