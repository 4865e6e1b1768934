use super::*;
use crate::changes::SessionChange;
use crate::queue::Queue;

const SMALL: Block = Block(100);

/// A queue's tickets and commits.
fn ticket(queue: &mut Queue) -> Ticket {
    queue.push_session(1, SessionChange::Delete).unwrap()
}

fn commit(queue: &mut Queue) {
    let batch = queue.take();
    queue.committed(&batch);
}

#[test]
fn a_new_session_may_send_without_waiting_and_stops_at_the_bound_of_its_first_row() {
    let mut queue = Queue::new(10);
    let mut numbers = SendNumbers::of_new_session();
    assert!(numbers.limit(queue.synced()).allows(END - 1));
    let bound = numbers.bound(SMALL, 7);
    assert_eq!(bound, 107);
    numbers.pushed(bound, ticket(&mut queue));
    // The row may be on disk from now on.
    assert_eq!(numbers.limit(queue.synced()).get(), 107);
    commit(&mut queue);
    assert_eq!(numbers.limit(queue.synced()).get(), 107);
}

#[test]
fn a_higher_bound_counts_when_its_row_is_synced() {
    let mut queue = Queue::new(10);
    let mut numbers = SendNumbers::of_new_session();
    numbers.pushed(numbers.bound(SMALL, 0), ticket(&mut queue));
    // Half a block is left: the bound stays.
    assert_eq!(numbers.bound(SMALL, 50), 100);
    let bound = numbers.bound(SMALL, 51);
    assert_eq!(bound, 151);
    numbers.pushed(bound, ticket(&mut queue));
    assert_eq!(numbers.limit(queue.synced()).get(), 100);
    // Rows that follow have the same bound, and do not put it off.
    numbers.pushed(numbers.bound(SMALL, 60), ticket(&mut queue));
    let batch = queue.take();
    queue.failed(batch);
    assert_eq!(numbers.limit(queue.synced()).get(), 100);
    commit(&mut queue);
    assert_eq!(numbers.limit(queue.synced()).get(), 151);
}

#[test]
fn each_generation_has_a_block_of_its_own() {
    let mut blocks = Vec::new();
    for now in 4..8 {
        let (mut numbers, first) = SendNumbers::restored(SMALL, 1000, 3, now).unwrap();
        blocks.push((first, numbers.limit(Synced(0)).get()));
    }
    assert_eq!(
        blocks,
        [(1000, 1100), (1100, 1200), (1200, 1300), (1300, 1400)]
    );
    // A row is restored only in a later generation.
    assert!(SendNumbers::restored(SMALL, 1000, 3, 3).is_none());
    assert!(SendNumbers::restored(SMALL, 1000, 3, 2).is_none());
}

#[test]
fn numbers_end_with_48_bits() {
    assert!(SendNumbers::restored(SMALL, END, 1, 2).is_none());
    assert!(SendNumbers::restored(SMALL, u64::MAX, 1, 2).is_none());
    assert!(SendNumbers::restored(BLOCK, 0, 0, u32::MAX).is_none());
    let (mut numbers, first) = SendNumbers::restored(SMALL, END - 1, 1, 2).unwrap();
    assert_eq!((first, numbers.limit(Synced(0)).get()), (END - 1, END));
    assert_eq!(numbers.bound(SMALL, END - 1), END);
    assert_eq!(numbers.bound(SMALL, u64::MAX), END);
}

#[test]
fn a_stored_bound_is_not_lower_than_the_bound() {
    let mut random = fastrand::Rng::with_seed(5);
    let random = (0..10_000).map(|_| random.u64(..=END) >> random.u32(..48));
    for bound in random.chain([0, 1, UNIT - 1, UNIT, UNIT + 1, END]) {
        let stored = bound_that_was_stored(stored_bound(bound)).unwrap();
        assert!((bound..bound + UNIT).contains(&stored), "{bound}");
    }
    assert_eq!(bound_that_was_stored(1 << 52), None);
    assert_eq!(stored_bound(BLOCK.0), 256);
}
