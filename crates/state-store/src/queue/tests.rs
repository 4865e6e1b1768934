use super::*;

fn place(key: u64) -> Place {
    Place::session(key)
}

fn put(byte: u8) -> Change {
    Change::Put {
        bound: None,
        row: Zeroizing::new(vec![byte]),
    }
}

fn rows(batch: &Batch) -> Vec<(u64, Option<u8>)> {
    let row = |change: &Change| match change {
        Change::Put { row, .. } => Some(row[0]),
        Change::Delete => None,
    };
    let mut rows: Vec<_> = (batch.changes.iter())
        .map(|(place, change)| (place.key, row(change)))
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn the_last_change_of_a_key_is_written() {
    let mut queue = Queue::new(2);
    queue.push(place(1), put(1)).unwrap();
    queue.push(place(2), put(2)).unwrap();
    queue.push(place(1), put(3)).unwrap();
    queue.push(place(2), Change::Delete).unwrap();
    let batch = queue.take();
    assert_eq!(rows(&batch), [(1, Some(3)), (2, None)]);
}

#[test]
fn a_full_queue_refuses_other_keys_until_its_batch_is_committed() {
    let mut queue = Queue::new(2);
    queue.push(place(1), put(1)).unwrap();
    queue.push(place(2), put(2)).unwrap();
    assert_eq!(queue.push(place(3), put(3)), Err(Full));
    queue.push(place(1), put(4)).unwrap();
    let batch = queue.take();
    // What is in flight counts, as it may come back.
    assert_eq!(queue.push(place(3), put(3)), Err(Full));
    assert_eq!(queue.refused, 2);
    queue.committed(batch);
    queue.push(place(3), put(3)).unwrap();
}

#[test]
fn a_ticket_is_synced_when_a_batch_that_has_its_change_or_a_later_one_is_committed() {
    let mut queue = Queue::new(10);
    let first = queue.push(place(1), put(1)).unwrap();
    let second = queue.push(place(1), put(2)).unwrap();
    let batch = queue.take();
    let third = queue.push(place(2), put(3)).unwrap();
    assert!(!queue.synced().includes(first));
    queue.committed(batch);
    assert!(queue.synced().includes(first) && queue.synced().includes(second));
    assert!(!queue.synced().includes(third));
}

#[test]
fn a_batch_that_failed_is_written_again_without_what_is_older() {
    let mut queue = Queue::new(10);
    let first = queue.push(place(1), put(1)).unwrap();
    queue.push(place(2), put(2)).unwrap();
    let batch = queue.take();
    queue.push(place(2), put(3)).unwrap();
    queue.failed(batch);
    assert!(!queue.synced().includes(first));
    assert_eq!(queue.len(), 2);
    assert_eq!(rows(&queue.take()), [(1, Some(1)), (2, Some(3))]);
}

#[test]
fn a_window_is_written_only_for_the_row_that_was_pushed_before_it() {
    let tables = |batch: &Batch| {
        let mut places: Vec<Place> = batch.changes.keys().copied().collect();
        places.sort_unstable();
        places
    };
    let mut queue = Queue::new(2);
    queue.push(Place::window(1), put(1)).unwrap();
    queue.push(place(2), put(2)).unwrap();
    // A newer row takes its place, also in a full queue.
    queue.push(place(1), put(3)).unwrap();
    let batch = queue.take();
    assert_eq!(tables(&batch), [place(1), place(2)]);
    queue.committed(batch);
    queue.push(Place::window(1), put(4)).unwrap();
    let batch = queue.take();
    queue.push(place(1), Change::Delete).unwrap();
    queue.failed(batch);
    assert_eq!(tables(&queue.take()), [place(1)]);
}
