//! Processes that are killed at any time, on a disk that loses what was not synced: no send number is used twice.
//!
//! Queue, tickets, bounds, and the writer's step are the real ones; the disk and the sessions are models. A commit may fail
//! and be on disk all the same, and a process may be killed before, in and after each commit, and while it starts.

use crate::disk_error::DiskError;
use crate::queue::{Batch, Change, Queue};
use crate::send_numbers::{Block, SendNumbers};
use crate::store::Store;
use crate::table::Table;
use crate::writer::{Disk, Shared, Writer};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zeroize::Zeroizing;

/// So small that sessions use many.
const BLOCK: Block = Block(8);
const KEYS: u64 = 4;

/// What is on disk.
#[derive(Default)]
struct Platter {
    generation: u32,
    /// By key: the generation in which the row was written, its bound, and the row.
    rows: HashMap<u64, (u32, u64, Vec<u8>)>,
    /// By key: the session that it belongs to.
    windows: HashMap<u64, u64>,
    /// What becomes of the next commits.
    random: fastrand::Rng,
}

struct SimulatedDisk(Arc<Mutex<Platter>>);

impl Disk for SimulatedDisk {
    fn commit(&mut self, batch: &Batch) -> Result<(), DiskError> {
        let mut platter = self.0.lock().unwrap();
        let fails = platter.random.u8(..4) == 0;
        // A commit that fails may be on disk, or come to be.
        if fails && platter.random.bool() {
            return Err(DiskError::Full);
        }
        let generation = platter.generation;
        let mut changes: Vec<_> = batch.changes.iter().collect();
        changes.sort_unstable_by_key(|(place, _)| **place);
        for (place, change) in changes {
            match (place.table, change) {
                (Table::Sessions, Change::Put { bound, row }) => {
                    platter.windows.remove(&place.key);
                    let row = (generation, bound.unwrap(), row.to_vec());
                    platter.rows.insert(place.key, row);
                }
                (Table::Windows, Change::Put { row, .. }) => {
                    let id = u64::from_be_bytes(row[..].try_into().unwrap());
                    platter.windows.insert(place.key, id);
                }
                (_, Change::Delete) => {
                    platter.windows.remove(&place.key);
                    platter.rows.remove(&place.key);
                }
            }
        }
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
        let mut platter = platter.lock().unwrap();
        if random.u8(..20) == 0 {
            return;
        }
        platter.generation += 1;
        platter.generation
    };
    if random.u8(..20) == 0 {
        return;
    }
    let mut sessions: HashMap<u64, Session> = HashMap::new();
    let platter_now = platter.lock().unwrap();
    for (key, id) in &platter_now.windows {
        assert_eq!(
            platter_now.rows[key].2[..8],
            id.to_be_bytes(),
            "a window of another session"
        );
        outcome.windows += 1;
    }
    for (key, (written, bound, row)) in &platter_now.rows {
        let restored = SendNumbers::restored(BLOCK, *bound, *written, generation);
        let (numbers, first) = restored.unwrap();
        sessions.insert(*key, Session::restored(row, numbers, first));
        outcome.restored += 1;
    }
    drop(platter_now);
    let shared = Arc::new(Shared::new(Queue::new(3)));
    let store = Store::without_thread(Arc::clone(&shared), BLOCK);
    let mut writer = Writer {
        disk: SimulatedDisk(Arc::clone(platter)),
        interval: Duration::ZERO,
        first_retry: Duration::ZERO,
    };
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
                    let window = Zeroizing::new(session.id.to_be_bytes().to_vec());
                    let _ = store.put_window(key, &session.numbers, window);
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
