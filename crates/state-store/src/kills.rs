//! Processes that are killed at any time, on a disk that loses what was not synced: no send number is used twice.
//!
//! Queue, tickets, bounds, and the writer's step are the real ones; the disk and the sessions are models. A commit may fail
//! and be on disk all the same, and a process may be killed before, in and after each commit, and while it starts.

use crate::disk_error::DiskError;
use crate::queue::{Batch, Queue};
use crate::send_numbers::{Block, SendNumbers};
use crate::simulated_disk::Rows;
use crate::store::{Settings, Store};
use crate::writer::{Disk, Shared, Writer};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// So small that sessions use many.
const BLOCK: Block = Block(8);
const KEYS: u64 = 4;

/// What is on disk, and what becomes of the next commits.
#[derive(Default)]
struct Platter {
    rows: Rows,
    random: fastrand::Rng,
}

struct UnreliableDisk(Arc<Mutex<Platter>>);

impl Disk for UnreliableDisk {
    fn commit(&mut self, batch: &Batch) -> Result<(), DiskError> {
        let mut platter = self.0.lock().unwrap();
        let fails = platter.random.u8(..4) == 0;
        // A commit that fails may be on disk, or come to be.
        if fails && platter.random.bool() {
            return Err(DiskError::Full);
        }
        platter.rows.apply(batch);
        match fails {
            true => Err(DiskError::Failed("not synced".to_owned())),
            false => Ok(()),
        }
    }

    fn tidy(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A session: which it is, so that numbers of its keys are compared, and the number of its next record.
struct Session {
    id: u64,
    next: u64,
    numbers: SendNumbers,
}

impl Session {
    fn row(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.id.to_be_bytes(), self.next.to_be_bytes()].concat())
    }

    fn restored(row: &[u8], numbers: SendNumbers, first: u64) -> Session {
        let [id, next] = row.as_chunks::<8>().0 else {
            panic!("{row:?}")
        };
        Session {
            id: u64::from_be_bytes(*id),
            // As an association does with the number of its export.
            next: u64::from_be_bytes(*next).max(first),
            numbers,
        }
    }
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Outcome {
    used: HashSet<(u64, u64)>,
    kills: u32,
    /// Records that could not be sent, for want of a block on disk.
    held: u64,
    restored: u64,
    windows: u64,
}

/// A process from its start to a kill.
fn run(
    platter: &Arc<Mutex<Platter>>,
    next_id: &mut u64,
    random: &mut fastrand::Rng,
    outcome: &mut Outcome,
) {
    let generation = {
        let rows = &mut platter.lock().unwrap().rows;
        if random.u8(..20) == 0 {
            return;
        }
        rows.generation += 1;
        rows.generation
    };
    if random.u8(..20) == 0 {
        return;
    }
    let mut sessions: HashMap<u64, Session> = HashMap::new();
    let platter_now = platter.lock().unwrap();
    for (key, window) in &platter_now.rows.windows {
        let session = &platter_now.rows.sessions[key];
        assert_eq!(
            session.row[..8],
            *window.bytes(),
            "a window of another session"
        );
        outcome.windows += 1;
    }
    for (key, stored) in &platter_now.rows.sessions {
        let restored = SendNumbers::restored(BLOCK, stored.bound, stored.generation, generation);
        let (numbers, first) = restored.unwrap();
        sessions.insert(*key, Session::restored(&stored.row, numbers, first));
        outcome.restored += 1;
    }
    drop(platter_now);
    let settings = Settings::new(3);
    let shared = Arc::new(Shared::new(Queue::new(settings.capacity)));
    // Whatever is pending at its end is lost.
    let of_store = Arc::clone(&shared);
    let killed = Box::new(move || of_store.end(Ok(())));
    let store = Store::without_thread(Arc::clone(&shared), BLOCK, killed);
    let disk = UnreliableDisk(Arc::clone(platter));
    let mut writer = Writer::new(disk, &settings, Box::new(|_| {}));
    let mut in_flight: Option<Batch> = None;
    for _ in 0..random.u8(..160) {
        let key = random.u64(..KEYS);
        match random.u8(..16) {
            0 => {
                *next_id += 1;
                let session = Session {
                    id: *next_id,
                    next: 0,
                    numbers: SendNumbers::of_new_session(),
                };
                sessions.insert(key, session);
            }
            1 => {
                sessions.remove(&key);
                let _ = store.delete_session(key);
            }
            2..4 => {
                if let Some(session) = sessions.get_mut(&key) {
                    let row = session.row();
                    let _ = store.put_session(key, &mut session.numbers, session.next, row);
                }
            }
            4 if in_flight.is_none() => in_flight = Some(shared.lock().queue.take()),
            5 => {
                if let Some(batch) = in_flight.take() {
                    let _ = writer.write(&shared, batch);
                }
            }
            6 => {
                if let Some(session) = sessions.get(&key) {
                    let _ = store.put_window(key, &session.numbers, &session.id.to_be_bytes());
                }
            }
            _ => {
                if let Some(session) = sessions.get_mut(&key) {
                    if session.numbers.limit(store.synced()).allows(session.next) {
                        assert!(
                            outcome.used.insert((session.id, session.next)),
                            "number {} of session {} is used twice",
                            session.next,
                            session.id
                        );
                        session.next += 1;
                    } else {
                        outcome.held += 1;
                    }
                }
            }
        }
    }
    // Killed in a commit: what it would have returned is not known.
    if let Some(batch) = in_flight
        && random.bool()
    {
        let _ = writer.write(&shared, batch);
    }
}

#[test]
fn no_send_number_is_used_twice_whatever_is_lost_by_10000_kills() {
    let mut random = fastrand::Rng::with_seed(19);
    let mut outcome = Outcome::default();
    let mut next_id = 0;
    let mut platter = Arc::new(Mutex::new(Platter::default()));
    while outcome.kills < 10_000 {
        // Another disk now and then, as numbers of 48 bits would end otherwise.
        if outcome.kills % 1000 == 0 {
            platter = Arc::new(Mutex::new(Platter {
                random: fastrand::Rng::with_seed(random.u64(..)),
                ..Platter::default()
            }));
        }
        run(&platter, &mut next_id, &mut random, &mut outcome);
        outcome.kills += 1;
    }
    // All that it is about has happened.
    assert!(outcome.used.len() > 50_000, "{}", outcome.used.len());
    assert!(outcome.held > 1_000, "{}", outcome.held);
    assert!(outcome.restored > 10_000, "{}", outcome.restored);
    assert!(outcome.windows > 1_000, "{}", outcome.windows);
}
