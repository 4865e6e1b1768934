//! The network between a device and the gateway, in the hands of a test: it keeps what the device sends, loses what
//! it is told to lose, and sends forgeries from the very address the gateway knows the device by.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Datagrams of the device that are kept, its handshake first.
const KEPT: usize = 64;

type Passes = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Connect the device to [`address`](Self::address), and it talks to the gateway.
pub struct Wire {
    pub address: SocketAddr,
    /// What the gateway sees.
    outside: Arc<UdpSocket>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    passes: Arc<Mutex<Passes>>,
    carrier: JoinHandle<()>,
}

impl Wire {
    pub async fn to(gateway: SocketAddr) -> Wire {
        let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = inside.local_addr().unwrap();
        let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        outside.connect(gateway).await.unwrap();
        let outside = Arc::new(outside);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let passes: Arc<Mutex<Passes>> = Arc::new(Mutex::new(Box::new(|_| true)));
        let carrier = tokio::spawn(carry(
            inside,
            Arc::clone(&outside),
            Arc::clone(&kept),
            Arc::clone(&passes),
        ));
        Wire {
            address,
            outside,
            kept,
            passes,
            carrier,
        }
    }

    /// From now on only those datagrams of the gateway for which this is true reach the device.
    pub fn let_pass(&self, passes: impl FnMut(&[u8]) -> bool + Send + 'static) {
        *self.passes.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(passes);
    }

    /// Sends a datagram to the gateway as if the device had.
    pub async fn forge(&self, datagram: &[u8]) {
        self.outside.send(datagram).await.unwrap();
    }

    /// The first datagrams the device has sent: its ClientHello, the one with the cookie, its certificate…
    pub fn kept(&self) -> Vec<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

async fn carry(
    inside: UdpSocket,
    outside: Arc<UdpSocket>,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    passes: Arc<Mutex<Passes>>,
) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut device = None;
    loop {
        tokio::select! {
            received = inside.recv_from(&mut up) => {
                let Ok((length, from)) = received else { continue };
                device = Some(from);
                {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() < KEPT {
                        kept.push(up[..length].to_vec());
                    }
                }
                let _ = outside.send(&up[..length]).await;
            }
            received = outside.recv(&mut down) => {
                let Ok(length) = received else { continue };
                let passes = {
                    let mut passes = passes.lock().unwrap_or_else(PoisonError::into_inner);
                    passes(&down[..length])
                };
                if let (Some(device), true) = (device, passes) {
                    let _ = inside.send_to(&down[..length], device).await;
                }
            }
        }
    }
}
