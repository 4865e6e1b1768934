//! What a process that has the group's secret can't do to a gateway: a member with faults, or one of a later version. It seals
//! its frames by itself, after the documentation of the format alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test says by a panic what is wrong, and owns its clock; clippy.toml's exception knows #[test] functions only"
)]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use replicas::model::Model;
use replicas::store::{Call, Reply};
use replicas::{
    GroupSecret, Instance, Name, Node, Output, Owner, Path, Replica, SessionKey, Settings,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const SECRET: [u8; 32] = [7; 32];

/// A process that holds a lease and sends what it likes.
struct Liar {
    instance: Instance,
    counter: u64,
}

impl Liar {
    fn seal(&mut self, to: Instance, frame: &[u8]) -> Vec<u8> {
        let pair = [self.instance.0, to.0].concat();
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &pair).extract(&SECRET);
        let info = [&b"coaps-gateway replica hop"[..]];
        let key = UnboundKey::from(secret.expand(&info, &AES_256_GCM).unwrap());
        let mut nonce = [0; NONCE_LEN];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        let mut text = frame.to_vec();
        LessSafeKey::new(key)
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([1]),
                &mut text,
            )
            .unwrap();
        let counter = self.counter.to_be_bytes();
        self.counter += 1;
        [&[1][..], &self.instance.0, &counter, &text].concat()
    }
}

/// A datagram for this session, passed on.
fn forward(id: u64, key: SessionKey, length: usize) -> Vec<u8> {
    let path = [&[4, 192, 0, 2, 1][..], &5_684_u16.to_be_bytes(), &[0]].concat();
    [
        &[1][..],
        &id.to_be_bytes(),
        &[1],
        &key.0,
        &path,
        &vec![9; length],
    ]
    .concat()
}

/// What a gateway wants done, apart from calls.
#[derive(Default)]
struct Done {
    hops: Vec<(SocketAddr, Vec<u8>)>,
    delivered: usize,
    others: usize,
}

struct Store {
    now: Instant,
    model: Model,
    is_away: bool,
}

impl Store {
    fn new() -> Store {
        let now = Instant::now();
        Store {
            now,
            model: Model::new(now, 1),
            is_away: false,
        }
    }

    fn lease(&mut self, liar: &Liar, length: Duration) -> Owner {
        let call = Call::Lease {
            had: None,
            instance: liar.instance,
            address: address(liar.instance),
            length,
            seen: 0,
            superseded_seen: 0,
        };
        match self.model.call(self.now, &call) {
            Reply::Leased { owner, .. } => owner,
            other => panic!("{other:?}"),
        }
    }

    /// The liar takes a session over, whose owner has no lease any more.
    fn take_over(&mut self, liar: &Liar, key: SessionKey) {
        let owner = self.lease(liar, Duration::from_secs(3_600));
        let call = Call::Claim {
            name: Name::Session(key),
            owner,
            held: None,
            take: true,
            block: 16,
            pace: 64,
        };
        let reply = self.model.call(self.now, &call);
        assert!(matches!(reply, Reply::Claimed { .. }), "{reply:?}");
    }

    fn run(&mut self, replica: &mut Replica) -> Done {
        let mut done = Done::default();
        replica.handle_timeout(self.now);
        while let Some(output) = replica.poll() {
            match output {
                Output::Call { ticket, call } => {
                    let reply = if self.is_away {
                        Reply::Failed
                    } else {
                        self.model.call(self.now, &call)
                    };
                    replica.handle_reply(self.now, ticket, reply);
                }
                Output::Write { key } => _ = replica.store(self.now, key, b"row"),
                Output::Hop { to, bytes } => done.hops.push((to, bytes)),
                Output::Deliver { .. } => done.delivered += 1,
                _ => done.others += 1,
            }
        }
        done
    }

    fn pass(&mut self, length: Duration, replicas: &mut [&mut Replica]) -> Done {
        let mut all = Done::default();
        let end = self.now + length;
        while self.now < end {
            self.now += Duration::from_millis(50);
            for replica in &mut *replicas {
                let done = self.run(replica);
                all.hops.extend(done.hops);
                all.delivered += done.delivered;
                all.others += done.others;
            }
        }
        all
    }
}

const fn instance(number: u8) -> Instance {
    Instance([number; 16])
}

fn address(instance: Instance) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::from(instance.0[0])))
}

fn gateway(store: &Store, number: u8) -> Replica {
    let instance = instance(number);
    let secret = GroupSecret::new(SECRET);
    let settings = Settings::default();
    Replica::new(store.now, settings, secret, instance, address(instance)).unwrap()
}

fn liar() -> Liar {
    Liar {
        instance: instance(200),
        counter: 0,
    }
}

const fn key(number: u8) -> SessionKey {
    SessionKey([0, number, 1, 2, 3, 4, 5, 6])
}

/// A gateway with sessions that are stored, and a liar in its list.
fn fixture() -> (Store, Replica, Liar) {
    let mut store = Store::new();
    let liar = liar();
    let mut gateway = gateway(&store, 1);
    store.run(&mut gateway);
    store.lease(&liar, Duration::from_secs(3_600));
    for number in 0..50 {
        gateway.establish(store.now, key(number), 10, None, None);
    }
    store.pass(Duration::from_secs(2), &mut [&mut gateway]);
    assert!(gateway.is_protected(key(49)));
    (store, gateway, liar)
}

fn path() -> Path {
    Path {
        remote: ([192, 0, 2, 1], 5_684).into(),
        local: None,
    }
}

#[test]
fn whatever_a_member_sends_has_one_small_frame_as_its_answer_at_most() {
    let (mut store, mut gateway, mut liar) = fixture();
    let mut random = fastrand::Rng::with_seed(11);
    let mut answers = 0;
    for round in 0..20_000_u64 {
        let frame = match random.u8(..4) {
            0 => (0..random.usize(..80)).map(|_| random.u8(..7)).collect(),
            1 => forward(round, key(random.u8(..)), random.usize(..3_000)),
            2 => [&[random.u8(2..7)][..], &random.u64(..64).to_be_bytes()].concat(),
            _ => {
                let mut frame = forward(round, key(random.u8(..)), random.usize(..40));
                let at = random.usize(..frame.len());
                frame[at] ^= 1 << random.u8(..8);
                frame
            }
        };
        let sealed = liar.seal(instance(1), &frame);
        gateway.handle_hop(store.now, &sealed);
        let done = store.run(&mut gateway);
        assert!(done.hops.len() <= 1, "{frame:?}");
        assert!(
            done.hops
                .iter()
                .all(|(to, bytes)| *to == address(liar.instance) && bytes.len() < 60)
        );
        assert!(done.delivered + done.others <= 1, "{frame:?}");
        answers += done.hops.len();
        // The same once more is nothing.
        let bad = gateway.counters().bad_frames;
        gateway.handle_hop(store.now, &sealed);
        assert_eq!(gateway.counters().bad_frames, bad + 1);
        assert!(store.run(&mut gateway).hops.is_empty());
    }
    assert!(answers > 1_000, "{answers}");
    // Its sessions are as they were.
    for number in 0..50 {
        assert!(gateway.serves(store.now, key(number)));
    }
}

#[test]
fn datagrams_that_a_member_sends_to_a_gateway_that_may_not_serve_have_a_bound() {
    let (mut store, mut gateway, mut liar) = fixture();
    // The store is away, and the liar promises nothing.
    store.is_away = true;
    store.pass(Duration::from_secs(5), &mut [&mut gateway]);
    assert!(!gateway.serves(store.now, key(1)));
    for id in 0..20_000 {
        let number = u8::try_from(id % 50).unwrap();
        let sealed = liar.seal(instance(1), &forward(id, key(number), 1_000));
        gateway.handle_hop(store.now, &sealed);
        assert!(store.run(&mut gateway).hops.is_empty());
    }
    let [sessions, waiting, calls] = gateway.sizes();
    assert_eq!((sessions, waiting), (50, 200));
    assert!(calls < 10, "{calls}");
    // Nothing of it is there for longer than it may wait.
    store.pass(Duration::from_secs(6), &mut [&mut gateway]);
    assert_eq!(gateway.sizes()[1], 0);
}

#[test]
fn who_has_no_lease_any_more_is_not_listened_to() {
    let (mut store, mut gateway, mut liar) = fixture();
    let before = liar.seal(instance(1), &forward(1, key(1), 40));
    gateway.handle_hop(store.now, &before);
    assert_eq!(store.run(&mut gateway).delivered, 1);
    store.lease(&liar, Duration::from_millis(100));
    store.pass(Duration::from_secs(2), &mut [&mut gateway]);
    let bad = gateway.counters().bad_frames;
    let sealed = liar.seal(instance(1), &forward(2, key(1), 40));
    gateway.handle_hop(store.now, &sealed);
    let done = store.run(&mut gateway);
    assert_eq!((done.delivered, done.hops.len()), (0, 0));
    assert_eq!(gateway.counters().bad_frames, bad + 1);
}

#[test]
fn a_promise_that_was_not_asked_for_is_none() {
    let (mut store, mut gateway, mut liar) = fixture();
    store.is_away = true;
    let end = store.now + Duration::from_secs(5);
    while store.now < end {
        for id in [0, 1_000, u64::MAX] {
            let promise = [&[6][..], &u64::to_be_bytes(id)].concat();
            let sealed = liar.seal(instance(1), &promise);
            gateway.handle_hop(store.now, &sealed);
        }
        store.pass(Duration::from_millis(100), &mut [&mut gateway]);
    }
    assert!(!gateway.serves(store.now, key(1)));
    // Those that were: they are numbered from 1.
    for id in 1..100 {
        let promise = [&[6][..], &u64::to_be_bytes(id)].concat();
        let sealed = liar.seal(instance(1), &promise);
        gateway.handle_hop(store.now, &sealed);
    }
    assert!(gateway.is_detached(store.now));
}

/// Frames that pass a datagram on: they are longer than the others.
fn forwards(done: &Done) -> usize {
    done.hops
        .iter()
        .filter(|(_, bytes)| bytes.len() > 100)
        .count()
}

#[test]
fn what_was_passed_on_is_not_passed_on_again() {
    let (mut store, mut gateway, mut liar) = fixture();
    store.is_away = true;
    store.pass(Duration::from_secs(4), &mut [&mut gateway]);
    store.take_over(&liar, key(1));
    let sealed = liar.seal(instance(1), &forward(1, key(1), 200));
    gateway.handle_hop(store.now, &sealed);
    // And one that the gateway itself has received.
    gateway.received_for_session(store.now, key(1), path(), vec![8; 200]);
    store.is_away = false;
    let done = store.pass(Duration::from_secs(6), &mut [&mut gateway]);
    assert_eq!(gateway.counters().lost, 1);
    assert_eq!(forwards(&done), 1);
}

#[test]
fn an_owner_that_says_it_is_none_gets_a_datagram_once() {
    let (mut store, mut gateway, mut liar) = fixture();
    store.is_away = true;
    store.pass(Duration::from_secs(4), &mut [&mut gateway]);
    store.take_over(&liar, key(1));
    store.is_away = false;
    store.pass(Duration::from_secs(2), &mut [&mut gateway]);
    gateway.received_for_session(store.now, key(1), path(), vec![8; 200]);
    let mut frames = 0;
    let end = store.now + Duration::from_secs(6);
    while store.now < end {
        let done = store.pass(Duration::from_millis(50), &mut [&mut gateway]);
        frames += forwards(&done);
        for id in 0..20 {
            let not_held = [&[3][..], &u64::to_be_bytes(id)].concat();
            let sealed = liar.seal(instance(1), &not_held);
            gateway.handle_hop(store.now, &sealed);
        }
    }
    assert_eq!(frames, 1);
    // Each of its answers costs a call at most.
    assert!(
        gateway.counters().claims < 20 * 120,
        "{:?}",
        gateway.counters()
    );
}

#[test]
fn a_late_answer_of_the_node_in_the_connection_id_does_not_undo_what_the_store_has_said() {
    let (mut store, mut gateway, mut owner) = fixture();
    let mut maker = Liar {
        instance: instance(201),
        counter: 0,
    };
    let node = store.lease(&maker, Duration::from_secs(3_600)).node;
    let moved = SessionKey([node.0, 1, 2, 3, 4, 5, 6, 7]);
    let create = Call::Create {
        key: moved,
        owner: store.lease(&owner, Duration::from_secs(3_600)),
        address: None,
        device: None,
        observes: false,
        start: 10,
        born: 0,
        is_again: false,
        block: 16,
        pace: 64,
        row: vec![7; 100],
    };
    let reply = store.model.call(store.now, &create);
    assert!(matches!(reply, Reply::Created { .. }), "{reply:?}");
    store.pass(Duration::from_secs(2), &mut [&mut gateway]);
    let before = gateway.counters().claims;
    gateway.received_for_session(store.now, moved, path(), vec![8; 200]);
    let to = |done: Done| done.hops.into_iter().map(|(to, _)| to).collect::<Vec<_>>();
    assert_eq!(to(store.run(&mut gateway)), [address(maker.instance)]);
    // Ids are counted from 1. The first answer leads to the store, which names the owner.
    let not_held = [&[3][..], &u64::to_be_bytes(1)].concat();
    for round in 0..10 {
        let sealed = maker.seal(instance(1), &not_held);
        gateway.handle_hop(store.now, &sealed);
        let expected: &[SocketAddr] = if round == 0 {
            &[address(owner.instance)]
        } else {
            &[]
        };
        assert_eq!(to(store.run(&mut gateway)), expected);
    }
    assert_eq!(gateway.counters().claims, before + 1);
    // The next datagram goes there at once.
    let received = [&[2][..], &u64::to_be_bytes(1)].concat();
    let sealed = owner.seal(instance(1), &received);
    gateway.handle_hop(store.now, &sealed);
    gateway.received_for_session(store.now, moved, path(), vec![8; 200]);
    assert_eq!(to(store.run(&mut gateway)), [address(owner.instance)]);
    assert_eq!(gateway.counters().claims, before + 1);
}

#[test]
fn no_datagram_goes_round_between_gateways() {
    let mut store = Store::new();
    let mut gateways: Vec<Replica> = (1..=3).map(|number| gateway(&store, number)).collect();
    let [a, b, c] = &mut gateways[..] else {
        unreachable!();
    };
    store.pass(Duration::from_secs(6), &mut [a, b, c]);
    // A session of the third gateway, which dies without its lease being over, and one that no node has.
    let node = c.owner().unwrap().node;
    let of_third = SessionKey([node.0, 1, 2, 3, 4, 5, 6, 7]);
    c.establish(store.now, of_third, 10, None, None);
    store.pass(Duration::from_secs(1), &mut [a, b, c]);
    assert!(c.is_protected(of_third));
    let Node(first) = a.owner().unwrap().node;
    let of_nobody = SessionKey([first, 9, 9, 9, 9, 9, 9, 9]);
    let mut frames = 0;
    let mut random = fastrand::Rng::with_seed(12);
    let datagrams = 400;
    let mut in_flight: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
    for round in 0..datagrams + 400 {
        if round < datagrams {
            let key = if random.bool() { of_third } else { of_nobody };
            let to = if random.bool() { &mut *a } else { &mut *b };
            to.received_for_session(store.now, key, path(), vec![1; 100]);
        }
        // Frames overtake one another.
        for _ in 0..in_flight.len().min(5) {
            let (to, bytes) = in_flight.swap_remove(random.usize(..in_flight.len()));
            for (number, gateway) in [(1, &mut *a), (2, &mut *b)] {
                if to == address(instance(number)) {
                    gateway.handle_hop(store.now, &bytes);
                }
            }
        }
        let done = store.pass(Duration::from_millis(50), &mut [a, b]);
        frames += done.hops.len();
        in_flight.extend(done.hops);
    }
    // Each at most twice, and an answer to each.
    assert!(frames > 100 && frames <= 4 * datagrams, "{frames}");
    assert_eq!((a.sizes()[1], b.sizes()[1]), (0, 0));
}
