mod attacks;

use super::window::{SIZE, Window};
use super::{Channels, Frame};
use crate::id::{AddressKey, Instance, Member, Name, Node, Owner, SessionKey};
use crate::path::Path;
use crate::secret::GroupSecret;

const A: Instance = Instance([1; 16]);
const B: Instance = Instance([2; 16]);
const C: Instance = Instance([3; 16]);

fn member(instance: Instance, node: u8) -> Member {
    Member {
        owner: Owner {
            node: Node(node),
            fence: u64::from(node),
        },
        instance,
        address: "192.0.2.1:5685".parse().unwrap(),
    }
}

fn channels(me: Instance) -> Channels {
    let mut channels = Channels::new(GroupSecret::new([7; 32]), me);
    channels.set_members(&[member(A, 1), member(B, 2)]);
    channels
}

fn frames() -> Vec<Frame> {
    let path = |remote: &str, local: Option<&str>| Path {
        remote: remote.parse().unwrap(),
        local: local.map(|local| local.parse().unwrap()),
    };
    vec![
        Frame::Forward {
            id: 7,
            name: Name::Session(SessionKey([1; 8])),
            path: path("192.0.2.7:5684", Some("192.0.2.1")),
            datagram: vec![1, 2, 3],
        },
        Frame::Forward {
            id: u64::MAX,
            name: Name::Address(AddressKey([2; 8])),
            path: path("[fe80::1%3]:1", Some("2001:db8::1")),
            datagram: vec![],
        },
        Frame::Received { id: 1 },
        Frame::NotHeld { id: 2 },
        Frame::Send {
            path: path("[2001:db8::2]:5684", None),
            datagram: vec![9; 1_400],
        },
        Frame::Ask { id: 3, fence: 9 },
        Frame::Promise { id: 4 },
    ]
}

#[test]
fn each_frame_is_read_as_it_was_written_and_no_part_of_it_is_one() {
    for frame in frames() {
        let bytes = frame.encode();
        assert_eq!(Frame::decode(&bytes), Some(frame.clone()));
        let has_datagram = matches!(frame, Frame::Forward { .. } | Frame::Send { .. });
        if !has_datagram {
            assert_eq!(Frame::decode(&[&bytes[..], &[0]].concat()), None);
            for end in 0..bytes.len() {
                assert_eq!(Frame::decode(&bytes[..end]), None);
            }
        }
    }
    assert_eq!(Frame::decode(&[7, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(Frame::decode(&[]), None);
}

#[test]
fn a_frame_reaches_its_receiver_once() {
    let (mut a, mut b) = (channels(A), channels(B));
    for frame in frames() {
        let sealed = a.seal(B, &frame).unwrap();
        assert_eq!(b.open(&sealed), Some((A, frame)));
        assert_eq!(b.open(&sealed), None, "received before");
    }
}

#[test]
fn what_is_forged_or_of_others_is_dropped() {
    let (mut a, mut b) = (channels(A), channels(B));
    let sealed = a.seal(B, &Frame::Ask { id: 1, fence: 9 }).unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(b.open(&changed), None, "byte {at}");
        assert_eq!(b.open(&sealed[..at]), None, "cut at {at}");
    }
    // What A sent to another process is not B's, nor is what has A's own key.
    let mut others = Channels::new(GroupSecret::new([7; 32]), A);
    others.set_members(&[member(C, 2)]);
    assert_eq!(
        b.open(&others.seal(C, &Frame::Ask { id: 1, fence: 9 }).unwrap()),
        None
    );
    let mut forger = Channels::new(GroupSecret::new([8; 32]), A);
    forger.set_members(&[member(B, 2)]);
    assert_eq!(
        b.open(&forger.seal(B, &Frame::Ask { id: 1, fence: 9 }).unwrap()),
        None
    );
    // All that did not use up the counter.
    assert!(b.open(&sealed).is_some());
}

#[test]
fn a_process_without_lease_is_not_listened_to_and_its_window_stays() {
    let (mut a, mut b) = (channels(A), channels(B));
    let first = a.seal(B, &Frame::Ask { id: 1, fence: 9 }).unwrap();
    let second = a.seal(B, &Frame::Ask { id: 2, fence: 9 }).unwrap();
    assert!(b.open(&first).is_some());
    b.set_members(&[member(B, 2)]);
    assert_eq!(b.open(&second), None);
    assert_eq!(b.seal(A, &Frame::Ask { id: 1, fence: 9 }), None);
    b.set_members(&[member(A, 5), member(B, 2)]);
    assert_eq!(b.open(&first), None);
    assert_eq!(b.open(&second), Some((A, Frame::Ask { id: 2, fence: 9 })));
}

#[test]
fn the_window_accepts_each_counter_once() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut window = Window::default();
    let mut accepted = std::collections::HashSet::new();
    let (mut top, mut highest) = (0_u64, 0);
    for _ in 0..200_000 {
        top += if random.u8(..) == 0 {
            random.u64(..3 * SIZE)
        } else {
            1
        };
        let counter = top.saturating_sub(random.u64(..SIZE + SIZE / 5));
        let is_old = counter + SIZE <= highest;
        let expected = !is_old && !accepted.contains(&counter);
        assert_eq!(
            window.accept(counter),
            expected,
            "{counter}, highest {highest}"
        );
        if expected {
            accepted.insert(counter);
            highest = highest.max(counter);
        }
        if accepted.len() > 40_000 {
            accepted.retain(|other| other + 2 * SIZE > top);
        }
    }
    assert!(!window.accept(u64::MAX));
}
