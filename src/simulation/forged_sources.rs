//! A registered device that forges its source address, so that another one is flooded: whatever it sends, that address gets no
//! more than three times the bytes that came from there, and is never proven.

use super::roaming::Roaming;
use super::scaled;
use coap::{Code, Message, Type};
use dtls_server::record::ContentType;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const RUNS: usize = scaled(20, 300);
const ACTIONS: usize = scaled(150, 400);

/// Where it receives.
const HOME: [u16; 2] = [1, 2];
/// Where it does not.
const VICTIMS: [u16; 3] = [101, 102, 103];

fn forger(seed: u64, return_routability_check: bool) -> Roaming {
    let mut forger = Roaming::connected(seed, return_routability_check);
    forger.receives_at = Some(HOME.into());
    let long = format!("\"{}\"", "long ".repeat(100));
    forger.set_attribute("a", &long);
    forger.observe();
    forger.run_for(2 * SECOND);
    // A notification, by which it knows the Message IDs.
    forger.set_attribute("b", "0");
    forger.run_for(2 * SECOND);
    assert!(forger.observation.is_active() && forger.is_up_to_date());
    forger
}

/// ACKs, Resets and responses to path challenges, all of them guessed.
fn guess(forger: &mut Roaming, random: &mut fastrand::Rng) {
    let last = forger.last_message_id();
    let message_id = match random.u8(..3) {
        0 => last.wrapping_add(random.u16(0..20)),
        1 => random.choice(&forger.received).unwrap().message_id,
        _ => random.u16(..),
    };
    let kind = random.choice([Type::Acknowledgement, Type::Reset]).unwrap();
    match random.u8(..4) {
        0 => {
            let mut response = [1; 9];
            random.fill(&mut response[1..]);
            let kind = ContentType::RETURN_ROUTABILITY_CHECK;
            let datagram = forger.client.protect(kind, &response);
            forger.send_datagram(datagram);
        }
        _ => forger.send(&Message::empty(kind, message_id)),
    }
}

#[test]
fn an_address_that_only_sends_is_never_proven_and_gets_three_times_what_it_sent_at_most() {
    let (mut largest_share, mut unproven, mut waited) = (0, 0, 0);
    for run in 0..RUNS {
        let seed = u64::try_from(run).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut forger = forger(seed, run % 2 == 1);
        for _ in 0..ACTIONS {
            if random.u8(..8) == 0 {
                let ports = HOME.into_iter().chain(VICTIMS);
                forger.port = random.choice(ports.collect::<Vec<_>>()).unwrap();
            }
            match random.u8(..10) {
                0..2 => forger.post(Type::NonConfirmable),
                2..4 => forger.post(Type::Confirmable),
                4..6 => forger.get(),
                6 => forger.set_attribute("b", &random.u32(..).to_string()),
                _ => guess(&mut forger, &mut random),
            }
            if random.bool() {
                forger.run_for(SECOND.mul_f64(2.0 * random.f64()));
            } else {
                forger.run_for(SECOND / 10);
            }
            if forger.core.session_ids().is_empty() {
                break;
            }
            if VICTIMS.contains(&forger.current_port()) {
                assert!(forger.is_path_unproven(), "seed {seed}");
                unproven += 1;
            }
            waited += forger.core.load().demux.waiting;
        }
        largest_share = largest_share.max(forger.largest_share);
        assert_eq!(forger.core.counters().dtls.handshakes_completed, 1);
    }
    assert!(
        unproven > 10 * RUNS && waited > 0 && largest_share > 80,
        "{unproven}, {waited}, {largest_share} %"
    );
}

/// All Message IDs are tried for one ping, and then for the pings of as many moves as it takes.
#[test]
fn trying_all_message_ids_proves_nothing() {
    let mut forger = forger(7, false);
    forger.port = VICTIMS[0];
    forger.get();
    forger.run_for(SECOND);
    assert_eq!(forger.core.counters().coap.pings_sent, 1);
    for message_id in 0..=u16::MAX {
        forger.send(&Message::empty(Type::Reset, message_id));
        if message_id % 64 == 0 {
            forger.run_for(SECOND / 10);
        }
    }
    forger.run_for(SECOND);
    assert!(forger.is_path_unproven());
    assert_eq!(forger.core.counters().coap.path_proofs_refused, 1);
    for round in 0..1_000 {
        forger.port = VICTIMS[round % VICTIMS.len()];
        forger.get();
        for _ in 0..10 {
            let message_id = u16::try_from(round * 37 % 65_536).unwrap();
            forger.send(&Message::empty(Type::Reset, message_id));
        }
        forger.run_for(SECOND / 2);
        assert!(forger.is_path_unproven());
    }
    // Four for each of the hours that this took.
    assert_eq!(forger.core.counters().coap.path_proofs_refused, 1);
    assert_eq!(forger.core.counters().coap.pings_sent, 1);
}

/// It knows which Message ID follows, and that its requests are answered.
#[test]
fn acknowledgements_and_further_requests_prove_nothing() {
    let mut forger = forger(3, false);
    forger.port = VICTIMS[0];
    let last = forger.last_message_id();
    for value in 1..20 {
        forger.post(Type::Confirmable);
        forger.set_attribute("b", &value.to_string());
        forger.run_for(2 * SECOND);
        let message_id = last.wrapping_add(value);
        forger.send(&Message::empty(Type::Acknowledgement, message_id));
        forger.run_for(SECOND / 2);
        assert!(forger.is_path_unproven(), "{value}");
    }
    // All of them were right.
    let counters = forger.core.counters().coap;
    assert_eq!((counters.notifications_sent, counters.unmatched), (20, 0));
}

/// It receives a ping at its second port, and holds back the answer until a newer record was received. Then both this and
/// another one come in one datagram from elsewhere: the answer is read first, but the session has moved on already.
#[test]
fn an_answer_to_a_ping_does_not_prove_the_address_that_its_own_datagram_moves_to() {
    let mut forger = forger(5, false);
    forger.acknowledges = false;
    forger.set_attribute("a", &format!("\"{}\"", "longer ".repeat(100)));
    forger.run_for(SECOND / 2);
    forger.port = HOME[1];
    forger.post(Type::NonConfirmable);
    forger.run_for(SECOND / 2);
    let mut received = forger.received.iter();
    let is_ping =
        |message: &&Message| (message.kind, message.code) == (Type::Confirmable, Code::EMPTY);
    let ping = received.find(is_ping).unwrap();
    let answer = Message::empty(Type::Reset, ping.message_id);
    let answer = forger.client.send(&answer.encode(4).unwrap());
    forger.post(Type::NonConfirmable);
    forger.run_for(SECOND);
    assert!(forger.is_path_unproven());
    forger.port = VICTIMS[0];
    let other = forger
        .client
        .send(&Message::empty(Type::Reset, 0).encode(4).unwrap());
    forger.send_datagram([answer.clone(), other].concat());
    forger.run_for(SECOND);
    assert_eq!(forger.current_port(), VICTIMS[0]);
    assert!(forger.is_path_unproven());
    assert_eq!(forger.core.counters().dtls.moved, 2);
}
