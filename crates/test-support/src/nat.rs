//! A NAT between devices and the gateway. It gives each device a port of its own, and forgets all ports when a test says
//! so: the next datagram of a device comes from another port, and what the gateway sends to the old port is lost.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How many datagrams are remembered.
const MAX_REMEMBERED: usize = 100_000;

/// A device that connects to [`address`](Self::address) reaches the gateway. It works until it is dropped, on a thread of
/// its own.
pub struct Nat {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// The port of each device, by the device's own address.
    ports: HashMap<SocketAddr, Port>,
    /// The first byte of each datagram that devices have sent since the ports were forgotten.
    content_types: Vec<u8>,
}

/// A socket that the gateway knows a device by. It is closed when dropped.
struct Port {
    socket: Arc<UdpSocket>,
    number: u16,
    /// The device's own address: what comes to the port is sent there.
    device: Arc<Mutex<SocketAddr>>,
    receiver: AbortHandle,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Nat {
    pub fn to(gateway: SocketAddr) -> Nat {
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, address) = sync_channel(1);
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                bound.send(inside.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = forward(Arc::new(inside), gateway, &shared) => {}
                    _ = stopped => {}
                }
                // Its tasks belong to this runtime.
                lock(&shared).ports.clear();
            });
        });
        Nat {
            address: address.recv().unwrap(),
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Closes all ports.
    pub fn forget_ports(&self) {
        let mut state = lock(&self.state);
        state.ports.clear();
        state.content_types.clear();
    }

    /// Gives each of two devices the port of the other, as happens when ports are forgotten and given away again.
    pub fn swap_ports(&self) {
        let mut state = lock(&self.state);
        let devices: Vec<SocketAddr> = state.ports.keys().copied().collect();
        assert_eq!(devices.len(), 2);
        let ports: Vec<Port> = state.ports.drain().map(|(_, port)| port).collect();
        for (&device, port) in devices.iter().rev().zip(ports) {
            *lock(&port.device) = device;
            state.ports.insert(device, port);
        }
        state.content_types.clear();
    }

    /// The ports that devices have, in ascending order.
    pub fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = lock(&self.state)
            .ports
            .values()
            .map(|port| port.number)
            .collect();
        ports.sort_unstable();
        ports
    }

    /// The content type of the first record of each datagram that devices have sent since the ports were forgotten:
    /// 22 is a handshake's, 23 application data, 25 a record with a connection ID (RFC 9146 §4).
    pub fn content_types(&self) -> Vec<u8> {
        lock(&self.state).content_types.clone()
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ignores poisoning: a test that fails while it holds the lock still shows why.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn forward(inside: Arc<UdpSocket>, gateway: SocketAddr, state: &Mutex<State>) {
    let mut datagram = vec![0; 65_536];
    loop {
        // An error belongs to an earlier datagram, whose device is gone.
        let Ok((length, device)) = inside.recv_from(&mut datagram).await else {
            continue;
        };
        let known = lock(state)
            .ports
            .get(&device)
            .map(|port| Arc::clone(&port.socket));
        let socket = match known {
            Some(socket) => socket,
            None => open(&inside, device, gateway, state).await,
        };
        {
            let mut state = lock(state);
            if state.content_types.len() < MAX_REMEMBERED {
                state.content_types.extend(datagram.first());
            }
        }
        let _ = socket.send(&datagram[..length]).await;
    }
}

/// Opens a port for a device.
async fn open(
    inside: &Arc<UdpSocket>,
    device: SocketAddr,
    gateway: SocketAddr,
    state: &Mutex<State>,
) -> Arc<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(gateway).await.unwrap();
    let number = socket.local_addr().unwrap().port();
    let socket = Arc::new(socket);
    let (outside, inside) = (Arc::clone(&socket), Arc::clone(inside));
    let own = Arc::new(Mutex::new(device));
    let to = Arc::clone(&own);
    let receiver = tokio::spawn(async move {
        let mut datagram = vec![0; 65_536];
        loop {
            match outside.recv(&mut datagram).await {
                Ok(length) => {
                    let device = *lock(&to);
                    let _ = inside.send_to(&datagram[..length], device).await;
                }
                // The gateway was not there when the last datagram came to it.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let port = Port {
        socket: Arc::clone(&socket),
        number,
        device: own,
        receiver: receiver.abort_handle(),
    };
    lock(state).ports.insert(device, port);
    socket
}
