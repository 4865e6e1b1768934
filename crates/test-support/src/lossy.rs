//! A link between one device and the gateway that treats one datagram badly.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Lost,
    Doubled,
    /// It comes after the next one.
    Late,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToGateway,
    ToDevice,
}

/// A device that connects to [`address`](Self::address) reaches the gateway. It works until it is dropped.
pub struct Lossy {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Lossy {
    /// `number`: of the datagram in this direction, from 1 on.
    pub fn to(gateway: SocketAddr, fate: Fate, direction: Direction, number: usize) -> Lossy {
        let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let outside = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        outside.connect(gateway).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let device = Arc::new(Mutex::new(None));
        let address = inside.local_addr().unwrap();
        let mut threads = Vec::new();
        for way in [Direction::ToGateway, Direction::ToDevice] {
            let number = if way == direction { number } else { 0 };
            let (inside, outside) = (inside.clone(), outside.clone());
            let (stop, device) = (stop.clone(), device.clone());
            threads.push(std::thread::spawn(move || match way {
                Direction::ToGateway => forward(
                    &stop,
                    fate,
                    number,
                    &inside,
                    |from| *device.lock().unwrap() = Some(from),
                    |datagram| drop(outside.send(datagram)),
                ),
                Direction::ToDevice => forward(
                    &stop,
                    fate,
                    number,
                    &outside,
                    |_| {},
                    |datagram| {
                        let device = *device.lock().unwrap();
                        drop(device.map(|device| inside.send_to(datagram, device)));
                    },
                ),
            }));
        }
        Lossy {
            address,
            stop,
            threads,
        }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn forward(
    stop: &AtomicBool,
    fate: Fate,
    number: usize,
    from: &UdpSocket,
    learn: impl Fn(SocketAddr),
    send: impl Fn(&[u8]),
) {
    let a_moment = Some(Duration::from_millis(50));
    from.set_read_timeout(a_moment).unwrap();
    let mut buffer = vec![0; 65_536];
    let (mut count, mut late) = (0, None);
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, source)) = from.recv_from(&mut buffer) else {
            // No next one comes.
            late.take()
                .iter()
                .for_each(|datagram: &Vec<u8>| send(datagram));
            continue;
        };
        learn(source);
        let datagram = &buffer[..length];
        count += 1;
        match fate {
            _ if count != number => send(datagram),
            Fate::Lost => {}
            Fate::Doubled => {
                send(datagram);
                send(datagram);
            }
            Fate::Late => {
                late = Some(datagram.to_vec());
                continue;
            }
        }
        late.take().iter().for_each(|datagram| send(datagram));
    }
}
