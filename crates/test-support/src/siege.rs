//! A gateway under attack, while a registered device keeps working.

use crate::attacker::ClientHello;
use crate::coap::post;
use crate::device::{Device, code};
use crate::process::now;
use crate::udp_proxy::UdpProxy;
use crate::world::{Options, World};
use std::time::Duration;

/// The growth of the gateway's resident memory that fails a test, in KiB.
const MAX_GROWTH: u64 = 30 * 1024;
/// The growth that may remain after an attack, in KiB: receive buffers that large datagrams have touched for the first
/// time, and pages that the allocator keeps.
const MAX_REMAINING: u64 = 4 * 1024;
/// How long the memory may take to return. Sessions of unregistered certificates last a minute, and on a busy machine the last
/// of them begin when the attack ends.
const RETURN: Duration = Duration::from_secs(120);

/// The gateway, and meter-17 with a session through a [`UdpProxy`].
pub struct Siege {
    pub world: World,
    pub proxy: UdpProxy,
    pub device: Device,
    /// A ClientHello for attackers.
    pub hello: ClientHello,
    /// How many datagrams attackers have sent.
    pub sent: u64,
    before: u64,
    peak: u64,
    /// The peak during the first wave, if there are several.
    first_peak: Option<u64>,
    pings: usize,
    lost_pings: usize,
}

/// The gateway's counters, from the log line at its end.
pub struct FinalCounters(String);

impl FinalCounters {
    pub fn get(&self, name: &str) -> u64 {
        let number = self
            .0
            .split_once(&format!(" {name}: "))
            .and_then(|(_, it)| {
                it.split(|c: char| !c.is_ascii_digit())
                    .next()
                    .and_then(|digits| digits.parse().ok())
            });
        number.unwrap_or_else(|| panic!("no counter {name} in {}", self.0))
    }
}

impl Siege {
    /// Starts the gateway and the device.
    pub async fn start(options: Options<'_>) -> Siege {
        let world = World::with(&Options {
            log_level: Some("info"),
            ..options
        });
        let proxy = UdpProxy::to(world.address).await;
        let device = Device::connect(proxy.address, &world.meter, &world.authority.pem).await;
        let hello = ClientHello::parse(&proxy.recorded()[0]);
        // The device must not receive the answers to forged records: its library would process them.
        proxy.set_filter(|datagram| datagram.get(3..5) != Some(&[0, 0]));
        let mut siege = Siege {
            before: 0,
            peak: 0,
            first_peak: None,
            pings: 0,
            lost_pings: 0,
            sent: 0,
            world,
            proxy,
            device,
            hello,
        };
        siege.post().await;
        siege.before = siege.world.resident();
        siege
    }

    /// Waits by a round trip on the session until the gateway has processed all earlier datagrams, and samples the
    /// memory.
    pub async fn sample(&mut self) {
        self.lost_pings += self.device.ping().await;
        self.pings += 1;
        self.peak = self.peak.max(self.world.resident());
    }

    /// Posts telemetry, and checks that it arrives at ThingsBoard.
    pub async fn post(&mut self) {
        let body = format!("{{sent:{}}}", self.sent);
        let response = self
            .device
            .request(post(&["api", "v1", "telemetry"], &body))
            .await;
        assert_eq!(code(&response), "2.01");
        self.world
            .assert_last_post("/api/v1/{token}/telemetry", "meter-17", &body);
    }

    /// Ends the first wave: the next ones must fit into the memory that it has freed. The resident memory alone does
    /// not show leaks, because glibc keeps freed pages while something above them is in use.
    pub fn end_wave(&mut self) {
        self.first_peak.get_or_insert(self.peak);
    }

    /// Asserts that after the attack the resident memory returns to what [`finish`](Self::finish) expects, within this
    /// time. Sessions of unregistered certificates last a minute, and their memory lies between freed memory.
    pub fn assert_memory_returns(&mut self, name: &str, within: Duration) {
        let (before, most) = (self.before, self.before + MAX_REMAINING);
        self.peak = self.peak.max(self.world.resident());
        let start = now();
        let mut last = self.world.resident();
        while last > most && start.elapsed() < within {
            std::thread::sleep(Duration::from_millis(200));
            last = self.world.resident();
        }
        eprintln!(
            "{name}: resident {before} KiB before, {} KiB at most, {last} KiB after {:?}",
            self.peak,
            start.elapsed()
        );
        assert!(last <= most, "{name}: {last} KiB, at most {most} KiB again");
    }

    /// Asserts that another device can connect and post.
    pub async fn assert_new_session(&self) {
        let pump = self.world.connect(&self.world.pump).await;
        let response = pump
            .request(post(&["api", "v1", "telemetry"], "{new:1}"))
            .await;
        assert_eq!(code(&response), "2.01");
        pump.close().await;
    }

    /// Ends the test: asserts that the session still works and that the memory has returned, stops the gateway, and
    /// prints what was measured.
    pub async fn finish(mut self, name: &str) -> FinalCounters {
        self.sample().await;
        self.post().await;
        let (before, peak) = (self.before, self.peak);
        let grown = peak.saturating_sub(before);
        assert!(
            grown < MAX_GROWTH,
            "{name}: resident memory grew by {grown} KiB, from {before} KiB"
        );
        if let Some(first) = self.first_peak {
            assert!(
                peak < first + MAX_REMAINING,
                "{name}: the first wave took {first} KiB, and later ones up to {peak} KiB"
            );
        } else {
            let start = now();
            while self.world.resident() >= before + MAX_REMAINING {
                let resident = self.world.resident();
                assert!(
                    start.elapsed() < RETURN,
                    "{name}: {resident} KiB after {RETURN:?}, {before} KiB before"
                );
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        let after = self.world.resident();
        let counted = FinalCounters(self.world.terminate());
        eprintln!(
            "{name}: {} datagrams sent, {} received; {} pings answered, {} lost; resident {before} KiB before, \
             {peak} KiB at most, {after} KiB after",
            self.sent,
            counted.get("datagrams_received"),
            self.pings,
            self.lost_pings
        );
        let meter = |line: &&str| line.contains("meter-17") && line.contains("session ended");
        let log = self.world.log();
        let ends: Vec<_> = log.lines().filter(meter).collect();
        assert!(
            ends.len() == 1 && ends[0].contains("clos"),
            "the session lasts until the gateway stops: {ends:?}"
        );
        assert!(
            counted.get("datagrams_received") >= self.sent / 10 * 9,
            "the attack has not reached the gateway"
        );
        counted
    }
}
