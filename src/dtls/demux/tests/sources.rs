//! Strangers who prove their addresses and stall: what they leave to others behind the same address, in the same network
//! and elsewhere.

use super::*;
use crate::dtls::hello::tests::Written;

const TICK: Duration = Duration::from_millis(50);

/// A tenth of the gateway's usual room, for a tenth of the strangers that were seen.
fn small() -> Parameters {
    Parameters {
        versions: Versions::Only12,
        handshakes: 100,
        handshakes_per_address: 26,
        ..Parameters::default()
    }
}

/// A gateway, and strangers who return their cookies and go no further.
struct Siege {
    bench: Bench,
    hello: Vec<u8>,
    /// Where the next stranger is.
    from: fn(u32) -> SocketAddr,
    /// Strangers in each tick.
    rate: u32,
    /// How many have come.
    strangers: u32,
    /// Whether each sends its hello with the cookie once more, a second later.
    repeats: bool,
    to_repeat: VecDeque<(Instant, Path, Vec<u8>)>,
}

impl Siege {
    fn new(rate: u32, from: fn(u32) -> SocketAddr) -> Siege {
        let bench = Bench::new(small());
        let hello = forged_hello(&bench, Versions::Only12);
        Siege {
            bench,
            hello,
            from,
            rate,
            strangers: 0,
            repeats: false,
            to_repeat: VecDeque::new(),
        }
    }

    /// One more stranger begins, and returns its cookie.
    fn stranger(&mut self) {
        let path = Path {
            remote: (self.from)(self.strangers),
            local: None,
        };
        let mut hello = self.hello.clone();
        hello[27..31].copy_from_slice(&self.strangers.to_be_bytes());
        self.strangers += 1;
        let bench = &mut self.bench;
        bench.demux.receive(bench.now, path, &hello);
        let Some(answer) = bench.sent(path).pop() else {
            return;
        };
        let cookie = *answer.last_chunk::<32>().unwrap();
        let returned = Written::read(&hello).returning(cookie, Versions::Only12);
        let datagram = returned.datagram();
        bench.demux.receive(bench.now, path, &datagram);
        if self.repeats {
            self.to_repeat
                .push_back((bench.now + SECOND, path, datagram));
        }
    }

    /// A moment passes. Devices' datagrams take as long each way.
    fn tick(&mut self, devices: &mut [Client]) {
        self.bench.now += TICK;
        let now = self.bench.now;
        for _ in 0..self.rate {
            self.stranger();
        }
        while self.to_repeat.front().is_some_and(|(at, ..)| *at <= now) {
            let (_, path, hello) = self.to_repeat.pop_front().unwrap();
            self.bench.demux.receive(now, path, &hello);
        }
        let arrived: Vec<_> = std::mem::take(&mut self.bench.on_its_way);
        for device in &mut *devices {
            for datagram in std::mem::take(&mut device.outbox) {
                self.bench.demux.receive(now, device.path, &datagram);
            }
            let path = device.path;
            for transmit in arrived.iter().filter(|transmit| transmit.path == path) {
                let outputs = device.engine.receive(now, &transmit.datagram);
                device.take(outputs.unwrap_or_default());
            }
            if device.engine.next_timeout().is_some_and(|at| at <= now) {
                let outputs = device.engine.handle_timeout(now);
                device.take(outputs.unwrap_or_default());
            }
        }
        while self.bench.demux.next_timeout().is_some_and(|at| at <= now) {
            self.bench.pass(Duration::ZERO);
        }
        let sent = std::iter::from_fn(|| self.bench.demux.poll_transmit());
        let to_devices = sent.filter(|t| devices.iter().any(|device| device.path == t.path));
        self.bench.on_its_way.extend(to_devices);
    }

    fn run(&mut self, duration: Duration, devices: &mut [Client]) {
        let end = self.bench.now + duration;
        while self.bench.now < end {
            self.tick(devices);
        }
    }

    fn device(&self, address: &str) -> Client {
        let mut device = self.bench.client(1);
        device.path.remote = address.parse().unwrap();
        device
    }

    /// A device of this address is registered, and was in before.
    fn was_in(&mut self, address: &str) {
        let mut device = self.device(address);
        let session = self.bench.established(&mut device);
        self.bench.demux.mark_registered(self.bench.now, session);
        self.bench.demux.close(session, "it is to begin anew");
        self.bench.on_its_way.clear();
    }

    /// Once the strangers have taken all they can: how long a device takes to get in.
    fn time_for(&mut self, address: &str) -> Duration {
        self.run(15 * SECOND, &mut []);
        assert!(self.bench.demux.proven_by_source.count() >= 60);
        let began = self.bench.now;
        let mut device = [self.device(address)];
        while !device[0].connected {
            self.tick(&mut device);
            let waited = self.bench.now - began;
            assert!(waited < 60 * SECOND, "{address} does not get in");
        }
        self.bench.now - began
    }
}

fn ports_of_one(number: u32) -> SocketAddr {
    let port = u16::try_from(10_000 + number % 50_000).unwrap();
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// 12,000 addresses of a /48.
fn hosts_of_one_network(number: u32) -> SocketAddr {
    let host = u16::try_from(number % 12_000).unwrap();
    SocketAddr::from(([0x2001, 0xdb8, 1, host, 0, 0, 0, 1], 5684))
}

#[test]
fn a_device_gets_in_within_seconds_from_the_address_of_strangers_that_stall() {
    // What is known of nobody: the gateway was started anew.
    let mut siege = Siege::new(3, ports_of_one);
    let unknown = siege.time_for("192.0.2.1:5684");
    eprintln!("behind the address of strangers: in after {unknown:?}");
    assert!(unknown <= 4 * SECOND, "{unknown:?}");
    // A port from which it succeeded before, and strangers who repeat what they say.
    let mut siege = Siege::new(3, ports_of_one);
    siege.repeats = true;
    siege.was_in("192.0.2.1:5684");
    let known = siege.time_for("192.0.2.1:5684");
    eprintln!("the same, from the port it succeeded from before: in after {known:?}");
    assert!(known <= SECOND, "{known:?}");
}

#[test]
fn strangers_with_twelve_thousand_addresses_of_a_network_leave_others_their_turns() {
    for (address, was_in, most) in [
        // Elsewhere: at once, whoever it is.
        ("[2001:db8:2::1]:5684", false, SECOND / 2),
        ("198.51.100.1:5684", false, SECOND / 2),
        // In their very network: at the second try, or as one that is known.
        ("[2001:db8:1:ffff::1]:5684", false, 4 * SECOND),
        ("[2001:db8:1:ffff::1]:5684", true, 2 * SECOND),
    ] {
        let mut siege = Siege::new(3, hosts_of_one_network);
        if was_in {
            siege.was_in(address);
        }
        let waited = siege.time_for(address);
        eprintln!("{address}, known: {was_in}: in after {waited:?}");
        assert!(waited <= most, "{address}: {waited:?}");
    }
}

#[test]
fn a_fleet_comes_back_after_a_restart_while_strangers_with_many_addresses_stall() {
    let mut siege = Siege::new(3, hosts_of_one_network);
    siege.run(15 * SECOND, &mut []);
    let mut fleet: Vec<_> = (0..100)
        .map(|n| siege.device(&format!("10.7.{}.1:{}", n % 20, 5000 + n)))
        .collect();
    let began = siege.bench.now;
    while fleet.iter().any(|device| !device.connected) {
        siege.tick(&mut fleet);
        assert!(siege.bench.now - began < 60 * SECOND);
    }
    let waited = siege.bench.now - began;
    eprintln!("a fleet as large as the room for handshakes: in after {waited:?}");
    assert!(waited <= 3 * SECOND, "{waited:?}");
}

#[test]
fn a_fleet_behind_one_address_is_held_up_by_no_limit_that_is_meant_for_strangers() {
    let mut siege = Siege::new(0, ports_of_one);
    let mut fleet: Vec<_> = (0..120)
        .map(|n| siege.device(&format!("192.0.2.1:{}", 5000 + n)))
        .collect();
    let began = siege.bench.now;
    while fleet.iter().any(|device| !device.connected) {
        siege.tick(&mut fleet);
        let events = std::mem::take(&mut siege.bench.events);
        for event in events {
            if let Event::Established { session, .. } = event {
                siege.bench.demux.mark_registered(siege.bench.now, session);
            }
        }
        assert!(siege.bench.now - began < 60 * SECOND);
    }
    // 26 a second would have taken five seconds.
    let waited = siege.bench.now - began;
    eprintln!(
        "120 devices behind one address, of which 26 may begin and stall: in after {waited:?}"
    );
    assert!(waited <= 3 * SECOND, "{waited:?}");
}

#[test]
fn handshakes_begin_as_fast_as_they_can_be_made_and_eight_in_a_turn_of_the_loop() {
    let mut siege = Siege::new(0, |number| {
        let [_, a, b, c] = number.to_be_bytes();
        SocketAddr::from(([10, a, b, c], 5684))
    });
    siege.bench = Bench::new(Parameters {
        handshakes: 3_000,
        ..small()
    });
    // More than one for each two hellos a second.
    for _ in 0..1_500 {
        siege.stranger();
    }
    assert_eq!(siege.bench.demux.pending_hellos(), 1_500);
    for turn in 1..=188 {
        let due = siege.bench.demux.next_timeout();
        assert!(due.is_some_and(|at| at <= siege.bench.now), "{turn}");
        siege.bench.pass(Duration::ZERO);
        assert_eq!(siege.bench.demux.half_open(), (8 * turn).min(1_500));
    }
    assert_eq!(siege.bench.demux.pending_hellos(), 0);
}

#[test]
fn a_device_that_comes_from_ever_new_ports_leaves_other_addresses_known() {
    let mut bench = Bench::new(Parameters::default());
    let now = bench.now;
    let fleet = (0..250_u8).map(|last| SocketAddr::from(([192, 0, 2, last], 5684)));
    for remote in fleet.clone() {
        bench.demux.remember_source(now, remote);
    }
    for port in 1..=u16::MAX {
        let remote = SocketAddr::from(([198, 51, 100, 1], port));
        bench.demux.remember_source(now, remote);
    }
    let known = fleet.filter(|remote| {
        let (remote, local) = (*remote, None);
        bench.demux.history(now, Path { remote, local }) != History::None
    });
    assert!(known.count() >= 245);
}
