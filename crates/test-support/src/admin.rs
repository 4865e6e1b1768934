//! Who operates the gateway, with a plain HTTP client.

use crate::PATIENCE;
use crate::process::Process;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Where a gateway tells of itself.
pub struct Admin {
    pub address: SocketAddr,
}

impl Admin {
    /// Of a gateway that was started with an address for it.
    pub fn of(gateway: &Process) -> Admin {
        let address = gateway.await_address("listening for the admin server");
        Admin { address }
    }

    /// The status, and what follows the head.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// What these bytes are answered with. HTTP/1.0 asks for an answer that is not chunked.
    pub fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }
}
