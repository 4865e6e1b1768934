//! The UDP socket: dual-stack, and each datagram is answered from the address it was sent to.

mod fragmented;

pub(crate) use fragmented::FragmentedUdp;

use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Datagrams received in one system call.
pub(crate) const BATCH: usize = 32;
/// The kernel may join datagrams of one sender (GRO) up to this size.
const LARGEST_DATAGRAM: usize = 64 * 1024;
/// Requested socket buffer in each direction, in bytes: a burst of 10,000 small datagrams. The kernel may grant less.
const KERNEL_BUFFER: usize = 8 * 1024 * 1024;

/// A bound socket and its receive buffers.
pub(crate) struct Udp {
    /// Not a `tokio::net::UdpSocket`: that waits for room to send as well, and the kernel reports room after each datagram
    /// that has left. So each one sent would wake a thread.
    socket: AsyncFd<Socket>,
    state: UdpSocketState,
    buffers: Vec<Vec<u8>>,
    meta: Vec<RecvMeta>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub remote: SocketAddr,
    /// The address of ours that it was sent to.
    pub local: Option<IpAddr>,
    pub datagram: &'a [u8],
}

impl Udp {
    /// Binds the socket. `[::]` accepts IPv4 as well; on a host without IPv6 it becomes `0.0.0.0`.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Udp> {
        let socket = open_any(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Smaller buffers lose datagrams in a burst, and nothing else.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), KERNEL_BUFFER);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), KERNEL_BUFFER);
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, since not every type keeps its descriptor open; a Socket does"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Udp {
            socket,
            state,
            buffers: vec![vec![0; LARGEST_DATAGRAM]; BATCH],
            meta: vec![RecvMeta::default(); BATCH],
        })
    }

    /// The address it is bound to.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.socket.get_ref().local_addr()?;
        address.as_socket().ok_or(io::ErrorKind::Unsupported.into())
    }

    /// Waits until a datagram can be received.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(drop)
    }

    /// Receives at most one batch and passes each datagram to `take`. Returns the number of datagrams, 0 if there was none.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Received<'_>)) -> io::Result<usize> {
        let mut slices: Vec<IoSliceMut<'_>> = self
            .buffers
            .iter_mut()
            .map(|buffer| IoSliceMut::new(buffer))
            .collect();
        let (socket, state, meta) = (&self.socket, &self.state, &mut self.meta);
        let received = socket.try_io(Interest::READABLE, |socket| {
            state.recv(UdpSockRef::from(socket), &mut slices, meta)
        });
        let received = match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            other => other?,
        };
        let mut count = 0;
        for (meta, buffer) in self.meta.iter().zip(&self.buffers).take(received) {
            // The kernel may have joined datagrams of one sender, each `stride` long.
            let joined = buffer.get(..meta.len).unwrap_or_default();
            for datagram in joined.chunks(meta.stride.max(1)) {
                count += 1;
                take(Received {
                    remote: meta.addr,
                    local: meta.dst_ip,
                    datagram,
                });
            }
        }
        Ok(count)
    }

    /// Sends one datagram from `local`. Returns false if the kernel's buffer is full: the datagram is lost then, and
    /// retransmission recovers it like any other lost datagram.
    pub(crate) fn send(&self, remote: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) -> bool {
        let transmit = quinn_udp::Transmit {
            destination: remote,
            ecn: None,
            contents: datagram,
            segment_size: None,
            src_ip: local,
        };
        let socket = UdpSockRef::from(self.socket.get_ref());
        self.state.try_send(socket, &transmit).is_ok()
    }
}

fn open_any(address: SocketAddr) -> io::Result<Socket> {
    match open(address) {
        Err(error) if address.ip().is_unspecified() && no_ipv6(&error) => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        other => other,
    }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the error means that this host has no IPv6, or no IPv6 address to bind to.
fn no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no ErrorKind of its own; EADDRNOTAVAIL has.
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}
