//! A plain HTTP client of the admin server.

use crate::TIMEOUT;
use crate::process::Process;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub struct Admin {
    pub address: SocketAddr,
}

impl Admin {
    /// The admin server of a gateway that was started with one.
    pub fn of(gateway: &Process) -> Admin {
        let address = gateway.await_address("listening for admin requests");
        Admin { address }
    }

    /// The status and the body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Sends these bytes, and reads the response. A request of HTTP/1.0 gets a body that is not chunked.
    pub fn send(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }
}
