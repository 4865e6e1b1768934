use super::*;

const SESSION: SessionKey = SessionKey([1; 8]);

fn seal(instance: u8) -> Seal {
    Seal::new(GroupSecret::new([7; 32]), Instance([instance; 16])).unwrap()
}

#[test]
fn a_row_is_read_by_another_process_and_in_its_own_place_only() {
    let sealed = seal(1).seal(SESSION, b"row").unwrap();
    assert_eq!(sealed.len(), 3 + OVERHEAD);
    assert_eq!(*seal(2).open(SESSION, &sealed).unwrap(), b"row");
    assert!(seal(2).open(SessionKey([2; 8]), &sealed).is_none());
    let other = Seal::new(GroupSecret::new([8; 32]), Instance([1; 16])).unwrap();
    assert!(other.open(SESSION, &sealed).is_none());
}

#[test]
fn a_row_that_was_changed_or_cut_is_not_read() {
    let sealed = seal(1).seal(SESSION, b"row").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(seal(1).open(SESSION, &changed).is_none(), "byte {at}");
        assert!(
            seal(1).open(SESSION, &sealed[..at]).is_none(),
            "cut at {at}"
        );
    }
}

#[test]
fn no_nonce_is_used_twice() {
    let mut sealer = seal(1);
    let first = sealer.seal(SESSION, b"row").unwrap();
    let second = sealer.seal(SESSION, b"row").unwrap();
    assert_ne!(first[..INSTANCE + COUNTER], second[..INSTANCE + COUNTER]);
    assert_eq!(first[..INSTANCE], second[..INSTANCE]);
}
