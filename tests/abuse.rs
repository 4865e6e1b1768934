//! Attacks on the real binary over loopback: floods, forgeries, garbage. In each test the gateway survives, a device
//! keeps working on its session, and memory grows by a bounded amount and returns (`test_support::siege`).
//!
//! `COAPS_GATEWAY_ABUSE_SECONDS` sets how long mutated datagrams are sent (20), `COAPS_GATEWAY_ABUSE_SEED` their seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::TIMEOUT;
use test_support::attacker::{
    ALERT, APPLICATION_DATA, Attacker, CERTIFICATE, CHANGE_CIPHER_SPEC, ClientHello, Fragment,
    HANDSHAKE, loopback, record,
};
use test_support::device::Device;
use test_support::dtls::{Client, Config, Versions, datagrams};
use test_support::mutation::mutated;
use test_support::process::now;
use test_support::siege::Siege;
use test_support::udp_proxy::UdpProxy;
use test_support::world::Options;

/// Datagrams that are sent before a round trip: with the kernel's default receive buffer none is lost.
const BURST: u64 = 48;

/// Half-open handshakes end soon, so that no test waits long until their memory is freed; and rate limits are raised,
/// so that the bound under test is the one that is reached.
fn options() -> Options<'static> {
    Options {
        dtls: "unproven_timeout = \"1s\"\nhandshake_timeout = \"3s\"",
        limits: "hellos = 1000000\nhandshakes_per_address = 1000000",
        ..Options::default()
    }
}

/// A different random for each client.
fn random(number: usize) -> [u8; 32] {
    let mut random = [7; 32];
    random[..8].copy_from_slice(&number.to_be_bytes());
    random
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_thousand_tiny_handshake_fragments_are_bounded() {
    let mut siege = Siege::start(options()).await;
    let gateway = siege.world.address;
    let mut rng = Rng::with_seed(1);
    for round in 0..1_600usize {
        // As many fragments of one handshake as the gateway keeps, then the next handshake.
        let attacker = Attacker::bind(loopback(1 + round), gateway);
        let hello = siege.hello.with_random(random(round));
        let kind = round % 4;
        match kind {
            // The first fragment of a ClientHello.
            0 => attacker.send(&hello.fragment(0, 0, 0..40)),
            // A handshake beyond the cookie exchange.
            1 => assert!(
                attacker.begin_handshake_12(&hello, TIMEOUT),
                "a cookie is accepted"
            ),
            // No handshake, or from the device's address.
            _ => {}
        }
        for number in 0..25u16 {
            let fragment = Fragment {
                kind: CERTIFICATE,
                // The next handshake messages, and later ones.
                message: 2 + number % 7,
                total: 16_000,
                offset: rng.usize(..16_000),
                bytes: &[rng.u8(..)],
            };
            let at = 40 + usize::from(number);
            let datagram = match kind {
                0 => hello.fragment(1 + u64::from(number), 0, at..at + 1),
                _ => record(HANDSHAKE, 0, 2 + u64::from(number), &fragment.encode()),
            };
            match kind {
                3 => siege.proxy.inject(&datagram).await,
                _ => attacker.send(&datagram),
            }
            siege.sent += 1;
            if siege.sent.is_multiple_of(BURST) {
                siege.sample().await;
            }
        }
        if round % 400 == 399 {
            siege.assert_new_session().await;
            // The handshakes of this wave end, so that those of the next do not add to their memory.
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            siege.end_wave();
        }
    }
    assert_eq!(siege.sent, 40_000);
    siege.finish("40,000 fragments").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_for_an_epoch_that_has_not_begun_are_not_kept() {
    const LARGE: usize = 16_000;
    let mut siege = Siege::start(options()).await;
    let gateway = siege.world.address;
    let mut bytes = 0;
    let mut round = 0;
    while bytes < 160_000_000 {
        round += 1;
        let attacker = Attacker::bind(loopback(round), gateway);
        let hello = siege.hello.with_random(random(round));
        let kind = round % 4;
        match kind {
            0 => attacker.send(&hello.first()),
            1 | 2 => assert!(
                attacker.begin_handshake_12(&hello, TIMEOUT),
                "a cookie is accepted"
            ),
            _ => {}
        }
        // Records that a server without keys would queue: large ones, then many.
        let (size, count) = if round.is_multiple_of(2) {
            (LARGE, 250)
        } else {
            (1_200, 1_000)
        };
        for sequence in 0..count {
            let content_type = [APPLICATION_DATA, HANDSHAKE, ALERT][round % 3];
            let datagram = record(content_type, 1, sequence, &vec![0x5a; size]);
            match kind {
                3 => siege.proxy.inject(&datagram).await,
                _ => attacker.send(&datagram),
            }
            siege.sent += 1;
            bytes += datagram.len();
            if siege
                .sent
                .is_multiple_of(if size == LARGE { 8 } else { BURST })
            {
                siege.sample().await;
            }
        }
    }
    siege.finish("160 MB of epoch 1").await;
}

/// Sends ten thousand hellos, each from a port of its own whose socket is closed before an answer.
async fn hellos(siege: &mut Siege, encode: impl Fn(&ClientHello) -> Vec<u8>) {
    for number in 0..10_000usize {
        let attacker = Attacker::bind(loopback(1 + number / 10), siege.world.address);
        attacker.send(&encode(&siege.hello.with_random(random(number))));
        siege.sent += 1;
        if siege.sent.is_multiple_of(BURST) {
            siege.sample().await;
        }
        if siege.sent.is_multiple_of(1_000) {
            siege.assert_new_session().await;
        }
        if siege.sent == 5_000 {
            siege.end_wave();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_hellos_leave_no_state() {
    let mut siege = Siege::start(options()).await;
    hellos(&mut siege, ClientHello::first).await;
    let counters = siege.finish("twice 5,000 hellos").await;
    // Fewer than sent, because the kernel may have lost some.
    assert!(counters.get("cookies_sent") >= 9_500);
    for never in ["unproven_evicted", "unproven_expired", "buffers_evicted"] {
        assert_eq!(counters.get(never), 0, "{never}: none was half open");
    }
}

/// A hello without a cookie in two fragments, of which the second has the last 10 bytes.
fn in_two_records(hello: &ClientHello) -> Vec<u8> {
    let end = hello.length() - 10;
    let first = hello.fragment(0, 0, 0..end);
    [first, hello.fragment(1, 0, end..hello.length())].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragmented_hellos_of_dtls_1_2_leave_no_state() {
    let mut siege = Siege::start(options()).await;
    hellos(&mut siege, in_two_records).await;
    let counters = siege.finish("twice 5,000 fragmented hellos").await;
    assert!(counters.get("cookies_sent") >= 9_500);
    for never in ["unproven_evicted", "unproven_expired", "buffers_evicted"] {
        assert_eq!(counters.get(never), 0, "{never}: none was half open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_fragmented_hellos_leave_room_for_new_sessions() {
    let mut siege = Siege::start(options()).await;
    // Of DTLS 1.3, whose engine must see both fragments.
    let forger = siege.world.authority.device("forger");
    let config = Config::of(&forger, Versions::Only13, 1200);
    let (_, outputs) = Client::connect(&config, now());
    siege.hello = ClientHello::parse(&datagrams(outputs)[0]);
    hellos(&mut siege, in_two_records).await;
    let counters = siege.finish("twice 5,000 unproven handshakes").await;
    let (displaced, expired) = (
        counters.get("unproven_evicted") + counters.get("buffers_evicted"),
        counters.get("unproven_expired"),
    );
    eprintln!("  {displaced} displaced by newer ones, {expired} expired");
    // 1,000 may remain, and the kernel may have lost some.
    assert!(displaced + expired >= 8_500, "they were half open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_of_proven_addresses_are_bounded_and_displaced() {
    // A timeout so long that the handshakes reach the limit in each wave, however long that takes.
    let mut siege = Siege::start(Options {
        dtls: "handshake_timeout = \"600s\"",
        ..options()
    })
    .await;
    let gateway = siege.world.address;
    let client = Config::of(&siege.world.pump, Versions::Only13, 1200);
    let mut number = 0;
    for wave in 1..=3 {
        let mut proven = 0;
        // More than `limits.handshakes`, which is 1,000.
        for _ in 0..1_500 {
            number += 1;
            let attacker = Attacker::bind(loopback(number), gateway);
            let timeout = Duration::from_millis(500);
            siege.sent += 2;
            // DTLS 1.3, 1.2, 1.3: the first costs the gateway more.
            let begun = if wave == 2 {
                attacker.begin_handshake_12(&siege.hello.with_random(random(number)), timeout)
            } else {
                attacker.begin_handshake_13(&client, timeout)
            };
            proven += usize::from(begun);
            if siege.sent.is_multiple_of(BURST) {
                siege.sample().await;
            }
        }
        assert!(proven >= 1_400, "only {proven} in wave {wave}");
        siege.sample().await;
        // A new client always gets a place: the source with the most handshakes loses one.
        siege.assert_new_session().await;
        siege.end_wave();
        eprintln!("wave {wave}: {proven} proven half-open handshakes");
    }
    let counters = siege.finish("proven handshakes").await;
    assert!(counters.get("proven_evicted") > 0);
    assert_eq!(counters.get("half_open_full"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_large_handshakes_is_freed_when_they_end() {
    let mut siege = Siege::start(options()).await;
    let gateway = siege.world.address;
    // Issued by the trusted CA and not registered.
    let large = siege.world.authority.device_of_size("large", 16_384);
    let clients =
        [Versions::Only12, Versions::Only13].map(|versions| Config::of(&large, versions, 2_400));
    let mut succeeded = [0, 0];
    for number in 0..600usize {
        let attacker = Attacker::bind(loopback(1 + number), gateway);
        let complete = number % 3 == 0;
        let client = &clients[number % 2];
        let is_success = attacker.handshake(client, complete, Duration::from_millis(500));
        succeeded[usize::from(complete)] += usize::from(is_success);
        siege.sent += 8;
        if number % 20 == 0 {
            siege.sample().await;
        }
    }
    eprintln!("{succeeded:?} of 400 and 200 large handshakes were stalled, or completed");
    assert!(succeeded[0] > 350 && succeeded[1] > 150, "{succeeded:?}");
    siege.assert_memory_returns("600 large handshakes", Duration::from_secs(120));
    siege.finish("large handshakes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_records_from_a_sessions_address_do_not_affect_it() {
    let mut siege = Siege::start(options()).await;
    let replayed = siege.proxy.recorded();
    let arrived = siege.world.simulator.arrivals().len();
    let mut rng = Rng::with_seed(5);
    let mut works = 0;
    for round in 0..60u8 {
        let mut forged = Vec::new();
        for epoch in [0, 1, 2] {
            // Plausible sequence numbers, and some so far ahead that they would move the replay window past true
            // records.
            for sequence in [u64::from(round), u64::from(round) + 40, 1 << 40] {
                for description in [0, 10, 20, 40, 42, 50, 80, 90] {
                    forged.push(record(ALERT, epoch, sequence, &[1, description]));
                    forged.push(record(ALERT, epoch, sequence, &[2, description]));
                }
                forged.push(record(CHANGE_CIPHER_SPEC, epoch, sequence, &[1]));
                // A plaintext GET that would be answered, and random bytes as ciphertext.
                forged.push(record(
                    APPLICATION_DATA,
                    epoch,
                    sequence,
                    &[0x40, 1, 0, round],
                ));
                let noise: Vec<u8> = (0..rng.usize(8..80)).map(|_| rng.u8(..)).collect();
                for kind in [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA] {
                    forged.push(record(kind, epoch, sequence, &noise));
                }
                // HelloRequest, Finished.
                for kind in [0, 20] {
                    let fragment = Fragment {
                        kind,
                        message: 0,
                        total: 0,
                        offset: 0,
                        bytes: &[],
                    };
                    forged.push(record(HANDSHAKE, epoch, sequence, &fragment.encode()));
                }
            }
        }
        // The ClientHello of a reboot, and all that the device has sent before.
        forged.push(siege.hello.with_random([round; 32]).first());
        forged.extend(replayed.iter().cloned());
        for datagram in forged {
            siege.proxy.inject(&datagram).await;
            siege.sent += 1;
            if siege.sent.is_multiple_of(BURST) {
                siege.sample().await;
            }
        }
        if round % 10 == 0 {
            siege.post().await;
            works += 1;
        }
    }
    assert_eq!(
        siege.world.simulator.arrivals().len(),
        arrived + works,
        "nothing was replayed"
    );
    let counters = siege.finish("forgeries").await;
    assert_eq!(counters.get("handshakes_completed"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_last_flight_from_the_gateway_is_lost_completes_the_handshake() {
    let siege = Siege::start(Options::default()).await;
    let proxy = UdpProxy::to(siege.world.address).await;
    let lost = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&lost);
    proxy.set_filter(move |datagram| {
        // The last flight has a ChangeCipherSpec and a Finished. It is lost twice, and sent a third time.
        let last = datagram[0] == CHANGE_CIPHER_SPEC || datagram.get(3..5) == Some(&[0, 1]);
        !last || counter.fetch_add(1, Ordering::Relaxed) >= 3
    });
    let pump = Device::connect(proxy.address, &siege.world.pump, &siege.world.authority.pem).await;
    pump.ping().await;
    assert!(lost.load(Ordering::Relaxed) > 3);
    let counters = siege.finish("lost last flight").await;
    assert_eq!(counters.get("handshakes_completed"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_hello_delays_no_other_client() {
    // No silent handshake times out during this test, so a client that waited for that would fail.
    let mut siege = Siege::start(Options {
        dtls: "unproven_timeout = \"600s\"\nhandshake_timeout = \"600s\"",
        ..Options::default()
    })
    .await;
    let mut attackers = Vec::new();
    for number in 0..40u8 {
        let attacker = Attacker::bind(loopback(1 + usize::from(number)), siege.world.address);
        let hello = siege.hello.with_random(random(usize::from(number)));
        let whole = hello.first();
        match number % 4 {
            0 => attacker.send(&whole),
            // Truncated by the network; or a first fragment without the rest.
            1 => attacker.send(&whole[..whole.len() / 2]),
            2 => attacker.send(&hello.fragment(0, 0, 0..hello.length() / 2)),
            _ => assert!(
                attacker.begin_handshake_12(&hello, TIMEOUT),
                "a cookie is accepted"
            ),
        }
        siege.sent += 1;
        attackers.push(attacker);
    }
    siege.sample().await;
    for _ in 0..5 {
        siege.assert_new_session().await;
    }
    // Nor another client with the same address and port.
    let attacker = Attacker::bind(loopback(100), siege.world.address);
    let [forged, own] = [100, 101].map(|number| siege.hello.with_random(random(number)));
    attacker.send(&forged.first());
    attacker.send(&forged.fragment(1, 1, 0..40));
    let answer = attacker.receive(TIMEOUT);
    assert!(answer.is_some(), "the forged hello is answered first");
    assert!(
        attacker.begin_handshake_12(&own, TIMEOUT),
        "the other one is answered as well"
    );
    let counters = siege.finish("silent hellos").await;
    assert_eq!(counters.get("handshakes_completed"), 6);
    for never in ["unproven_expired", "unproven_evicted", "handshakes_failed"] {
        assert_eq!(counters.get(never), 0, "{never}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_datagrams_have_no_effect() {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse().expect("a number"));
    let seconds = number("COAPS_GATEWAY_ABUSE_SECONDS").unwrap_or(20);
    let seed = number("COAPS_GATEWAY_ABUSE_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("mutated datagrams for {seconds} s: COAPS_GATEWAY_ABUSE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut siege = Siege::start(options()).await;
    let gateway = siege.world.address;
    // The hellos, the certificate and its signature, the first records of data.
    let flights = siege.proxy.recorded();
    assert!(flights.len() >= 4, "a handshake and a request");
    let mut attackers: Vec<_> = (1..=24)
        .map(|n| Attacker::bind(loopback(n), gateway))
        .collect();
    let (start, mut proven) = (now(), 0u64);
    let (half, end) = (
        start + Duration::from_secs(seconds) / 2,
        start + Duration::from_secs(seconds),
    );
    while now() < end {
        if now() > half {
            siege.end_wave();
        }
        let which = rng.usize(..attackers.len());
        if rng.u8(..32) == 0 {
            attackers[which] = Attacker::bind(loopback(1 + rng.usize(..1_000)), gateway);
        }
        let attacker = &attackers[which];
        let mut random = [0; 32];
        rng.fill(&mut random);
        let hello = siege.hello.with_random(random);
        // Sometimes after the cookie exchange, which a peer without a certificate can complete.
        let begin = rng.u8(..8) == 0;
        if begin {
            proven += u64::from(attacker.begin_handshake_12(&hello, Duration::from_millis(200)));
        }
        let first = [hello.first()];
        for _ in 0..BURST / 2 {
            let datagrams: &[_] = if !begin && rng.bool() {
                &first
            } else {
                &flights
            };
            let datagram = mutated(&mut rng, datagrams);
            if rng.u8(..6) == 0 {
                siege.proxy.inject(&datagram).await;
            } else {
                attacker.send(&datagram);
            }
            siege.sent += 1;
        }
        siege.sample().await;
    }
    siege.assert_new_session().await;
    eprintln!("{proven} handshakes were proven on the way");
    siege.finish("mutated datagrams").await;
}
