use super::*;
use crate::record::Kind;
use zeroize::Zeroizing;

fn put(byte: u8) -> SessionChange {
    SessionChange::Put {
        bound: 0,
        row: Zeroizing::new(vec![byte]),
    }
}

fn window(byte: u8) -> Window {
    Window::new(&[byte]).unwrap()
}

fn sessions(batch: &Batch) -> Vec<(u64, Option<u8>)> {
    let row = |change: &SessionChange| match change {
        SessionChange::Put { row, .. } => Some(row[0]),
        SessionChange::Delete => None,
    };
    let sessions = batch.changes.sessions.iter();
    let mut rows: Vec<_> = sessions.map(|(key, change)| (*key, row(change))).collect();
    rows.sort_unstable();
    rows
}

fn windows(batch: &Batch) -> Vec<(u64, u8)> {
    let windows = batch.changes.windows.iter();
    let mut windows: Vec<_> = windows
        .map(|(key, window)| (*key, window.bytes()[0]))
        .collect();
    windows.sort_unstable();
    windows
}

#[test]
fn the_last_change_of_a_key_is_written() {
    let mut queue = Queue::new(2);
    queue.push_session(1, put(1)).unwrap();
    queue.push_session(2, put(2)).unwrap();
    queue.push_session(1, put(3)).unwrap();
    queue.push_session(2, SessionChange::Delete).unwrap();
    let batch = queue.take();
    assert_eq!(sessions(&batch), [(1, Some(3)), (2, None)]);
}

#[test]
fn a_full_queue_refuses_other_keys_until_its_batch_is_committed() {
    let mut queue = Queue::new(2);
    queue.push_session(1, put(1)).unwrap();
    queue.push_session(2, put(2)).unwrap();
    assert_eq!(queue.push_session(3, put(3)), Err(Full));
    queue.push_session(1, put(4)).unwrap();
    let batch = queue.take();
    // What is in flight counts, as it may come back.
    assert_eq!(queue.push_session(3, put(3)), Err(Full));
    assert_eq!(queue.refused, 2);
    queue.committed(&batch);
    queue.push_session(3, put(3)).unwrap();
}

#[test]
fn a_ticket_is_synced_when_a_batch_that_has_its_change_or_a_later_one_is_committed() {
    let mut queue = Queue::new(10);
    let first = queue.push_session(1, put(1)).unwrap();
    let second = queue.push_session(1, put(2)).unwrap();
    let batch = queue.take();
    let third = queue.push_session(2, put(3)).unwrap();
    assert!(!queue.synced().includes(first));
    queue.committed(&batch);
    assert!(queue.synced().includes(first) && queue.synced().includes(second));
    assert!(!queue.synced().includes(third));
}

#[test]
fn a_batch_that_failed_is_written_again_without_what_is_older() {
    let mut queue = Queue::new(10);
    let first = queue.push_session(1, put(1)).unwrap();
    queue.push_session(2, put(2)).unwrap();
    let batch = queue.take();
    queue.push_session(2, put(3)).unwrap();
    queue.failed(batch);
    assert!(!queue.synced().includes(first));
    assert_eq!(queue.len(), 2);
    assert_eq!(sessions(&queue.take()), [(1, Some(1)), (2, Some(3))]);
}

#[test]
fn a_window_is_written_only_for_the_row_that_was_pushed_before_it() {
    let mut queue = Queue::new(2);
    queue.push_window(1, window(1)).unwrap();
    queue.push_session(2, put(2)).unwrap();
    // A newer row takes its place, also in a full queue.
    queue.push_session(1, put(3)).unwrap();
    let batch = queue.take();
    assert_eq!(sessions(&batch), [(1, Some(3)), (2, Some(2))]);
    assert_eq!(windows(&batch), []);
    queue.committed(&batch);
    queue.push_window(1, window(4)).unwrap();
    let batch = queue.take();
    queue.push_session(1, SessionChange::Delete).unwrap();
    queue.failed(batch);
    let batch = queue.take();
    assert_eq!(sessions(&batch), [(1, None)]);
    assert_eq!(windows(&batch), []);
}

#[test]
fn a_window_that_failed_with_its_row_is_written_again_with_it() {
    let mut queue = Queue::new(4);
    queue.push_session(1, put(1)).unwrap();
    queue.push_window(1, window(2)).unwrap();
    queue.push_window(2, window(3)).unwrap();
    let batch = queue.take();
    queue.push_window(2, window(4)).unwrap();
    queue.failed(batch);
    let batch = queue.take();
    assert_eq!(sessions(&batch), [(1, Some(1))]);
    assert_eq!(windows(&batch), [(1, 2), (2, 4)]);
}

#[test]
fn records_count_and_the_last_change_of_each_is_written() {
    let key = |kind, key: &[u8]| RecordKey::new(Kind(kind), key).unwrap();
    let put = |byte| RecordChange::Put(Zeroizing::new(vec![byte]));
    let mut queue = Queue::new(3);
    queue.push_record(key(1, b"a"), put(1)).unwrap();
    queue.push_record(key(2, b"a"), put(2)).unwrap();
    queue.push_session(1, SessionChange::Delete).unwrap();
    assert_eq!(queue.push_record(key(1, b"b"), put(3)), Err(Full));
    assert_eq!(queue.push_window(1, window(1)), Err(Full));
    let batch = queue.take();
    queue
        .push_record(key(1, b"a"), RecordChange::Delete)
        .unwrap_err();
    queue.failed(batch);
    queue
        .push_record(key(1, b"a"), RecordChange::Delete)
        .unwrap();
    let batch = queue.take();
    queue.failed(batch);
    let records = queue.take().changes.records;
    assert_eq!(records.len(), 2);
    assert!(matches!(records[&key(1, b"a")], RecordChange::Delete));
    assert!(matches!(&records[&key(2, b"a")], RecordChange::Put(value) if value[0] == 2));
}
