use super::*;
use crate::crypto::random::SystemRandom;

const HOUR: Duration = Duration::from_secs(3600);

#[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
fn start() -> Instant {
    Instant::now()
}

fn tickets(now: Instant) -> Tickets {
    Tickets::new(&mut SystemRandom, now, HOUR).unwrap()
}

fn session() -> Session {
    let secret = MasterSecret::from_bytes(&[9; MASTER_SECRET]).unwrap();
    Session::new(vec![1; 32], CipherSuite::EcdheEcdsaAes128Ccm8, secret)
}

fn seal(tickets: &mut Tickets, now: Instant, peer: &[u8]) -> Vec<u8> {
    let ticket = tickets.seal(now, &session(), peer, &mut SystemRandom);
    ticket.unwrap().bytes
}

#[test]
fn a_ticket_has_the_session_and_its_client() {
    let now = start();
    let mut tickets = tickets(now);
    for peer in [&[][..], b"fingerprint", &[7; MAX_PEER]] {
        let ticket = tickets.seal(now, &session(), peer, &mut SystemRandom);
        let ticket = ticket.unwrap();
        assert_eq!(ticket.lifetime_hint, 3600);
        assert!(ticket.bytes.len() <= MAX_TICKET);
        assert_eq!(ticket.bytes.len(), HEADER + STATE + peer.len() + TAG);
        let opened = tickets.open(now, &ticket.bytes).unwrap();
        assert_eq!(opened.peer, peer);
        assert_eq!(opened.session.suite(), session().suite());
        assert_eq!(opened.session.id(), [0; 0]);
        let secret = opened.session.master_secret();
        assert_eq!(secret.as_bytes(), &[9; MASTER_SECRET]);
    }
    let too_long = [7; MAX_PEER + 1];
    let ticket = tickets.seal(now, &session(), &too_long, &mut SystemRandom);
    assert_eq!(ticket, None);
}

#[test]
fn no_ticket_shows_what_is_in_it() {
    let now = start();
    let mut tickets = tickets(now);
    let one = seal(&mut tickets, now, b"fingerprint");
    let two = seal(&mut tickets, now, b"fingerprint");
    assert!(!one.windows(11).any(|part| part == b"fingerprint"));
    assert!(!one.windows(16).any(|part| part == [9; 16]));
    // The same state is another ticket each time.
    assert_eq!(one[..NAME], two[..NAME]);
    assert_ne!(one[NAME..HEADER], two[NAME..HEADER]);
    assert_ne!(one[HEADER..], two[HEADER..]);
    assert_eq!(format!("{tickets:?}"), "Tickets { lifetime: 3600s, .. }");
}

#[test]
fn a_ticket_that_was_changed_cut_or_made_elsewhere_is_not_opened() {
    let now = start();
    let mut tickets = tickets(now);
    let ticket = seal(&mut tickets, now, b"fingerprint");
    assert!(tickets.open(now, &ticket).is_some());
    for place in 0..ticket.len() {
        for bit in [1, 0x80] {
            let mut forged = ticket.clone();
            forged[place] ^= bit;
            assert!(tickets.open(now, &forged).is_none(), "{place}");
        }
        assert!(tickets.open(now, &ticket[..place]).is_none(), "{place}");
        assert!(tickets.open(now, &ticket[place + 1..]).is_none(), "{place}");
    }
    for padding in [1, 16, 4096] {
        let padded = [&ticket[..], &vec![0; padding]].concat();
        assert!(tickets.open(now, &padded).is_none());
    }
    let mut other = super::tests::tickets(now);
    assert!(other.open(now, &ticket).is_none(), "another server");
    // By its name, too: the other key does not fit.
    let mut renamed = seal(&mut other, now, b"fingerprint");
    renamed[..NAME].copy_from_slice(&ticket[..NAME]);
    assert!(tickets.open(now, &renamed).is_none());
}

#[test]
fn a_ticket_is_valid_for_its_lifetime_whatever_the_key() {
    let now = start();
    let mut tickets = tickets(now);
    let minute = Duration::from_secs(60);
    // At the beginning and at the end of a key's time.
    for issued in [
        now,
        now + HOUR - minute,
        now + HOUR,
        now + 2 * HOUR - minute,
    ] {
        let ticket = seal(&mut tickets, issued, b"");
        // Others are issued meanwhile, with the next key at last.
        for minutes in 0..60 {
            let at = issued + minutes * minute;
            assert!(tickets.open(at, &ticket).is_some(), "{minutes}");
            if issued > now {
                seal(&mut tickets, at, b"");
            }
        }
        assert!(tickets.open(issued + HOUR, &ticket).is_none());
    }
}

#[test]
fn keys_rotate_and_the_last_but_one_is_gone() {
    let now = start();
    let mut tickets = tickets(now);
    let first = seal(&mut tickets, now, b"");
    let names: Vec<_> = (0..4)
        .map(|hours| seal(&mut tickets, now + hours * HOUR, b"")[..NAME].to_vec())
        .collect();
    for (number, name) in names.iter().enumerate() {
        assert!(!names[number + 1..].contains(name));
    }
    // Even for a clock that goes back.
    assert!(tickets.open(now, &first).is_none());
    assert!(tickets.previous.is_some());
}

/// Bug class 29: a server that has no random bytes issues nothing, rather than tickets under a key of zeros.
#[test]
fn class_29_a_key_of_zeros_is_refused() {
    struct Zeros;
    impl Random for Zeros {
        fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Unavailable> {
            buffer.fill(0);
            Ok(())
        }
    }
    let now = start();
    assert!(Tickets::new(&mut Zeros, now, HOUR).is_err());
    let mut tickets = tickets(now);
    let later = now + HOUR;
    assert_eq!(tickets.seal(later, &session(), b"", &mut Zeros), None);
    // The old key is still there, but issues no more.
    assert!(
        tickets
            .seal(later, &session(), b"", &mut SystemRandom)
            .is_some()
    );
}

/// Under the right key, as an older or newer server would have made them.
#[test]
fn a_state_of_another_form_is_not_read() {
    let mut state = vec![FORMAT, 0xc0, 0xae, EXTENDED_MASTER_SECRET];
    state.extend([0; 8]);
    state.extend([9; MASTER_SECRET]);
    state.extend([0, 2, 5, 6]);
    assert!(read(&state).is_ok());
    let with = |place: usize, bytes: &[u8]| {
        let mut changed = state.clone();
        changed[place..place + bytes.len()].copy_from_slice(bytes);
        read(&changed).is_ok()
    };
    assert!(!with(0, &[2]));
    assert!(!with(1, &[0, 0]), "no suite");
    assert!(!with(3, &[0]), "without an extended master secret");
    assert!(!with(3, &[3]));
    assert!(!with(12, &[0; MASTER_SECRET]), "class 30");
    assert!(!with(12 + MASTER_SECRET, &[0, 3]));
    assert!(!with(12 + MASTER_SECRET, &[0, 1]));
}
