//! A flood of forged ClientHellos from many addresses and ports, each with another random, without a cookie or with a
//! made-up one, of DTLS 1.2 and of 1.3.
//!
//! The addresses are this machine's own (127.x.y.z), and only a server on this machine can be a target. Answers are
//! received and counted, and no handshake is continued.

use serde::Serialize;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// The first source address. The load driver's begin at 127.0.0.1.
const FIRST_SOURCE: u32 = u32::from_be_bytes([127, 9, 0, 1]);
/// Hellos sent from one socket before the next one's turn.
const BURST: u64 = 4;
/// How long a thread that is ahead of its rate sleeps.
const PAUSE: Duration = Duration::from_millis(1);
/// The most hellos that a thread may be behind its rate. It does not make up for more than that.
const MAX_BACKLOG: u64 = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server: an address of this machine's loopback, with its port
    target: SocketAddr,

    /// ClientHellos a second
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,

    /// How long to send: 20s, or 20
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,

    /// How many source addresses, each with a port of its own
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u16).range(1..=4000))]
    sources: u16,

    /// Threads that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,

    /// Write the result to this file rather than to standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    sent: u64,
    /// Hellos that the system did not accept, mostly because its buffers were full.
    unsent: u64,
    /// Answers of the server.
    received: u64,
    received_bytes: u64,
    sent_bytes: u64,
    seconds: f64,
    /// Sent a second, on average. Less than `--rate` if this machine can't do more.
    per_second: f64,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    if !args.target.ip().to_canonical().is_loopback() {
        return Err(format!(
            "{}: only a server on this machine's loopback may be flooded",
            args.target
        ));
    }
    let began = now();
    let until = began + args.duration;
    let parts: Vec<_> = (0..args.threads)
        .map(|part| Flood::new(args, part).map(|flood| thread::spawn(move || flood.run(until))))
        .collect::<io::Result<_>>()
        .map_err(|error| format!("no socket: {error}"))?;
    let mut all = Outcome::default();
    for part in parts {
        let part = part
            .join()
            .map_err(|_| "a thread has panicked".to_owned())?;
        all.sent += part.sent;
        all.unsent += part.unsent;
        all.received += part.received;
        all.received_bytes += part.received_bytes;
        all.sent_bytes += part.sent_bytes;
    }
    all.seconds = (now() - began).as_secs_f64();
    all.per_second = float(all.sent) / all.seconds;
    let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())? + "\n";
    match &args.json {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => io::Write::write_all(&mut io::stdout(), text.as_bytes())
            .map_err(|error| error.to_string()),
    }
}

/// The sockets and hellos of one thread.
struct Flood {
    sockets: Vec<UdpSocket>,
    hellos: [Hello; 4],
    rate: f64,
    random: fastrand::Rng,
    outcome: Outcome,
}

impl Flood {
    fn new(args: &Args, part: u16) -> io::Result<Flood> {
        let mine = (0..args.sources).filter(|n| n % args.threads == part);
        let sockets = mine.map(|n| socket(n, args.target));
        Ok(Flood {
            sockets: sockets.collect::<io::Result<_>>()?,
            hellos: [
                Hello::new(false, false),
                Hello::new(true, false),
                Hello::new(false, true),
                Hello::new(true, true),
            ],
            rate: f64::from(args.rate) / f64::from(args.threads),
            random: fastrand::Rng::new(),
            outcome: Outcome::default(),
        })
    }

    fn run(mut self, until: Instant) -> Outcome {
        let mut updated_at = now();
        let mut backlog = 0.0;
        let sockets = std::mem::take(&mut self.sockets);
        let mut turns = sockets.iter().cycle();
        loop {
            let at = now();
            if at >= until {
                break;
            }
            backlog =
                (backlog + (at - updated_at).as_secs_f64() * self.rate).min(float(MAX_BACKLOG));
            updated_at = at;
            if backlog < float(BURST) {
                thread::sleep(PAUSE);
                continue;
            }
            while backlog >= float(BURST) {
                backlog -= float(BURST);
                if let Some(socket) = turns.next() {
                    self.burst(socket);
                }
            }
        }
        for socket in &sockets {
            self.drain(socket);
        }
        self.outcome
    }

    fn burst(&mut self, socket: &UdpSocket) {
        self.drain(socket);
        for hello in &mut self.hellos {
            hello.randomize(&mut self.random);
            match socket.send(&hello.datagram) {
                Ok(length) => {
                    self.outcome.sent += 1;
                    self.outcome.sent_bytes += u64::try_from(length).unwrap_or_default();
                }
                // Also the ICMP error of an earlier one (port unreachable). The server may come back.
                Err(_) => self.outcome.unsent += 1,
            }
        }
    }

    fn drain(&mut self, socket: &UdpSocket) {
        let mut answer = [0; 2048];
        while let Ok(length) = socket.recv(&mut answer) {
            self.outcome.received += 1;
            self.outcome.received_bytes += u64::try_from(length).unwrap_or_default();
        }
    }
}

fn socket(number: u16, target: SocketAddr) -> io::Result<UdpSocket> {
    let source = match target.ip().to_canonical() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(FIRST_SOURCE + u32::from(number))),
        // IPv6 has one loopback address only: the ports must do.
        IpAddr::V6(only) => IpAddr::V6(only),
    };
    let socket = UdpSocket::bind((source, 0))?;
    socket.connect((target.ip().to_canonical(), target.port()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A ClientHello, and the places of what changes from one to the next.
struct Hello {
    datagram: Vec<u8>,
    random: usize,
    cookie: Option<usize>,
}

/// Cookies of this gateway, and of most servers, have this length.
const COOKIE: usize = 32;
/// Record header (RFC 6347 §4.1), handshake header (§4.2.2), version.
const BEFORE_RANDOM: usize = 13 + 12 + 2;

impl Hello {
    /// Builds one of DTLS 1.2 (RFC 6347 §4.2.1) or 1.3 (RFC 9147 §5.3).
    fn new(with_cookie: bool, dtls13: bool) -> Hello {
        let cookie: &[u8] = if with_cookie { &[0; COOKIE] } else { &[] };
        let mut body = vec![254, 253];
        body.extend([0; 32]);
        body.push(0);
        let mut at = None;
        // DTLS 1.3 has its cookie in an extension.
        let old_cookie = if dtls13 { &[] } else { cookie };
        body.extend(prefixed::<1>(old_cookie));
        if with_cookie {
            at = Some(body.len() - COOKIE);
        }
        let suites: &[u8] = if dtls13 {
            &[0x13, 0x01, 0xc0, 0x2b]
        } else {
            &[0xc0, 0x2b, 0xc0, 0x2c, 0xc0, 0xae, 0x00, 0xff]
        };
        body.extend(prefixed::<2>(suites));
        body.extend([1, 0]);
        let mut extensions = vec![0, 23, 0, 0];
        extensions.extend(extension(10, &[0, 4, 0, 29, 0, 23]));
        extensions.extend(extension(11, &[1, 0]));
        extensions.extend(extension(13, &[0, 4, 4, 3, 5, 3]));
        if dtls13 {
            extensions.extend(extension(43, &[4, 254, 252, 254, 253]));
            let mut share = vec![0, 36, 0, 29, 0, 32];
            share.extend([9; 32]);
            extensions.extend(extension(51, &share));
            if with_cookie {
                extensions.extend(extension(44, &prefixed::<2>(cookie)));
                at = Some(body.len() + 2 + extensions.len() - COOKIE);
            }
        }
        body.extend(prefixed::<2>(&extensions));

        let length = prefixed::<3>(&body);
        let length = length.get(..3).unwrap_or_default();
        let sequence = u8::from(with_cookie);
        let mut message = vec![1];
        message.extend(length);
        message.extend([0, sequence, 0, 0, 0]);
        message.extend(length);
        message.extend(body);
        let mut datagram = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, sequence];
        datagram.extend(prefixed::<2>(&message));
        Hello {
            datagram,
            random: BEFORE_RANDOM,
            cookie: at.map(|at| at + BEFORE_RANDOM - 2),
        }
    }

    /// Fills in another random and another cookie.
    fn randomize(&mut self, random: &mut fastrand::Rng) {
        for at in [Some(self.random), self.cookie].into_iter().flatten() {
            if let Some(bytes) = self.datagram.get_mut(at..at + 32) {
                random.fill(bytes);
            }
        }
    }
}

fn extension(number: u8, value: &[u8]) -> Vec<u8> {
    [vec![0, number], prefixed::<2>(value)].concat()
}

/// A vector of TLS (RFC 5246 §4.3): its length, encoded in `BYTES` bytes, then its content.
fn prefixed<const BYTES: usize>(value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let mut all = length
        .get(length.len() - BYTES..)
        .unwrap_or_default()
        .to_vec();
    all.extend(value);
    all
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    seconds.or_else(|_| humantime::parse_duration(text).map_err(|error| error.to_string()))
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it sends in real time, and has no other clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The random and the message_seq of a datagram that must be one record with one whole ClientHello (RFC 6347 §4.1,
    /// §4.2.2).
    fn single_client_hello(datagram: &[u8]) -> ([u8; 32], u16) {
        let u16_at = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        let u24_at = |at: usize| (usize::from(datagram[at]) << 16) + usize::from(u16_at(at + 1));
        assert_eq!(datagram[0], 22, "a handshake record");
        assert_eq!(u16_at(3), 0, "epoch 0");
        assert_eq!(usize::from(u16_at(11)), datagram.len() - 13, "one record");
        assert_eq!(datagram[13], 1, "a ClientHello");
        assert_eq!(u24_at(14), datagram.len() - 25, "its length");
        assert_eq!((u24_at(19), u24_at(22)), (0, u24_at(14)), "one fragment");
        let random = datagram[BEFORE_RANDOM..][..32].try_into().unwrap();
        (random, u16_at(17))
    }

    #[test]
    fn a_forged_hello_is_one_whole_client_hello_and_has_a_cookie_if_it_is_to() {
        for (with_cookie, dtls13) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut forged = Hello::new(with_cookie, dtls13);
            let before = forged.datagram.clone();
            forged.randomize(&mut fastrand::Rng::with_seed(1));
            let (random, message_sequence) = single_client_hello(&forged.datagram);
            assert_ne!(random, [0; 32]);
            assert_eq!(message_sequence, u16::from(with_cookie));
            let changed = before.iter().zip(&forged.datagram).filter(|(a, b)| a != b);
            let bytes = if with_cookie { 64 } else { 32 };
            // A random byte may equal the old one.
            assert!((bytes - 4..=bytes).contains(&changed.count()));
        }
    }

    #[test]
    fn only_this_machine_can_be_flooded() {
        for elsewhere in ["192.0.2.1:5684", "[2001:db8::1]:5684", "0.0.0.0:5684"] {
            let args = Args {
                target: elsewhere.parse().unwrap(),
                rate: 1,
                duration: Duration::ZERO,
                sources: 1,
                threads: 1,
                json: None,
            };
            assert!(run(&args).unwrap_err().contains("loopback"));
        }
    }
}
