//! Random clients that show each other's tickets and session ids, changed ones too, with secrets that may be others': who is
//! connected is who has the secret of a session, for its lifetime, or else the certificate's key.

use super::moving::{Bench, options};
use super::*;
use crate::device::CertificateId;
use dtls_server::suite::CipherSuite;
use dtls_test_client::{Client, Options, Resumable};
use fastrand::Rng;

const RUNS: usize = if cfg!(feature = "slow-tests") { 100 } else { 2 };
const HANDSHAKES: u64 = 500;
const LIFETIME: Duration = Duration::from_secs(2_000);

/// A session of a full handshake.
struct Known {
    client: usize,
    since: Instant,
    session: Resumable,
}

/// What a client shows; and the client and time of the session whose secret it uses.
fn mixed(known: &[Known], random: &mut Rng) -> Option<(Resumable, (usize, Instant))> {
    let latest = &known[known.len().saturating_sub(12)..];
    let owner = random.choice(latest)?;
    let mut session = owner.session.clone();
    match random.u8(..8) {
        0 => session.id = random.choice(latest)?.session.id.clone(),
        1 => session.ticket = random.choice(latest)?.session.ticket.clone(),
        2 => session
            .ticket
            .truncate(random.usize(..=session.ticket.len())),
        3 => session.ticket = (0..random.usize(1..1_100)).map(|_| random.u8(..)).collect(),
        4 => {
            if let Some(byte) = random.choice(session.ticket.iter_mut()) {
                *byte ^= 1 << random.u8(..8);
            }
        }
        5 => session.master_secret = random.choice(latest)?.session.master_secret.clone(),
        _ => {}
    }
    let owner = latest
        .iter()
        .find(|known| known.session.master_secret.as_bytes() == session.master_secret.as_bytes())?;
    Some((session, (owner.client, owner.since)))
}

#[test]
fn who_resumes_a_session_has_its_secret_and_its_time_is_not_over() {
    let (mut resumed, mut full, mut none, mut over) = (0, 0, 0, 0);
    for run in 0..RUNS {
        let seed = u64::try_from(run).unwrap();
        let random = &mut Rng::with_seed(seed);
        let mut bench = Bench::new(Parameters {
            resumable_sessions: 100,
            resumption_lifetime: LIFETIME,
            ..Parameters::default()
        });
        let clients: Vec<Options> = (0..4).map(|_| options()).collect();
        let ids = clients.iter().map(|options| {
            let credentials = options.credentials.as_ref().unwrap();
            CertificateId::of(&credentials.chain[0])
        });
        let ids: Vec<CertificateId> = ids.collect();
        let mut known: Vec<Known> = Vec::new();
        for handshake in 0..HANDSHAKES {
            let client = random.usize(..clients.len());
            let shown = mixed(&known, random).filter(|_| random.u8(..6) > 0);
            let options = Options {
                tickets: random.u8(..3) > 0,
                extended_master_secret: random.u8(..6) > 0,
                session: shown.as_ref().map(|(session, _)| session.clone()),
                ..clients[client].clone()
            };
            let options = match random.u8(..4) {
                0 => Options {
                    cipher_suites: vec![random.choice(CipherSuite::ALL).unwrap().number()],
                    ..options
                },
                _ => options,
            };
            let has_secret = options.extended_master_secret;
            bench.events.clear();
            let mut device = Client::new(options, (seed << 32) + handshake);
            let hello = device.start();
            bench.exchange(1, &mut device, hello);
            let established = bench.events.iter().find_map(|event| match event {
                Event::Established {
                    session,
                    certificate,
                    ..
                } => Some((*session, *certificate)),
                _ => None,
            });
            match established {
                Some((session, certificate)) if device.is_resumed() => {
                    let (_, (owner, since)) = shown.unwrap();
                    assert_eq!(certificate, ids[owner], "{seed}, {handshake}");
                    assert!(bench.now - since < LIFETIME && has_secret);
                    assert!(bench.endpoint.session_of(path(1), &[22]).is_some());
                    bench.endpoint.mark_registered(bench.now, session);
                    resumed += 1;
                }
                Some((session, certificate)) => {
                    assert_eq!(certificate, ids[client], "{seed}, {handshake}");
                    if random.u8(..3) > 0 {
                        bench.endpoint.mark_registered(bench.now, session);
                    }
                    let session = device.resumable().filter(|_| has_secret);
                    known.extend(session.map(|session| Known {
                        client,
                        since: bench.now,
                        session,
                    }));
                    let is_over = |since| bench.now - since >= LIFETIME;
                    over += usize::from(shown.is_some_and(|(_, (_, since))| is_over(since)));
                    full += 1;
                }
                None => none += 1,
            }
            // What is left of the handshake ends.
            bench.now += Duration::from_secs(random.u64(61..200));
            bench.endpoint.handle_timeout(bench.now);
            bench.sent();
            while bench.endpoint.poll_event().is_some() {}
        }
    }
    println!("{resumed} resumed, {full} full, {none} failed, {over} too late");
    assert!(resumed > 50 && full > 50 && none > 20 && over > 5);
}
