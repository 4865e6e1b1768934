use super::*;
use crate::id::Node;
use crate::model::Model;

const KEY: SessionKey = SessionKey([1; 8]);

struct Fixture {
    now: Instant,
    model: Model,
}

impl Fixture {
    fn new() -> Fixture {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        Fixture {
            now,
            model: Model::new(now, 1),
        }
    }

    fn replica(&self, instance: u8) -> Replica {
        let address = SocketAddr::from(([127, 0, 0, 1], u16::from(instance)));
        Replica::new(
            self.now,
            Settings::default(),
            GroupSecret::new([7; 32]),
            Instance([instance; 16]),
            address,
        )
        .unwrap()
    }

    /// Carries out what a node wants, with or without giving it the replies. Returns its other outputs.
    fn run(&mut self, replica: &mut Replica, replies: bool) -> Vec<Output> {
        let mut outputs = Vec::new();
        replica.handle_timeout(self.now);
        while let Some(output) = replica.poll() {
            if let Output::Call { ticket, call } = output {
                let reply = self.model.call(self.now, &call);
                if replies {
                    replica.handle_reply(self.now, ticket, reply);
                }
            } else {
                outputs.push(output);
            }
        }
        outputs
    }

    /// Lets time pass in small steps, for these nodes.
    fn pass(&mut self, length: Duration, replicas: &mut [&mut Replica]) -> Vec<Output> {
        let mut outputs = Vec::new();
        let end = self.now + length;
        while self.now < end {
            self.now += Duration::from_millis(50);
            for replica in &mut *replicas {
                outputs.extend(self.run(replica, true));
            }
        }
        outputs
    }

    fn receive(&self, replica: &mut Replica) {
        let path = Path {
            remote: ([192, 0, 2, 1], 1).into(),
            local: None,
        };
        replica.received_for_session(self.now, KEY, path, vec![1]);
    }
}

fn is_restored(outputs: &[Output]) -> bool {
    outputs
        .iter()
        .any(|output| matches!(output, Output::Restore { key, row } if *key == KEY && row[..] == *b"new"))
}

#[test]
fn a_session_in_memory_is_not_used_if_another_node_has_had_it_whatever_reply_was_lost() {
    let mut fixture = Fixture::new();
    let (mut a, mut b) = (fixture.replica(1), fixture.replica(2));
    a.establish(fixture.now, KEY, 0, None, None);
    fixture.pass(Duration::from_secs(6), &mut [&mut a, &mut b]);
    a.store(fixture.now, KEY, b"old");
    fixture.pass(Duration::from_millis(100), &mut [&mut a, &mut b]);
    assert!(a.is_protected(KEY));
    // A is cut off; B takes over, serves, and dies.
    fixture.pass(Duration::from_secs(4), &mut [&mut b]);
    assert!(!a.serves(fixture.now, KEY));
    fixture.receive(&mut b);
    fixture.pass(Duration::from_millis(100), &mut [&mut b]);
    assert!(b.serves(fixture.now, KEY));
    b.store(fixture.now, KEY, b"new");
    fixture.pass(Duration::from_millis(100), &mut [&mut b]);
    let owner = b.owner();
    assert_eq!(fixture.model.owner_of(KEY), owner);
    // A is back. It takes the session over, but the reply is lost.
    fixture.pass(Duration::from_secs(10), &mut [&mut a]);
    assert!(!a.serves(fixture.now, KEY));
    fixture.receive(&mut a);
    fixture.run(&mut a, false);
    assert_eq!(fixture.model.owner_of(KEY), a.owner());
    let outputs = fixture.pass(Duration::from_secs(2), &mut [&mut a]);
    assert!(
        is_restored(&outputs),
        "what is in memory is older than the row"
    );
    assert!(a.serves(fixture.now, KEY));
}

#[test]
fn a_session_that_no_other_node_has_had_goes_on_from_memory() {
    let mut fixture = Fixture::new();
    let mut a = fixture.replica(1);
    a.establish(fixture.now, KEY, 0, None, None);
    fixture.pass(Duration::from_secs(6), &mut [&mut a]);
    a.store(fixture.now, KEY, b"old");
    fixture.pass(Duration::from_millis(100), &mut [&mut a]);
    let first = a.owner();
    // A can't reach the store for longer than a lease; and the reply to its first call that arrives is lost.
    fixture.now += Duration::from_secs(8);
    fixture.run(&mut a, false);
    let outputs = fixture.pass(Duration::from_millis(1_500), &mut [&mut a]);
    assert_ne!(a.owner(), first, "a lease that has ended is another one");
    assert!(a.serves(fixture.now, KEY), "it confirms it by itself");
    assert!(!is_restored(&outputs));
    fixture.receive(&mut a);
    let outputs = fixture.pass(Duration::from_millis(100), &mut [&mut a]);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Deliver { .. }))
    );
}

#[test]
fn a_lease_that_was_given_back_stays_so() {
    let mut fixture = Fixture::new();
    let mut a = fixture.replica(1);
    a.handle_timeout(fixture.now);
    let Some(Output::Call { ticket, call }) = a.poll() else {
        panic!("no call for a lease");
    };
    let reply = fixture.model.call(fixture.now, &call);
    a.stop(fixture.now);
    a.handle_reply(fixture.now, ticket, reply);
    fixture.pass(Duration::from_secs(5), &mut [&mut a]);
    assert_eq!(a.owner(), None);
    assert!(!a.is_ready(fixture.now));
}

#[test]
fn calls_are_bounded_and_a_lease_is_called_for_all_the_same() {
    let mut fixture = Fixture::new();
    let mut a = fixture.replica(1);
    a.settings.max_calls = 4;
    fixture.pass(Duration::from_millis(500), &mut [&mut a]);
    for number in 0..100_u8 {
        let key = SessionKey([number; 8]);
        a.establish(fixture.now, key, 0, None, None);
        a.store(fixture.now, key, b"row");
    }
    assert_eq!(a.sizes()[2], 4);
    assert_eq!(a.counters().refused_calls, 96);
    fixture.now += Duration::from_secs(1);
    a.handle_timeout(fixture.now);
    let is_lease = |output: Output| {
        matches!(
            output,
            Output::Call {
                call: Call::Lease { .. },
                ..
            }
        )
    };
    assert!(std::iter::from_fn(|| a.poll()).any(is_lease));
    assert_eq!(a.owner().map(|owner| owner.node), Some(Node(0)));
}

#[test]
fn a_session_whose_first_reply_was_lost_and_that_is_confirmed_later_is_followed() {
    let mut fixture = Fixture::new();
    let mut a = fixture.replica(1);
    fixture.pass(Duration::from_secs(6), &mut [&mut a]);
    a.establish(fixture.now, KEY, 0, None, Some(crate::DeviceKey([1; 8])));
    a.store(fixture.now, KEY, b"row");
    // The store has it, and its reply is lost; then the lease ends.
    fixture.run(&mut a, false);
    fixture.now += Duration::from_secs(8);
    let outputs = fixture.pass(Duration::from_secs(6), &mut [&mut a]);
    assert!(a.serves(fixture.now, KEY));
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Follow { key } if *key == KEY))
    );
}
