//! Records a handshake with another implementation's client, for `dtls-server/tests/recorded`.
//!
//! ```text
//! cargo run -p dtls-test-client --example record -- FILE REMARK [rsa] [connection-id=none] [mtu=N]
//! ```
//!
//! It writes its certificate to `FILE.der`, prints its address, serves one client, and writes FILE when nothing has come for
//! two seconds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool of tests fails by a panic, and says where it is"
)]

use dtls_test_client::recording::Recorder;
use dtls_test_client::{Credentials, KeyType};
use std::net::UdpSocket;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, remark, options @ ..] = arguments.as_slice() else {
        panic!("record FILE REMARK [rsa] [connection-id=none] [mtu=N]");
    };
    let (mut key, mut connection_id, mut mtu) = (KeyType::P256, Some(8), 1200);
    for option in options {
        match option.split_once('=') {
            None if option == "rsa" => key = KeyType::Rsa2048,
            Some(("connection-id", "none")) => connection_id = None,
            Some(("mtu", bytes)) => mtu = bytes.parse().unwrap(),
            _ => panic!("{option}?"),
        }
    }
    let Credentials { chain, signer } = Credentials::generate(key);
    std::fs::write(format!("{file}.der"), &chain[0]).unwrap();
    let (mut recorder, mut server) = Recorder::start(chain, signer, connection_id, mtu);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    println!("{}", socket.local_addr().unwrap());
    let mut buffer = [0; 65_535];
    let mut has_begun = false;
    loop {
        let wait = if has_begun { 2 } else { 60 };
        socket
            .set_read_timeout(Some(Duration::from_secs(wait)))
            .unwrap();
        let Ok((length, source)) = socket.recv_from(&mut buffer) else {
            break;
        };
        has_begun = true;
        for datagram in recorder.receive(&mut server, &buffer[..length]) {
            socket.send_to(&datagram, source).unwrap();
        }
    }
    let remarks = [remark.clone()];
    std::fs::write(file, recorder.recording(&remarks).to_text()).unwrap();
}
