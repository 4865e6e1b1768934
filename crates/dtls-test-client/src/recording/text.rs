//! The text of a recording.

use super::{Datagram, Recording, Signature};
use dtls_server::crypto::signature::SignatureScheme;
use std::fmt::Write as _;

impl Recording {
    /// The text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for remark in &self.remarks {
            writeln!(text, "# {remark}").unwrap();
        }
        match self.connection_id_length {
            Some(length) => writeln!(text, "connection-id {length}").unwrap(),
            None => writeln!(text, "connection-id none").unwrap(),
        }
        writeln!(text, "mtu {}", self.mtu).unwrap();
        for certificate in &self.chain {
            writeln!(text, "certificate {}", hex(certificate)).unwrap();
        }
        for signature in &self.signatures {
            let scheme = signature.scheme.number();
            let (message, signature) = (hex(&signature.message), hex(&signature.signature));
            writeln!(text, "signature {scheme:04x} {message} {signature}").unwrap();
        }
        writeln!(text, "random {}", hex(&self.random)).unwrap();
        for datagram in &self.datagrams {
            match datagram {
                Datagram::Received(bytes) => writeln!(text, "> {}", hex(bytes)).unwrap(),
                Datagram::Sent(bytes) => writeln!(text, "< {}", hex(bytes)).unwrap(),
            }
        }
        text
    }

    /// Reads the text.
    ///
    /// # Panics
    /// It has other lines.
    #[must_use]
    pub fn from_text(text: &str) -> Recording {
        let mut recording = Recording::default();
        for line in text.lines() {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "#" => recording.remarks.push(rest.to_owned()),
                "connection-id" => recording.connection_id_length = rest.parse().ok(),
                "mtu" => recording.mtu = rest.parse().unwrap(),
                "certificate" => recording.chain.push(bytes(rest)),
                "signature" => recording.signatures.push(signature(rest)),
                "random" => recording.random = bytes(rest),
                ">" => recording.datagrams.push(Datagram::Received(bytes(rest))),
                "<" => recording.datagrams.push(Datagram::Sent(bytes(rest))),
                _ => panic!("no line of a recording: {line}"),
            }
        }
        recording
    }
}

fn signature(text: &str) -> Signature {
    let mut fields = text.split(' ');
    let mut next = || fields.next().expect("three fields");
    let number = u16::from_str_radix(next(), 16).unwrap();
    Signature {
        scheme: SignatureScheme::from_number(number).unwrap(),
        message: bytes(next()),
        signature: bytes(next()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
