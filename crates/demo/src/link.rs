//! The link between clients and the gateway: it passes every datagram on, or loses some if told to.
//!
//! Clients reach it on the announced port, each gets a socket of its own towards the gateway, and so the gateway
//! sees them as apart as they are. It can't read what it carries: datagrams are DTLS.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

/// Clients at once. One more, and the longest silent loses its way; its session begins anew.
const MOST_CLIENTS: usize = 64;
/// How many of a hundred datagrams are lost, when some are.
pub(super) const LOST_OF_A_HUNDRED: u32 = 30;
/// Losses kept for the slowest listener.
const KEPT: usize = 128;
/// No datagram is larger.
const LARGEST: usize = 65_535;

/// A datagram that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// Whether it was on its way to the gateway.
    pub(super) to_gateway: bool,
    /// Its length.
    pub(super) length: usize,
}

/// What happens to datagrams. When it turns bad, a retransmission is to be seen within seconds whatever chance says:
/// so a request arrives, its answer is lost, and the request arrives again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sky {
    Good,
    /// Datagrams to the gateway arrive; the next to a client is lost.
    LosesAnswer,
    /// The next datagram to the gateway arrives.
    SparesRequest,
    /// Chance decides.
    Bad,
}

/// Whether the link loses datagrams, and which.
#[derive(Debug)]
pub(super) struct Weather {
    now: Mutex<(Sky, fastrand::Rng)>,
    lost: broadcast::Sender<Lost>,
}

impl Weather {
    pub(super) fn new(seed: u64) -> Weather {
        Weather {
            now: Mutex::new((Sky::Good, fastrand::Rng::with_seed(seed))),
            lost: broadcast::Sender::new(KEPT),
        }
    }

    /// From now on.
    pub(super) fn set(&self, is_bad: bool) {
        self.lock().0 = if is_bad { Sky::LosesAnswer } else { Sky::Good };
    }

    fn lock(&self) -> MutexGuard<'_, (Sky, fastrand::Rng)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each loss from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Lost> {
        self.lost.subscribe()
    }

    /// Whether this datagram arrives.
    fn lets_pass(&self, to_gateway: bool, length: usize) -> bool {
        let mut now = self.lock();
        let (sky, random) = &mut *now;
        let by_chance = random.u32(..100) < LOST_OF_A_HUNDRED;
        let (is_lost, then) = match (*sky, to_gateway) {
            (Sky::Good, _) => (false, Sky::Good),
            (Sky::LosesAnswer, false) => (true, Sky::SparesRequest),
            (Sky::LosesAnswer, true) => (false, Sky::LosesAnswer),
            (Sky::SparesRequest, true) => (false, Sky::Bad),
            (Sky::SparesRequest, false) => (by_chance, Sky::SparesRequest),
            (Sky::Bad, _) => (by_chance, Sky::Bad),
        };
        *sky = then;
        if is_lost {
            // Nobody may be listening.
            let _ = self.lost.send(Lost { to_gateway, length });
        }
        !is_lost
    }
}

/// A client's way to the gateway.
struct Client {
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    back: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.back.abort();
    }
}

/// A link that is bound, and carries once it runs.
pub(super) struct Link {
    front: Arc<UdpSocket>,
    gateway: SocketAddr,
    weather: Arc<Weather>,
    /// The longest silent first.
    clients: VecDeque<Client>,
}

impl Link {
    pub(super) async fn bind(
        address: SocketAddr,
        gateway: SocketAddr,
        weather: Arc<Weather>,
    ) -> io::Result<Link> {
        Ok(Link {
            front: Arc::new(UdpSocket::bind(address).await?),
            gateway,
            weather,
            clients: VecDeque::new(),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.front.local_addr()
    }

    /// Carries datagrams until it is dropped.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; LARGEST];
        loop {
            let Ok((length, address)) = self.front.recv_from(&mut buffer).await else {
                // An ICMP message about a client that has gone: the next datagram is another's.
                continue;
            };
            let socket = self.way_of(address).await?;
            let datagram = buffer.get(..length).unwrap_or_default();
            if self.weather.lets_pass(true, length) {
                // What can't be sent is lost, as on any link.
                let _ = socket.send(datagram).await;
            }
        }
    }

    /// The client's socket towards the gateway; it is the least silent now.
    async fn way_of(&mut self, address: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        let known = self.clients.iter().position(|one| one.address == address);
        let client = match known.and_then(|at| self.clients.remove(at)) {
            Some(client) => client,
            None => {
                while self.clients.len() >= MOST_CLIENTS {
                    self.clients.pop_front();
                }
                self.welcome(address).await?
            }
        };
        let socket = client.socket.clone();
        self.clients.push_back(client);
        Ok(socket)
    }

    async fn welcome(&self, address: SocketAddr) -> io::Result<Client> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.gateway).await?;
        let socket = Arc::new(socket);
        let (front, back, weather) = (self.front.clone(), socket.clone(), self.weather.clone());
        let back = tokio::spawn(async move {
            let mut buffer = vec![0; LARGEST];
            while let Ok(length) = back.recv(&mut buffer).await {
                let datagram = buffer.get(..length).unwrap_or_default();
                if weather.lets_pass(false, length) {
                    let _ = front.send_to(datagram, address).await;
                }
            }
        });
        Ok(Client {
            address,
            socket,
            back: back.abort_handle(),
        })
    }
}

#[cfg(test)]
mod tests;
