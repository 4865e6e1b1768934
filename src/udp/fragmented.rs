//! The socket for other gateways: what they pass on is longer than the device's datagram by what is around it, so it may be longer
//! than a packet. The kernel divides it, which [`Udp`](super::Udp) forbids.

use super::BATCH;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest UDP datagram.
const LONGEST: usize = 64 * 1024;

/// A bound socket that sends datagrams in fragments where one packet has no room for them.
pub(crate) struct FragmentedUdp {
    socket: AsyncFd<UdpSocket>,
    buffer: Vec<u8>,
}

impl FragmentedUdp {
    /// Binds the socket. `[::]` accepts IPv4 as well; on a host without IPv6 it becomes `0.0.0.0`.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<FragmentedUdp> {
        let socket = super::open_any(address)?;
        // Smaller buffers lose datagrams in a burst, and nothing else.
        let _ = socket.set_recv_buffer_size(super::KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(super::KERNEL_BUFFER);
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, since not every type keeps its descriptor open; a UdpSocket does"
        )]
        let socket = AsyncFd::with_interest(UdpSocket::from(socket), Interest::READABLE)?;
        Ok(FragmentedUdp {
            socket,
            buffer: vec![0; LONGEST],
        })
    }

    /// The address it is bound to.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// Waits until a datagram can be received.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(drop)
    }

    /// Receives at most [`BATCH`] datagrams and passes each to `take`. Returns how many there were.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        let (socket, buffer) = (&self.socket, &mut self.buffer);
        for count in 0..BATCH {
            let received = socket.try_io(Interest::READABLE, |socket| socket.recv_from(buffer));
            match received {
                Ok((length, _)) => take(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(error),
            }
        }
        Ok(BATCH)
    }

    /// Sends one datagram. Returns false if it is lost, as the kernel's buffer is full, for instance.
    pub(crate) fn send(&self, remote: SocketAddr, datagram: &[u8]) -> bool {
        self.socket.get_ref().send_to(datagram, remote).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That the kernel divides what is longer than a packet shows only where the loopback interface has shorter ones than it has by
    /// default: in `unshare -rn` after `ip link set lo up mtu 1500` this fails with a socket that forbids fragments.
    #[tokio::test]
    async fn datagrams_of_all_lengths_arrive_whole() {
        let bind = |address: &str| FragmentedUdp::bind(address.parse().unwrap());
        let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
        let pairs = [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:0", "127.0.0.1:0"),
            ("[::1]:0", "[::1]:0"),
        ];
        for (from, to) in pairs
            .into_iter()
            .filter(|(_, to)| has_ipv6 || !to.contains("::1"))
        {
            let (from, mut to) = (bind(from).unwrap(), bind(to).unwrap());
            for length in [1, 1_600, 9_000] {
                assert!(from.send(to.local_addr().unwrap(), &vec![7; length]));
                to.readable().await.unwrap();
                let mut lengths = Vec::new();
                let count = to.receive(|datagram| lengths.push(datagram.len())).unwrap();
                assert_eq!((count, lengths), (1, vec![length]));
            }
        }
    }
}
