//! What strangers can do to the real binary over loopback: floods, forgeries, garbage. In each test it lives, a device
//! goes on working on its session, and memory grows by a bounded amount and comes back (`test_support::siege`).
//!
//! `COAPS_GATEWAY_ABUSE_SECONDS` says how long garbage rains (20), `COAPS_GATEWAY_ABUSE_SEED` which.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use coaps_gateway::dtls::Versions;
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::PATIENCE;
use test_support::device::Device;
use test_support::mutation::mutated;
use test_support::process::now;
use test_support::siege::Siege;
use test_support::stranger::{
    ALERT, APPLICATION_DATA, CERTIFICATE, CHANGE_CIPHER_SPEC, ClientHello, Fragment, HANDSHAKE,
    Stranger, client_13, client_in, loopback, record,
};
use test_support::wire::Wire;
use test_support::world::Wishes;

/// Datagrams sent without a look whether the gateway follows: with the kernel's usual receive buffer none is lost.
const BURST: u64 = 48;

/// Half-open handshakes end soon, so that no test waits long for memory to come back; and no budget is in the way
/// of an attack, so that it is the bound under test that holds.
fn short() -> Wishes<'static> {
    Wishes {
        dtls: "unproven_timeout = \"1s\"\nhandshake_timeout = \"3s\"",
        limits: "hellos = 1000000\nhandshakes_per_address = 1000000",
        ..Wishes::default()
    }
}

/// A client's random that no other has.
fn random(number: usize) -> [u8; 32] {
    let mut random = [7; 32];
    random[..8].copy_from_slice(&number.to_be_bytes());
    random
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_thousand_tiny_handshake_fragments_come_to_nothing() {
    let mut siege = Siege::of(short()).await;
    let gateway = siege.world.address;
    let mut rng = Rng::with_seed(1);
    for round in 0..1_600usize {
        // As many pieces of one handshake as an engine keeps, and then the next.
        let stranger = Stranger::at(loopback(1 + round), gateway);
        let hello = siege.hello.with_random(random(round));
        let kind = round % 4;
        match kind {
            // Begins with a first fragment of a hello.
            0 => stranger.send(&hello.fragment(0, 0, 0..40)),
            // Goes beyond the cookie.
            1 => assert!(stranger.prove(&hello, PATIENCE), "a cookie is accepted"),
            // Nobody has heard of him, or he has the device's address.
            _ => {}
        }
        for number in 0..25u16 {
            let fragment = Fragment {
                kind: CERTIFICATE,
                // Messages that are next, and some that are not.
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
                3 => siege.wire.forge(&datagram).await,
                _ => stranger.send(&datagram),
            }
            siege.sent += 1;
            if siege.sent.is_multiple_of(BURST) {
                siege.pulse().await;
            }
        }
        if round % 400 == 399 {
            siege.newcomer().await;
            // Until the handshakes of this wave have ended, so that the next needs no room beside theirs.
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            siege.another_wave();
        }
    }
    assert_eq!(siege.sent, 40_000);
    siege.end("40,000 fragments").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_for_an_epoch_that_has_not_begun_are_not_kept() {
    const LARGE: usize = 16_000;
    let mut siege = Siege::of(short()).await;
    let gateway = siege.world.address;
    let mut bytes = 0;
    let mut round = 0;
    while bytes < 160_000_000 {
        round += 1;
        let stranger = Stranger::at(loopback(round), gateway);
        let hello = siege.hello.with_random(random(round));
        let kind = round % 4;
        match kind {
            0 => stranger.send(&hello.first()),
            1 | 2 => assert!(stranger.prove(&hello, PATIENCE), "a cookie is accepted"),
            _ => {}
        }
        // What a server queues that has not got the keys yet; large datagrams, then many.
        let (size, count) = if round.is_multiple_of(2) {
            (LARGE, 250)
        } else {
            (1_200, 1_000)
        };
        for sequence in 0..count {
            let content_type = [APPLICATION_DATA, HANDSHAKE, ALERT][round % 3];
            let datagram = record(content_type, 1, sequence, &vec![0x5a; size]);
            match kind {
                3 => siege.wire.forge(&datagram).await,
                _ => stranger.send(&datagram),
            }
            siege.sent += 1;
            bytes += datagram.len();
            if siege
                .sent
                .is_multiple_of(if size == LARGE { 8 } else { BURST })
            {
                siege.pulse().await;
            }
        }
    }
    siege.end("160 MB of epoch 1").await;
}

/// Ten thousand hellos from a port of their own each, as a forger would write them, and no socket behind it for an answer.
async fn hellos(siege: &mut Siege, of: impl Fn(&ClientHello) -> Vec<u8>) {
    for number in 0..10_000usize {
        let stranger = Stranger::at(loopback(1 + number / 10), siege.world.address);
        stranger.send(&of(&siege.hello.with_random(random(number))));
        siege.sent += 1;
        if siege.sent.is_multiple_of(BURST) {
            siege.pulse().await;
        }
        if siege.sent.is_multiple_of(1_000) {
            siege.newcomer().await;
        }
        if siege.sent == 5_000 {
            siege.another_wave();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_hellos_that_nobody_continues() {
    let mut siege = Siege::of(short()).await;
    hellos(&mut siege, ClientHello::first).await;
    let counted = siege.end("twice 5,000 hellos").await;
    // All but what the kernel may have lost.
    assert!(counted.get("cookies_sent") >= 9_500);
    for never in ["unproven_evicted", "unproven_expired", "buffers_evicted"] {
        assert_eq!(counted.get(never), 0, "{never}: none was half open");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_hellos_in_pieces_that_nobody_continues_leave_room_for_those_who_do() {
    let mut siege = Siege::of(short()).await;
    let in_two_records = |hello: &ClientHello| {
        let half = hello.len() / 2;
        let first = hello.fragment(0, 0, 0..half);
        [first, hello.fragment(1, 0, half..hello.len())].concat()
    };
    hellos(&mut siege, in_two_records).await;
    let counted = siege.end("twice 5,000 unproven handshakes").await;
    let (displaced, expired) = (
        counted.get("unproven_evicted") + counted.get("buffers_evicted"),
        counted.get("unproven_expired"),
    );
    eprintln!("  {displaced} displaced by newer ones, {expired} expired");
    // All but the 1,000 that may still be there, and what the kernel may have lost.
    assert!(displaced + expired >= 8_500, "they were half open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proven_handshakes_that_stall_are_bounded_and_make_room_in_time() {
    // Long enough that they pile up until there is no place left.
    let mut siege = Siege::of(Wishes {
        dtls: "handshake_timeout = \"20s\"",
        ..short()
    })
    .await;
    let gateway = siege.world.address;
    let client = client_13(&siege.world.pump);
    let mut number = 0;
    for wave in 1..=3 {
        let mut proven = 0;
        // More than `limits.handshakes`, which is 1,000.
        for _ in 0..1_500 {
            number += 1;
            let stranger = Stranger::at(loopback(number), gateway);
            let patience = Duration::from_millis(500);
            siege.sent += 2;
            // DTLS 1.3, 1.2, 1.3: the first costs the gateway more.
            let room = if wave == 2 {
                stranger.prove(&siege.hello.with_random(random(number)), patience)
            } else {
                stranger.prove_13(&client, patience)
            };
            proven += usize::from(room);
            if siege.sent.is_multiple_of(BURST) {
                siege.pulse().await;
            }
        }
        assert!(proven >= 1_400, "only {proven} in wave {wave}");
        siege.pulse().await;
        // There is always room for one more: whoever holds most makes it.
        siege.newcomer().await;
        siege.another_wave();
        eprintln!("wave {wave}: {proven} proven half-open handshakes");
    }
    let counted = siege.end("proven handshakes").await;
    assert!(counted.get("proven_evicted") > 0);
    assert_eq!(counted.get("half_open_full"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_large_handshakes_comes_back_when_they_end() {
    let mut siege = Siege::of(short()).await;
    let gateway = siege.world.address;
    // Signed by the device's authority, so that nothing but the registry is against them.
    let large = siege.world.authority.device_of_size("large", 16_384);
    let clients = [Versions::Only12, Versions::Only13].map(|in_it| client_in(&large, in_it, 2_400));
    let mut heard = [0, 0];
    for number in 0..600usize {
        let stranger = Stranger::at(loopback(1 + number), gateway);
        let to_the_end = number % 3 == 0;
        let client = &clients[number % 2];
        let is_heard = stranger.shake_hands(client, to_the_end, Duration::from_millis(500));
        heard[usize::from(to_the_end)] += usize::from(is_heard);
        siege.sent += 8;
        if number % 20 == 0 {
            siege.pulse().await;
        }
    }
    eprintln!("{heard:?} of 400 and 200 large handshakes were stalled, or completed");
    assert!(heard[0] > 350 && heard[1] > 150, "{heard:?}");
    siege.comes_back("600 large handshakes", Duration::from_secs(120));
    siege.end("large handshakes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgeries_on_a_live_sessions_path_do_not_touch_it() {
    let mut siege = Siege::of(short()).await;
    let replayed = siege.wire.kept();
    let arrived = siege.world.simulator.arrivals().len();
    let mut rng = Rng::with_seed(5);
    let mut works = 0;
    for round in 0..60u8 {
        let mut forged = Vec::new();
        for epoch in [0, 1, 2] {
            // Plausible sequence numbers, and some so far ahead that they would push true records out of the window.
            for sequence in [u64::from(round), u64::from(round) + 40, 1 << 40] {
                for description in [0, 10, 20, 40, 42, 50, 80, 90] {
                    forged.push(record(ALERT, epoch, sequence, &[1, description]));
                    forged.push(record(ALERT, epoch, sequence, &[2, description]));
                }
                forged.push(record(CHANGE_CIPHER_SPEC, epoch, sequence, &[1]));
                // A GET that would be answered, in plaintext; and what may be a ciphertext.
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
        // A reboot, pretended; and all that the device has said before.
        forged.push(siege.hello.with_random([round; 32]).first());
        forged.extend(replayed.iter().cloned());
        for datagram in forged {
            siege.wire.forge(&datagram).await;
            siege.sent += 1;
            if siege.sent.is_multiple_of(BURST) {
                siege.pulse().await;
            }
        }
        if round % 10 == 0 {
            siege.work().await;
            works += 1;
        }
    }
    assert_eq!(
        siege.world.simulator.arrivals().len(),
        arrived + works,
        "nothing was replayed"
    );
    let counted = siege.end("forgeries").await;
    assert_eq!(counted.get("handshakes_completed"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_last_flight_from_the_gateway_is_lost_gets_in() {
    let siege = Siege::of(Wishes::default()).await;
    let wire = Wire::to(siege.world.address).await;
    let lost = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&lost);
    wire.let_pass(move |datagram| {
        // The last flight is the one with a ChangeCipherSpec and Finished. Lost twice, it comes a third time.
        let last = datagram[0] == CHANGE_CIPHER_SPEC || datagram.get(3..5) == Some(&[0, 1]);
        !last || counter.fetch_add(1, Ordering::Relaxed) >= 3
    });
    let pump = Device::connect(wire.address, &siege.world.pump, &siege.world.authority.pem).await;
    pump.ping().await;
    assert!(lost.load(Ordering::Relaxed) > 3);
    let counted = siege.end("lost last flight").await;
    assert_eq!(counted.get("handshakes_completed"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_hello_delays_nobody() {
    // Nobody who is silent is given up while this test runs: whoever waits for that, waits in vain.
    let mut siege = Siege::of(Wishes {
        dtls: "unproven_timeout = \"600s\"\nhandshake_timeout = \"600s\"",
        ..Wishes::default()
    })
    .await;
    let mut strangers = Vec::new();
    for number in 0..40u8 {
        let stranger = Stranger::at(loopback(1 + usize::from(number)), siege.world.address);
        let hello = siege.hello.with_random(random(usize::from(number)));
        let whole = hello.first();
        match number % 4 {
            0 => stranger.send(&whole),
            // Cut by the network, and cut by its sender into a first fragment and no other.
            1 => stranger.send(&whole[..whole.len() / 2]),
            2 => stranger.send(&hello.fragment(0, 0, 0..hello.len() / 2)),
            _ => assert!(stranger.prove(&hello, PATIENCE), "a cookie is accepted"),
        }
        siege.sent += 1;
        strangers.push(stranger);
    }
    siege.pulse().await;
    for _ in 0..5 {
        siege.newcomer().await;
    }
    // Nor one who has the same address and port.
    let stranger = Stranger::at(loopback(100), siege.world.address);
    let [forged, own] = [100, 101].map(|number| siege.hello.with_random(random(number)));
    stranger.send(&forged.first());
    stranger.send(&forged.fragment(1, 1, 0..40));
    let answer = stranger.hear(PATIENCE);
    assert!(answer.is_some(), "the forged hello is answered first");
    assert!(stranger.prove(&own, PATIENCE), "the other one as well");
    let counted = siege.end("silent hellos").await;
    assert_eq!(counted.get("handshakes_completed"), 6);
    for never in ["unproven_expired", "unproven_evicted", "handshakes_failed"] {
        assert_eq!(
            counted.get(never),
            0,
            "{never}: they were silent all the while"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_datagrams_are_only_noise() {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse().expect("a number"));
    let seconds = number("COAPS_GATEWAY_ABUSE_SECONDS").unwrap_or(20);
    let seed = number("COAPS_GATEWAY_ABUSE_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("mutated datagrams for {seconds} s: COAPS_GATEWAY_ABUSE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut siege = Siege::of(short()).await;
    let gateway = siege.world.address;
    // The hellos, the certificate and its signature, the first records of data.
    let flights = siege.wire.kept();
    assert!(flights.len() >= 4, "a handshake and a request");
    let mut strangers: Vec<_> = (1..=24)
        .map(|n| Stranger::at(loopback(n), gateway))
        .collect();
    let (start, mut proven) = (now(), 0u64);
    let (half, end) = (
        start + Duration::from_secs(seconds) / 2,
        start + Duration::from_secs(seconds),
    );
    while now() < end {
        if now() > half {
            siege.another_wave();
        }
        let which = rng.usize(..strangers.len());
        if rng.u8(..32) == 0 {
            strangers[which] = Stranger::at(loopback(1 + rng.usize(..1_000)), gateway);
        }
        let stranger = &strangers[which];
        let mut random = [0; 32];
        rng.fill(&mut random);
        let hello = siege.hello.with_random(random);
        // As far as anyone gets without a certificate, now and then.
        let prove = rng.u8(..8) == 0;
        if prove {
            proven += u64::from(stranger.prove(&hello, Duration::from_millis(200)));
        }
        let first = [hello.first()];
        for _ in 0..BURST / 2 {
            let of: &[_] = if !prove && rng.bool() {
                &first
            } else {
                &flights
            };
            let datagram = mutated(&mut rng, of);
            if rng.u8(..6) == 0 {
                siege.wire.forge(&datagram).await;
            } else {
                stranger.send(&datagram);
            }
            siege.sent += 1;
        }
        siege.pulse().await;
    }
    siege.newcomer().await;
    eprintln!("{proven} handshakes were proven on the way");
    siege.end("mutated datagrams").await;
}
