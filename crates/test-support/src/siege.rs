//! A gateway under attack, while a device goes on with its work.

use crate::coap::post;
use crate::device::{Device, code};
use crate::process::now;
use crate::stranger::ClientHello;
use crate::wire::Wire;
use crate::world::{Wishes, World, eventually};
use std::time::Duration;

/// No attack may make the gateway grow by so much (KiB).
const MAY_GROW: u64 = 30 * 1024;
/// What an attack may leave behind (KiB): the receive buffers that large datagrams have touched for the first time, and
/// pages that the allocator keeps for the next.
const MAY_KEEP: u64 = 4 * 1024;

/// The gateway, and meter-17 with a session through a [`Wire`].
pub struct Siege {
    pub world: World,
    pub wire: Wire,
    pub device: Device,
    /// For strangers to begin with.
    pub hello: ClientHello,
    /// Datagrams sent.
    pub sent: u64,
    before: u64,
    peak: u64,
    /// The peak of the first wave.
    first_peak: Option<u64>,
    pings: usize,
    lost_pings: usize,
}

/// What the gateway has counted, by the line it says at its end.
pub struct Counted(String);

impl Counted {
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
    /// Before the attack.
    pub async fn of(wishes: Wishes<'_>) -> Siege {
        let world = World::with(&Wishes {
            log_level: Some("info"),
            ..wishes
        });
        let wire = Wire::to(world.address).await;
        let device = Device::connect(wire.address, &world.meter, &world.authority.pem).await;
        let hello = ClientHello::of(&wire.kept()[0]);
        // What the gateway says to a forger is not for the device, whose own library would fall for it.
        wire.let_pass(|datagram| datagram.get(3..5) != Some(&[0, 0]));
        let mut siege = Siege {
            before: 0,
            peak: 0,
            first_peak: None,
            pings: 0,
            lost_pings: 0,
            sent: 0,
            world,
            wire,
            device,
            hello,
        };
        siege.work().await;
        siege.before = siege.world.resident();
        siege
    }

    /// Waits until the gateway has taken all that was sent to it, by a round trip on the session, which therefore
    /// lives; and looks at the memory.
    pub async fn pulse(&mut self) {
        self.lost_pings += self.device.ping().await;
        self.pings += 1;
        self.peak = self.peak.max(self.world.resident());
    }

    /// One post, all the way to ThingsBoard.
    pub async fn work(&mut self) {
        let body = format!("{{sent:{}}}", self.sent);
        let response = self
            .device
            .request(post(&["api", "v1", "telemetry"], &body))
            .await;
        assert_eq!(code(&response), "2.01");
        self.world
            .arrived("/api/v1/{token}/telemetry", "meter-17", &body);
    }

    /// The attack will be made once more, and must find in the memory it has freed all the room that it needs: what is
    /// not free would be missed. The resident memory alone can't tell: glibc keeps freed pages for itself while
    /// something lives above them.
    pub fn another_wave(&mut self) {
        self.first_peak.get_or_insert(self.peak);
    }

    /// The attack is over: within this time, what is resident comes back to within a fifth of what it was. Sessions of
    /// certificates that are not registered last a minute, and what they hold lies between what is free.
    pub fn comes_back(&mut self, name: &str, within: Duration) {
        let (before, most) = (self.before, self.before + self.before / 5);
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

    /// A device that comes new gets in.
    pub async fn newcomer(&self) {
        let pump = self.world.connect(&self.world.pump).await;
        let response = pump
            .request(post(&["api", "v1", "telemetry"], "{new:1}"))
            .await;
        assert_eq!(code(&response), "2.01");
        pump.close().await;
    }

    /// After the attack: the session works, the memory comes back, the process has lived through it all. Prints what
    /// was measured.
    pub async fn end(mut self, name: &str) -> Counted {
        self.pulse().await;
        self.work().await;
        let (before, peak) = (self.before, self.peak);
        let grown = peak.saturating_sub(before);
        assert!(
            grown < MAY_GROW,
            "{name}: resident memory grew by {grown} KiB, from {before} KiB"
        );
        if let Some(first) = self.first_peak {
            assert!(
                peak < first + MAY_KEEP,
                "{name}: the first wave took {first} KiB, and later ones up to {peak} KiB"
            );
        } else {
            eventually(&format!("{name}: memory back at {before} KiB"), || {
                self.world.resident() < before + MAY_KEEP
            });
        }
        let after = self.world.resident();
        let counted = Counted(self.world.terminate());
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
        let goodbyes: Vec<_> = log.lines().filter(meter).collect();
        assert!(
            goodbyes.len() == 1 && goodbyes[0].contains("clos"),
            "the session lasts until the gateway stops: {goodbyes:?}"
        );
        assert!(
            counted.get("datagrams_received") >= self.sent / 10 * 9,
            "the attack has not reached the gateway"
        );
        counted
    }
}
