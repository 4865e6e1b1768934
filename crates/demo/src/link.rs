//! The link between clients and the gateway: it forwards datagrams, and loses some while losses are switched on.
//!
//! Clients reach it on the demo's port. Each gets a socket of its own towards the gateway, so that the gateway sees a
//! different address for each. The datagrams are DTLS, which the link can't read.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

/// The most clients. For another, the one that has been silent longest is removed, and must perform a new handshake.
const MAX_CLIENTS: usize = 64;
/// The share of datagrams that are lost while losses are on.
pub(super) const LOSS_PERCENT: u32 = 30;
/// How many losses wait for the slowest subscriber.
const QUEUED_LOSSES: usize = 128;
/// The pause after an error of a client's socket.
const PAUSE: Duration = Duration::from_millis(10);
/// The largest UDP datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A datagram that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// Whether a client had sent it.
    pub(super) to_gateway: bool,
    pub(super) length: usize,
}

/// What happens to datagrams. After losses are switched on, a retransmission must be seen within seconds whatever the
/// random numbers are: so a request arrives, its answer is lost, and the request arrives again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NoLoss,
    /// Datagrams to the gateway arrive; the next one to a client is lost.
    LoseAnswer,
    /// The next datagram to the gateway arrives.
    PassRequest,
    /// Each datagram is lost with the same probability.
    Random,
}

/// Decides which datagrams are lost, and reports them.
#[derive(Debug)]
pub(super) struct LossModel {
    state: Mutex<(Phase, fastrand::Rng)>,
    lost: broadcast::Sender<Lost>,
}

impl LossModel {
    pub(super) fn new(seed: u64) -> LossModel {
        LossModel {
            state: Mutex::new((Phase::NoLoss, fastrand::Rng::with_seed(seed))),
            lost: broadcast::Sender::new(QUEUED_LOSSES),
        }
    }

    /// Switches losses on or off.
    pub(super) fn set(&self, is_lossy: bool) {
        self.lock().0 = if is_lossy {
            Phase::LoseAnswer
        } else {
            Phase::NoLoss
        };
    }

    fn lock(&self) -> MutexGuard<'_, (Phase, fastrand::Rng)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives each loss from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Lost> {
        self.lost.subscribe()
    }

    /// Decides whether this datagram arrives.
    fn passes(&self, to_gateway: bool, length: usize) -> bool {
        let mut state = self.lock();
        let (phase, random) = &mut *state;
        let at_random = random.u32(..100) < LOSS_PERCENT;
        let (is_lost, next) = match (*phase, to_gateway) {
            (Phase::NoLoss, _) => (false, Phase::NoLoss),
            (Phase::LoseAnswer, false) => (true, Phase::PassRequest),
            (Phase::LoseAnswer, true) => (false, Phase::LoseAnswer),
            (Phase::PassRequest, true) => (false, Phase::Random),
            (Phase::PassRequest, false) => (at_random, Phase::PassRequest),
            (Phase::Random, _) => (at_random, Phase::Random),
        };
        *phase = next;
        if is_lost {
            // There may be no subscriber.
            let _ = self.lost.send(Lost { to_gateway, length });
        }
        !is_lost
    }
}

/// A client, and its socket towards the gateway.
struct Client {
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    /// The task that forwards datagrams from the gateway.
    task: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A bound link. It forwards datagrams while [`run`](Link::run) is polled.
pub(super) struct Link {
    front: Arc<UdpSocket>,
    gateway: SocketAddr,
    losses: Arc<LossModel>,
    /// Sorted by their latest datagram, the oldest first.
    clients: VecDeque<Client>,
}

impl Link {
    pub(super) async fn bind(
        address: SocketAddr,
        gateway: SocketAddr,
        losses: Arc<LossModel>,
    ) -> io::Result<Link> {
        Ok(Link {
            front: Arc::new(UdpSocket::bind(address).await?),
            gateway,
            losses,
            clients: VecDeque::new(),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.front.local_addr()
    }

    /// Forwards datagrams until it is dropped.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let Ok((length, address)) = self.front.recv_from(&mut buffer).await else {
                // The ICMP error of a client that has closed its socket.
                continue;
            };
            let socket = self.socket_for(address).await?;
            let datagram = buffer.get(..length).unwrap_or_default();
            if self.losses.passes(true, length) {
                // What can't be sent is lost, as on any link.
                let _ = socket.send(datagram).await;
            }
        }
    }

    /// Returns the client's socket towards the gateway, and moves the client to the end of the list.
    async fn socket_for(&mut self, address: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let known = self.clients.iter().position(|one| one.address == address);
        let client = match known.and_then(|at| self.clients.remove(at)) {
            Some(client) => client,
            None => {
                while self.clients.len() >= MAX_CLIENTS {
                    self.clients.pop_front();
                }
                self.add_client(address).await?
            }
        };
        let socket = client.socket.clone();
        self.clients.push_back(client);
        Ok(socket)
    }

    async fn add_client(&self, address: SocketAddr) -> io::Result<Client> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.gateway).await?;
        let socket = Arc::new(socket);
        let (front, back, losses) = (self.front.clone(), socket.clone(), self.losses.clone());
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; MAX_DATAGRAM];
            loop {
                let Ok(length) = back.recv(&mut buffer).await else {
                    // The ICMP error of a gateway that is being restarted.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let datagram = buffer.get(..length).unwrap_or_default();
                if losses.passes(false, length) {
                    let _ = front.send_to(datagram, address).await;
                }
            }
        });
        Ok(Client {
            address,
            socket,
            task: task.abort_handle(),
        })
    }
}

#[cfg(test)]
mod tests;
