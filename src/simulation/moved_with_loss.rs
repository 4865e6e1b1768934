//! A device whose port changes again and again, while the network loses datagrams, misses no change of its attributes.

use super::link::Conditions;
use super::roaming::Roaming;
use super::scaled;
use coap::Type;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const RUNS: usize = scaled(20, 300);
const MOVES: u16 = 5;

/// Longer than three times anything that the device sends by itself.
fn long(value: usize) -> String {
    format!("\"{}{value}\"", "long ".repeat(80))
}

fn observing(seed: u64, return_routability_check: bool) -> Roaming {
    let mut roaming = Roaming::connected(seed, return_routability_check);
    roaming.set_attribute("a", &long(0));
    roaming.observe();
    roaming.run_for(2 * SECOND);
    assert!(roaming.observation.is_active() && roaming.is_up_to_date());
    roaming
}

/// The notification is outstanding when the device moves, and is too long for the new address: before, nothing else was sent
/// until it was acknowledged.
#[test]
fn a_pending_notification_follows_the_device_as_soon_as_it_has_sent_something() {
    for return_routability_check in [false, true] {
        let mut roaming = observing(1, return_routability_check);
        // It is sent to where nobody is any more.
        roaming.port = 2;
        roaming.set_attribute("a", &long(1));
        roaming.run_for(20 * SECOND);
        assert!(!roaming.is_up_to_date());
        roaming.post(Type::NonConfirmable);
        roaming.run_for(SECOND / 2);
        assert!(roaming.is_up_to_date() && !roaming.is_path_unproven());
        let counters = roaming.core.counters();
        assert_eq!(counters.dtls.handshakes_completed, 1);
        assert_eq!(
            counters.coap.pings_sent,
            u64::from(!return_routability_check)
        );
    }
}

/// The ping that proves the path, or the path_challenge, may be lost, and so may what answers it.
#[test]
fn a_lost_proof_is_repeated_although_the_device_sends_nothing_more() {
    for return_routability_check in [false, true] {
        for (to_gateway, pass, lose) in [(false, 0, 1), (false, 0, 2), (true, 0, 1), (true, 0, 2)] {
            let mut roaming = observing(1, return_routability_check);
            roaming.port = 2;
            roaming.set_attribute("a", &long(1));
            roaming.run_for(SECOND / 2);
            roaming.post(Type::NonConfirmable);
            roaming.link.lose_after(to_gateway, pass, lose);
            roaming.run_for(60 * SECOND);
            assert!(
                roaming.is_up_to_date() && !roaming.is_path_unproven(),
                "{return_routability_check}, {to_gateway}, {lose}"
            );
        }
    }
}

/// RFC 9146 §6: nor is more sent to an address that is not proven than three times what came from there, which
/// [`Roaming`] asserts.
#[test]
fn a_device_that_moves_five_times_loses_no_change_with_30_percent_loss() {
    let (mut waited, mut largest_share) = (0, 0);
    for run in 0..RUNS {
        let seed = u64::try_from(run).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut roaming = observing(seed, run % 2 == 1);
        roaming.link.conditions = Conditions {
            loss: 0.3,
            jitter: SECOND / 10,
            duplication: 0.05,
            ..Conditions::GOOD
        };
        for port in 2..2 + MOVES {
            for _ in 0..random.usize(1..4) {
                roaming.set_attribute(random.choice(["a", "b"]).unwrap(), &long(random.usize(..)));
                roaming.run_for(SECOND.mul_f64(4.0 * random.f64()));
                roaming.post(
                    random
                        .choice([Type::NonConfirmable, Type::Confirmable])
                        .unwrap(),
                );
                roaming.run_for(SECOND.mul_f64(10.0 * random.f64()));
            }
            roaming.port = port;
            roaming.post(Type::NonConfirmable);
            waited += roaming.core.load().demux.waiting;
        }
        // The device sends something every half a minute, and the network still loses datagrams.
        for _ in 0..20 {
            roaming.run_for(30 * SECOND);
            roaming.post(Type::NonConfirmable);
            waited += roaming.core.load().demux.waiting;
        }
        roaming.run_for(30 * SECOND);
        assert!(roaming.is_up_to_date(), "seed {seed}");
        let counters = roaming.core.counters();
        assert_eq!(counters.dtls.handshakes_completed, 1);
        assert_eq!(counters.coap.path_proofs_refused, 0);
        largest_share = largest_share.max(roaming.largest_share);
        // What waited has expired at the latest.
        roaming.link.conditions = Conditions::GOOD;
        roaming.run_for(200 * SECOND);
        assert_eq!(roaming.core.load().demux.waiting, 0);
    }
    assert!(
        waited > 0 && largest_share > 80,
        "{waited}, {largest_share} %"
    );
}
