//! What who reads and writes the network between the nodes can't do.

use super::*;
use std::collections::HashSet;

fn ask(id: u64) -> Frame {
    Frame::Ask { id, fence: 9 }
}

/// A process with this number.
fn process(number: u32) -> Instance {
    let mut bytes = [9; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Instance(bytes)
}

#[test]
fn a_frame_that_is_sent_back_or_on_to_another_node_is_dropped() {
    let (mut a, mut b) = (channels(A), channels(B));
    let sealed = a.seal(B, &ask(1)).unwrap();
    assert_eq!(a.open(&sealed), None, "its own");
    // With the name of the other process in front, so that the key of the direction is looked for.
    let mut reflected = sealed.clone();
    reflected[1..17].copy_from_slice(&B.0);
    assert_eq!(a.open(&reflected), None, "as if it were B's");
    let mut c = Channels::new(GroupSecret::new([7; 32]), C);
    c.set_members(&[member(A, 1), member(B, 2)]);
    assert_eq!(c.open(&sealed), None, "at C");
    assert_eq!(b.open(&sealed), Some((A, ask(1))));
    // A member with the receiver's own name, as the store says, is none.
    b.set_members(&[member(B, 1), member(A, 2)]);
    assert_eq!(b.seal(B, &ask(1)), None);
}

#[test]
fn no_two_frames_have_one_key_and_nonce() {
    let mut a = channels(A);
    a.set_members(&[member(B, 2), member(C, 3)]);
    let mut counters = HashSet::new();
    for round in 0..100 {
        // The list changes, and changes back.
        match round % 3 {
            0 => a.set_members(&[member(B, 2)]),
            1 => a.set_members(&[]),
            _ => a.set_members(&[member(C, 3), member(B, 2)]),
        }
        for to in [B, C] {
            if let Some(sealed) = a.seal(to, &ask(1)) {
                assert!(counters.insert(sealed[17..25].to_vec()));
            }
        }
    }
    assert!(counters.len() > 90);
    // Another process with the same node number, and the other direction, have other keys.
    let text = |from: Instance, to: Instance| {
        let mut channels = Channels::new(GroupSecret::new([7; 32]), from);
        channels.set_members(&[member(to, 2)]);
        channels.seal(to, &ask(1)).unwrap()[25..].to_vec()
    };
    let texts = HashSet::from([text(A, B), text(B, A), text(C, B), text(A, C)]);
    assert_eq!(texts.len(), 4);
}

#[test]
fn frames_that_overtake_one_another_are_accepted_once_each() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut a = channels(A);
    let others: Vec<Instance> = (0..62).map(process).collect();
    let mut members = vec![member(A, 1), member(B, 2)];
    members.extend(others.iter().map(|other| member(*other, 3)));
    a.set_members(&members);
    let mut b = channels(B);
    // Frames for B are one in 63, and 16 of them may overtake one another.
    let mut in_flight = Vec::new();
    let mut received = HashSet::new();
    for id in 0..2_000 {
        for other in &others {
            a.seal(*other, &ask(id)).unwrap();
        }
        in_flight.push(a.seal(B, &ask(id)).unwrap());
        if in_flight.len() > 15 {
            let sealed = in_flight.swap_remove(random.usize(..in_flight.len()));
            for copy in 0..random.usize(1..4) {
                if let Some((_, frame)) = b.open(&sealed) {
                    assert!(copy == 0 && received.insert(frame.encode()));
                }
            }
        }
    }
    // Only what was kept back for more than 130 frames could be lost, and the last ones are still on their way.
    assert!(received.len() > 1_980, "{}", received.len());
}

#[test]
fn any_number_of_processes_that_come_and_go_is_bounded_and_lets_no_frame_of_a_member_in_twice() {
    let mut b = channels(B);
    let mut a = channels(A);
    let mut recorded: Vec<Vec<u8>> = Vec::new();
    for number in 0..5_000 {
        // A is the last in the list: processes with lower node numbers have come.
        b.set_members(&[member(process(number), 1), member(B, 2), member(A, 3)]);
        assert!(b.len() <= 1_024 + 64);
        if number % 100 == 0 {
            let sealed = a.seal(B, &ask(u64::from(number))).unwrap();
            assert!(b.open(&sealed).is_some());
            recorded.push(sealed);
        }
        for old in recorded.iter().rev().take(3) {
            assert_eq!(b.open(old), None, "received before");
        }
    }
}

#[test]
fn what_is_read_as_a_frame_never_makes_more_of_it() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..200_000 {
        let length = random.usize(..64);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        if let Some(kind) = bytes.first_mut() {
            *kind %= 8;
        }
        if let Some(by) = bytes.get_mut(9) {
            *by = 1 + *by % 2;
        }
        if let Some(family) = bytes.get_mut(18) {
            *family = [0, 4, 6, 4][usize::from(*family % 4)];
        }
        if let Some(frame) = Frame::decode(&bytes) {
            assert!(frame.encode().len() <= bytes.len());
            assert_eq!(Frame::decode(&frame.encode()), Some(frame));
        }
    }
}
