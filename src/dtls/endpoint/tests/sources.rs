//! Clients that prove their addresses and stall: devices behind the same address, in the same network and elsewhere still
//! connect.

use super::*;
use crate::dtls::dtls13::hello::tests::Written;

const TICK: Duration = Duration::from_millis(50);

/// A tenth of the gateway's default limits, for a tenth of the clients of a real flood.
fn small() -> Parameters {
    Parameters {
        versions: Versions::Only12,
        handshakes: 100,
        handshakes_per_address: 26,
        ..Parameters::default()
    }
}

/// A gateway, and clients that return their cookies and then stall.
struct Flood {
    bench: Bench,
    hello: Vec<u8>,
    /// The source of the n-th client.
    from: fn(u32) -> SocketAddr,
    /// New clients in each tick.
    rate: u32,
    /// How many clients there were so far.
    clients: u32,
    /// Whether each repeats its hello with the cookie a second later.
    repeats: bool,
    to_repeat: VecDeque<(Instant, Path, Vec<u8>)>,
    /// The device whose time is measured. The set of rejected hellos is lossy: until a device repeats its hello, a few in a
    /// thousand entries are overwritten. A client that would overwrite this device's is left out, so that the hash
    /// function's random keys don't decide at which repeat it connects.
    measured: Option<HelloKey>,
}

impl Flood {
    fn new(rate: u32, from: fn(u32) -> SocketAddr) -> Flood {
        let bench = Bench::new(small());
        let hello = forged_hello(&bench, Versions::Only12);
        Flood {
            bench,
            hello,
            from,
            rate,
            clients: 0,
            repeats: false,
            to_repeat: VecDeque::new(),
            measured: None,
        }
    }

    /// One more client sends a hello and returns its cookie.
    fn stalling_client(&mut self) {
        let path = Path {
            remote: (self.from)(self.clients),
            local: None,
            via: None,
        };
        let mut hello = self.hello.clone();
        hello[27..31].copy_from_slice(&self.clients.to_be_bytes());
        self.clients += 1;
        let bench = &mut self.bench;
        let key = (path, random_of(&hello));
        let rejected = &bench.endpoint.admission.pending.rejected;
        if (self.measured).is_some_and(|measured| rejected.collide(&key, &measured)) {
            return;
        }
        bench.endpoint.receive(bench.now, path, &hello);
        let Some(answer) = bench.sent(path).pop() else {
            return;
        };
        let cookie = cookie_of(&answer);
        let returned = Written::read(&hello).returning(&cookie, Versions::Only12);
        let datagram = returned.datagram();
        bench.endpoint.receive(bench.now, path, &datagram);
        if self.repeats {
            self.to_repeat
                .push_back((bench.now + SECOND, path, datagram));
        }
    }

    /// Advances time by [`TICK`], which is also the latency of the devices' datagrams in each direction.
    fn tick(&mut self, devices: &mut [Client]) {
        self.bench.now += TICK;
        let now = self.bench.now;
        for _ in 0..self.rate {
            self.stalling_client();
        }
        while self.to_repeat.front().is_some_and(|(at, ..)| *at <= now) {
            let (_, path, hello) = self.to_repeat.pop_front().unwrap();
            self.bench.endpoint.receive(now, path, &hello);
        }
        let arrived: Vec<_> = std::mem::take(&mut self.bench.on_its_way);
        for device in &mut *devices {
            for datagram in std::mem::take(&mut device.outbox) {
                self.bench.endpoint.receive(now, device.path, &datagram);
            }
            let path = device.path;
            for transmit in arrived.iter().filter(|transmit| transmit.path == path) {
                let outputs = device.dtls.receive(now, &transmit.datagram);
                device.take(outputs.unwrap_or_default());
            }
            if device.dtls.next_timeout().is_some_and(|at| at <= now) {
                let outputs = device.dtls.handle_timeout(now);
                device.take(outputs.unwrap_or_default());
            }
        }
        while self
            .bench
            .endpoint
            .next_timeout()
            .is_some_and(|at| at <= now)
        {
            self.bench.pass(Duration::ZERO);
        }
        let sent = std::iter::from_fn(|| self.bench.endpoint.poll_transmit());
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

    /// A registered device with this address connects, and ends its session.
    fn has_succeeded(&mut self, address: &str) {
        let mut device = self.device(address);
        let session = self.bench.established(&mut device);
        self.bench.endpoint.mark_registered(self.bench.now, session);
        self.bench.endpoint.close(session, "it must connect again");
        self.bench.on_its_way.clear();
    }

    /// How long a device takes to connect once the stalling clients hold all they can.
    fn time_to_connect(&mut self, address: &str) -> Duration {
        self.run(15 * SECOND, &mut []);
        assert!(self.bench.endpoint.handshakes.proven_by_source.count() >= 60);
        let began = self.bench.now;
        let mut device = [self.device(address)];
        self.measured = Some(device[0].hello_key());
        while !device[0].connected {
            self.tick(&mut device);
            let waited = self.bench.now - began;
            assert!(waited < 60 * SECOND, "{address} does not connect");
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
fn a_device_connects_within_seconds_from_an_address_with_stalling_clients() {
    // No source is known: the gateway has just started.
    let mut flood = Flood::new(3, ports_of_one);
    let unknown = flood.time_to_connect("192.0.2.1:5684");
    eprintln!("behind the address of stalling clients: connected after {unknown:?}");
    assert!(unknown <= 4 * SECOND, "{unknown:?}");
    // A port from which it succeeded before, and stalling clients that repeat their hellos.
    let mut flood = Flood::new(3, ports_of_one);
    flood.repeats = true;
    flood.has_succeeded("192.0.2.1:5684");
    let known = flood.time_to_connect("192.0.2.1:5684");
    eprintln!("the same, from a known port: connected after {known:?}");
    assert!(known <= SECOND, "{known:?}");
}

#[test]
fn stalling_clients_with_twelve_thousand_addresses_of_a_network_do_not_lock_out_others() {
    for (address, was_in, most) in [
        // In another network: at once.
        ("[2001:db8:2::1]:5684", false, SECOND / 2),
        ("198.51.100.1:5684", false, SECOND / 2),
        // In the same network: at the second attempt, or from a known address.
        ("[2001:db8:1:ffff::1]:5684", false, 4 * SECOND),
        ("[2001:db8:1:ffff::1]:5684", true, 2 * SECOND),
    ] {
        let mut flood = Flood::new(3, hosts_of_one_network);
        if was_in {
            flood.has_succeeded(address);
        }
        let waited = flood.time_to_connect(address);
        eprintln!("{address}, known: {was_in}: connected after {waited:?}");
        assert!(waited <= most, "{address}: {waited:?}");
    }
}

#[test]
fn a_fleet_reconnects_after_a_restart_while_clients_with_many_addresses_stall() {
    let mut flood = Flood::new(3, hosts_of_one_network);
    flood.run(15 * SECOND, &mut []);
    let mut fleet: Vec<_> = (0..100)
        .map(|n| flood.device(&format!("10.7.{}.1:{}", n % 20, 5000 + n)))
        .collect();
    let began = flood.bench.now;
    while fleet.iter().any(|device| !device.connected) {
        flood.tick(&mut fleet);
        assert!(flood.bench.now - began < 60 * SECOND);
    }
    let waited = flood.bench.now - began;
    eprintln!("a fleet as large as limits.handshakes: connected after {waited:?}");
    assert!(waited <= 3 * SECOND, "{waited:?}");
}

#[test]
fn a_fleet_behind_one_address_is_not_delayed_by_the_limits_of_unregistered_clients() {
    let mut flood = Flood::new(0, ports_of_one);
    let mut fleet: Vec<_> = (0..120)
        .map(|n| flood.device(&format!("192.0.2.1:{}", 5000 + n)))
        .collect();
    let began = flood.bench.now;
    while fleet.iter().any(|device| !device.connected) {
        flood.tick(&mut fleet);
        let events = std::mem::take(&mut flood.bench.events);
        for event in events {
            if let Event::Established { session, .. } = event {
                flood
                    .bench
                    .endpoint
                    .mark_registered(flood.bench.now, session);
            }
        }
        assert!(flood.bench.now - began < 60 * SECOND);
    }
    // 26 a second would have taken five seconds.
    let waited = flood.bench.now - began;
    eprintln!(
        "120 devices behind one address, of which 26 may begin and stall: in after {waited:?}"
    );
    assert!(waited <= 3 * SECOND, "{waited:?}");
}

#[test]
fn handshakes_start_without_a_rate_limit_and_eight_in_a_turn_of_the_loop() {
    let mut flood = Flood::new(0, |number| {
        let [_, a, b, c] = number.to_be_bytes();
        SocketAddr::from(([10, a, b, c], 5684))
    });
    flood.bench = Bench::new(Parameters {
        handshakes: 3_000,
        ..small()
    });
    // More than half of `limits.hellos`.
    for _ in 0..1_500 {
        flood.stalling_client();
    }
    assert_eq!(flood.bench.endpoint.pending_hellos(), 1_500);
    for turn in 1..=188 {
        let due = flood.bench.endpoint.next_timeout();
        assert!(due.is_some_and(|at| at <= flood.bench.now), "{turn}");
        flood.bench.pass(Duration::ZERO);
        assert_eq!(flood.bench.endpoint.half_open(), (8 * turn).min(1_500));
    }
    assert_eq!(flood.bench.endpoint.pending_hellos(), 0);
}

#[test]
fn a_device_with_ever_new_ports_does_not_evict_other_addresses() {
    let mut bench = Bench::new(Parameters::default());
    let now = bench.now;
    let fleet = (0..250_u8).map(|last| SocketAddr::from(([192, 0, 2, last], 5684)));
    for remote in fleet.clone() {
        bench.endpoint.admission.registered(now, remote);
    }
    for port in 1..=u16::MAX {
        let remote = SocketAddr::from(([198, 51, 100, 1], port));
        bench.endpoint.admission.registered(now, remote);
    }
    let known = fleet.filter(|remote| {
        let (remote, local) = (*remote, None);
        bench.endpoint.admission.history(
            now,
            Path {
                remote,
                local,
                via: None,
            },
        ) != History::None
    });
    assert!(known.count() >= 245);
}
