//! A flood of forged ClientHellos, as a server sees one: from many addresses and ports, each with another random, with no
//! cookie or with one that nobody gave; of DTLS 1.2 and of 1.3.
//!
//! The addresses are this machine's own (127.x.y.z, bound like any other), and only a server on this machine can be a
//! target: whoever could be harmed is whoever started it. Answers are taken and counted, and never gone on with.

use serde::Serialize;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// The first source address. Others than the load driver's, which begin at 127.0.0.1.
const FIRST_SOURCE: u32 = u32::from_be_bytes([127, 9, 0, 1]);
/// Hellos sent from one socket before it is another's turn; then its answers are taken.
const BURST: u64 = 4;
/// How long a thread that is ahead of its rate sleeps.
const NAP: Duration = Duration::from_millis(1);
/// What a thread may owe: after a longer pause it does not make up for all of it at once.
const MOST_OWED: u64 = 200;

/// Where to, how fast, how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server: an address of this machine's loopback, with its port
    target: SocketAddr,

    /// Hellos a second
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,

    /// How long: 20s, or 20
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

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    sent: u64,
    /// What the system did not take: its buffers were full.
    unsent: u64,
    /// Answers.
    received: u64,
    received_bytes: u64,
    sent_bytes: u64,
    seconds: f64,
    /// Sent a second, on average: less than the rate that was asked for, if this machine can't do more.
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
        let part = part.join().map_err(|_| "a thread has died".to_owned())?;
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

/// One thread's share.
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
        let mut paid_at = now();
        let mut owed = 0.0;
        let sockets = std::mem::take(&mut self.sockets);
        let mut turns = sockets.iter().cycle();
        loop {
            let at = now();
            if at >= until {
                break;
            }
            owed = (owed + (at - paid_at).as_secs_f64() * self.rate).min(float(MOST_OWED));
            paid_at = at;
            if owed < float(BURST) {
                thread::sleep(NAP);
                continue;
            }
            while owed >= float(BURST) {
                owed -= float(BURST);
                if let Some(socket) = turns.next() {
                    self.burst(socket);
                }
            }
        }
        for socket in &sockets {
            self.hear(socket);
        }
        self.outcome
    }

    fn burst(&mut self, socket: &UdpSocket) {
        self.hear(socket);
        for hello in &mut self.hellos {
            hello.renew(&mut self.random);
            match socket.send(&hello.datagram) {
                Ok(length) => {
                    self.outcome.sent += 1;
                    self.outcome.sent_bytes += u64::try_from(length).unwrap_or_default();
                }
                // Also what an earlier one has met: nobody listens there. The server may come back.
                Err(_) => self.outcome.unsent += 1,
            }
        }
    }

    fn hear(&mut self, socket: &UdpSocket) {
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

/// A ClientHello and where in it is what changes from one to the next.
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
    /// As a device sends it: RFC 6347 §4.2.1, or RFC 9147 §5.3.
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

    /// Another client's.
    fn renew(&mut self, random: &mut fastrand::Rng) {
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

/// A vector as TLS writes it: its length in so many bytes, then itself.
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
    use coaps_gateway::dtls::record::{DatagramKind, classify, is_single_message};

    #[test]
    fn a_forged_hello_is_one_whole_client_hello_and_has_a_cookie_if_it_says_so() {
        for (with_cookie, dtls13) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut forged = Hello::new(with_cookie, dtls13);
            let before = forged.datagram.clone();
            forged.renew(&mut fastrand::Rng::with_seed(1));
            assert!(is_single_message(&forged.datagram));
            let DatagramKind::ClientHello(hello) = classify(&forged.datagram) else {
                panic!("not a hello")
            };
            assert_ne!(hello.random, [0; 32]);
            assert_eq!(hello.message_sequence, u16::from(with_cookie));
            let changed = before.iter().zip(&forged.datagram).filter(|(a, b)| a != b);
            let bytes = if with_cookie { 64 } else { 32 };
            // A random byte may come out as it was.
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
