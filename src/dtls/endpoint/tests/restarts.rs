//! Random runs: the process is killed at any time, and another one begins with what was stored, while clients move and somebody
//! sends copies of their records from elsewhere.

use super::moving::{Bench, options};
use super::*;
use crate::credentials::KnownClient;
use crate::device::CertificateId;
use crate::dtls::Association;
use dtls_server::record::records;
use dtls_test_client::{Client, Options};
use std::collections::HashSet;

/// Numbers that a row reserves. Few, so that they are often used up.
const BLOCK: u64 = 8;
/// Bytes of the clients' own connection IDs, which say whose a record is.
const CLIENT_ID: usize = 3;
/// Ports from which nothing but copies comes.
const ELSEWHERE: std::ops::Range<u16> = 100..105;

/// What is stored of a session.
struct Row {
    export: Vec<u8>,
    path: Path,
    deadline: Instant,
    client: KnownClient,
    /// Beside the row.
    window: Option<[u8; 14]>,
    /// Numbers below it may have been used.
    bound: u64,
}

struct Device {
    client: Client,
    session: SessionId,
    port: u16,
    /// Whether it has a connection ID.
    moves: bool,
    row: Row,
    sent: Vec<Vec<u8>>,
    /// What was delivered, by its position in `sent`: since something was stored, and before.
    delivered: HashSet<usize>,
    covered: HashSet<usize>,
}

struct Run {
    bench: Bench,
    random: fastrand::Rng,
    devices: Vec<Device>,
    /// The numbers of records that were sent to each device.
    numbers: HashSet<(usize, u64)>,
    kills: usize,
    accepted_again: usize,
}

fn parameters() -> Parameters {
    Parameters {
        session_idle: 3600 * SECOND,
        ..Parameters::default()
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut bench = Bench::new(parameters());
        bench.endpoint.list_changes();
        let mut random = fastrand::Rng::with_seed(seed);
        let credentials = options().credentials;
        let mut devices = Vec::new();
        for index in 0..4 {
            let moves = index > 0;
            let options = Options {
                credentials: credentials.clone(),
                // The first has none at all.
                connection_id: moves.then(|| vec![index; CLIENT_ID]),
                return_routability_check: random.bool(),
                ..options()
            };
            let port = u16::from(index) + 1;
            let (client, session) = bench.connect(port, options);
            let row = Row::of(&bench, session);
            bench.endpoint.set_send_end(session, row.bound);
            devices.push(Device {
                client,
                session,
                port,
                moves,
                row,
                sent: Vec::new(),
                delivered: HashSet::new(),
                covered: HashSet::new(),
            });
        }
        Run {
            bench,
            random,
            devices,
            numbers: HashSet::new(),
            kills: 0,
            accepted_again: 0,
        }
    }

    /// Takes what the endpoint has sent and delivered.
    fn settle(&mut self) {
        for (to, datagram) in self.bench.sent() {
            let has_id = datagram[0] == 25;
            let index = if has_id { usize::from(datagram[11]) } else { 0 };
            for record in records(&datagram, if has_id { CLIENT_ID } else { 0 }) {
                assert_eq!(record.epoch, 1);
                let is_new = self.numbers.insert((index, record.sequence));
                assert!(is_new, "{index} was sent {} twice", record.sequence);
                let bound = self.devices[index].row.bound;
                assert!(record.sequence < bound, "it is not reserved");
            }
            let device = &mut self.devices[index];
            if to == path(device.port) && self.random.u8(..4) > 0 {
                for answer in device.client.receive(&datagram) {
                    self.bench.receive(to.remote.port(), &answer);
                }
            }
        }
        for event in self.bench.events.split_off(0) {
            match event {
                Event::Plaintext { session, bytes } => {
                    let position = u32::from_be_bytes(bytes.try_into().unwrap());
                    self.delivered(session, usize::try_from(position).unwrap());
                }
                Event::Ended { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }

    fn delivered(&mut self, session: SessionId, position: usize) {
        let mut devices = self.devices.iter_mut();
        let device = devices.find(|device| device.session == session).unwrap();
        assert!(!device.covered.contains(&position), "it was stored");
        assert!(device.delivered.insert(position), "twice in one process");
    }

    /// The device sends something, which may be lost. Whether it was delivered.
    fn send(&mut self, index: usize, is_lost: bool) -> bool {
        let device = &mut self.devices[index];
        let position = device.sent.len();
        let content = u32::try_from(position).unwrap().to_be_bytes();
        let datagram = device.client.send(&content);
        device.sent.push(datagram.clone());
        if !is_lost {
            let port = device.port;
            self.bench.receive(port, &datagram);
            self.settle();
        }
        self.devices[index].delivered.contains(&position)
    }

    /// Stores what was used, or some of it.
    fn store(&mut self, most: usize, is_row: bool) {
        for id in self.bench.endpoint.take_used(most) {
            let mut devices = self.devices.iter_mut();
            let device = devices.find(|device| device.session == id).unwrap();
            let exported = self.bench.endpoint.export(id).unwrap();
            if is_row || exported.path != device.row.path {
                let bound = device.row.bound;
                device.row = Row::of(&self.bench, id);
                // Not before all are used up, so that the end is met often.
                if self.bench.send_number(id) < Some(bound) {
                    device.row.bound = bound;
                }
            } else {
                device.row.window = Some(exported.association.receive_window());
                device.row.deadline = exported.deadline;
            }
            device.covered.extend(device.delivered.drain());
            self.bench.endpoint.set_send_end(id, device.row.bound);
        }
    }

    fn kill(&mut self) {
        self.kills += 1;
        let mut bench = Bench::new(parameters());
        bench.now = self.bench.now;
        bench.endpoint.list_changes();
        self.bench = bench;
        let mut order: Vec<usize> = (0..self.devices.len()).collect();
        self.random.shuffle(&mut order);
        for index in order {
            let device = &mut self.devices[index];
            let row = &mut device.row;
            let mut association = Association::restore(&row.export, row.bound).unwrap();
            if let Some(window) = row.window {
                association.renew_receive_window(&window).unwrap();
            }
            // The block of this process.
            row.bound = association.send_number() + BLOCK;
            association.set_send_end(row.bound);
            let now = self.bench.now;
            let imported = self.bench.endpoint.import(
                now,
                row.path,
                association,
                row.client.clone(),
                row.deadline,
            );
            device.session = imported.unwrap();
            let again = device.delivered.drain().count();
            self.accepted_again += again;
        }
        while self.bench.endpoint.poll_event().is_some() {}
    }

    fn step(&mut self) {
        self.bench.now += Duration::from_millis(self.random.u64(1..2_000));
        let index = self.random.usize(..self.devices.len());
        match self.random.u8(..20) {
            0..6 => {
                let is_lost = self.random.u8(..4) == 0;
                let is_delivered = self.send(index, is_lost);
                assert_eq!(is_delivered, !is_lost);
            }
            6..9 => {
                // A copy, or one that was late.
                let device = &self.devices[index];
                if let Some(datagram) = self.random.choice(&device.sent).cloned() {
                    let port = match device.moves {
                        true => self.random.u16(ELSEWHERE),
                        false => device.port,
                    };
                    self.bench.receive(port, &datagram);
                    self.settle();
                }
            }
            9 | 10 if self.devices[index].moves => {
                self.devices[index].port = self.random.u16(1..8);
            }
            11..15 => {
                let id = self.devices[index].session;
                if self.bench.send_number(id) >= Some(self.devices[index].row.bound) {
                    self.store(usize::MAX, true);
                }
                let content = self.random.u64(..).to_be_bytes();
                self.bench.endpoint.send(self.bench.now, id, &content);
                self.settle();
            }
            15 => self
                .bench
                .endpoint
                .confirm_path(self.devices[index].session),
            16 | 17 => {
                let (most, is_row) = (self.random.usize(..4), self.random.bool());
                self.store(most, is_row);
            }
            18 => {
                self.kill();
                // All go on with their next record, wherever they are.
                for index in 0..self.devices.len() {
                    assert!(self.send(index, false), "{index}");
                }
            }
            _ => {
                self.bench.endpoint.handle_timeout(self.bench.now);
                self.settle();
            }
        }
    }
}

impl Row {
    fn of(bench: &Bench, id: SessionId) -> Row {
        let exported = bench.endpoint.export(id).unwrap();
        Row {
            export: exported.association.export().to_vec(),
            path: exported.path,
            deadline: exported.deadline,
            client: exported.known_client(CertificateId::of(b"certificate")),
            window: None,
            bound: exported.association.send_number() + BLOCK,
        }
    }
}

/// No number is used twice, nothing is accepted twice that was stored as received, and each device goes on with its next record.
#[test]
fn sessions_go_on_whenever_the_process_is_killed() {
    let (mut kills, mut accepted_again, mut sent) = (0, 0, 0);
    for seed in 0..30 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        kills += run.kills;
        accepted_again += run.accepted_again;
        sent += run.numbers.len();
    }
    println!("{kills} kills, {sent} records, {accepted_again} could have been accepted again");
    assert!(kills > 300 && sent > 1_000 && accepted_again > 100);
}
