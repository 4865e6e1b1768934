//! A TCP port where connections are refused.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that is bound, so that no other program gets it, and where nothing listens.
pub struct ClosedPort {
    socket: TcpSocket,
}

impl ClosedPort {
    pub fn bind() -> ClosedPort {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        ClosedPort { socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn it_refuses_connections_and_no_other_program_gets_it() {
        let port = ClosedPort::bind();
        let refused = TcpStream::connect(port.address()).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
        let taken = TcpListener::bind(port.address()).map_err(|error| error.kind());
        assert_eq!(taken.err(), Some(ErrorKind::AddrInUse));
    }
}
