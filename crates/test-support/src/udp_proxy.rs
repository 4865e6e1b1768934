//! A UDP proxy between a device and the gateway. It records what the device sends, drops what a test's filter rejects,
//! and injects datagrams from the address that the gateway knows the device by.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// How many datagrams of the device are recorded, from the first on.
const MAX_RECORDED: usize = 64;

type Filter = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// A device that connects to [`address`](Self::address) reaches the gateway.
pub struct UdpProxy {
    pub address: SocketAddr,
    /// The socket that the gateway sees.
    outside: Arc<UdpSocket>,
    recorded: Arc<Mutex<Vec<Vec<u8>>>>,
    filter: Arc<Mutex<Filter>>,
    forwarder: JoinHandle<()>,
}

impl UdpProxy {
    pub async fn to(gateway: SocketAddr) -> UdpProxy {
        let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = inside.local_addr().unwrap();
        let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        outside.connect(gateway).await.unwrap();
        let outside = Arc::new(outside);
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let filter: Arc<Mutex<Filter>> = Arc::new(Mutex::new(Box::new(|_| true)));
        let forwarder = tokio::spawn(forward(
            inside,
            Arc::clone(&outside),
            Arc::clone(&recorded),
            Arc::clone(&filter),
        ));
        UdpProxy {
            address,
            outside,
            recorded,
            filter,
            forwarder,
        }
    }

    /// Forwards only those datagrams of the gateway for which this returns true.
    pub fn set_filter(&self, filter: impl FnMut(&[u8]) -> bool + Send + 'static) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(filter);
    }

    /// Sends a datagram to the gateway from the device's address.
    pub async fn inject(&self, datagram: &[u8]) {
        self.outside.send(datagram).await.unwrap();
    }

    /// The first datagrams the device has sent: its ClientHello, the one with the cookie, its certificate…
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.clone()
    }
}

impl Drop for UdpProxy {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

async fn forward(
    inside: UdpSocket,
    outside: Arc<UdpSocket>,
    recorded: Arc<Mutex<Vec<Vec<u8>>>>,
    filter: Arc<Mutex<Filter>>,
) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut device = None;
    loop {
        tokio::select! {
            received = inside.recv_from(&mut up) => {
                let Ok((length, from)) = received else { continue };
                device = Some(from);
                {
                    let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
                    if recorded.len() < MAX_RECORDED {
                        recorded.push(up[..length].to_vec());
                    }
                }
                let _ = outside.send(&up[..length]).await;
            }
            received = outside.recv(&mut down) => {
                let Ok(length) = received else { continue };
                let filter = {
                    let mut filter = filter.lock().unwrap_or_else(PoisonError::into_inner);
                    filter(&down[..length])
                };
                if let (Some(device), true) = (device, filter) {
                    let _ = inside.send_to(&down[..length], device).await;
                }
            }
        }
    }
}
