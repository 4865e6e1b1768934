use super::*;
use crate::record::{Kind, RecordKey};
use std::collections::HashSet;

fn place(key: u64) -> Place<'static> {
    Place::Session(key)
}

fn seal(sealer: &mut Sealer, place: Place<'_>, parts: [&[u8]; 2]) -> Result<Vec<u8>, NotSealed> {
    let mut out = b"of the row before".to_vec();
    sealer.seal_into(&mut out, place, parts).map(|()| out)
}

fn key(byte: u8) -> StoreKey {
    StoreKey::from_hex(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn row_key(key: &StoreKey, generation: &Generation) -> RowKey {
    RowKey::new(key, generation).unwrap()
}

#[test]
fn a_row_is_opened_with_its_key_in_its_place() {
    let generation = Generation::new(7).unwrap();
    let mut sealer = Sealer::new(row_key(&key(1), &generation));
    let sealed = seal(&mut sealer, place(3), [b"bound", b" and row"]).unwrap();
    assert_eq!(sealed.len(), 1 + COUNTER + 13 + TAG);
    assert_eq!(generation_of(&sealed), Some(7));
    let reader = row_key(&key(1), &generation);
    assert_eq!(
        reader.open(place(3), &sealed).unwrap().as_slice(),
        b"bound and row"
    );
    // Another place, another key, another salt.
    assert_eq!(reader.open(place(4), &sealed), Err(NotAuthentic));
    assert_eq!(reader.open(Place::Window(3), &sealed), Err(NotAuthentic));
    assert_eq!(
        row_key(&key(2), &generation).open(place(3), &sealed),
        Err(NotAuthentic)
    );
    let other = Generation::new(7).unwrap();
    assert_eq!(
        row_key(&key(1), &other).open(place(3), &sealed),
        Err(NotAuthentic)
    );
}

#[test]
fn a_record_is_opened_with_its_kind_and_key() {
    let record = |kind, key: &[u8]| RecordKey::new(Kind(kind), key).unwrap();
    let generation = Generation::new(1).unwrap();
    let mut sealer = Sealer::new(row_key(&key(1), &generation));
    let of = record(1, &[7; 64]);
    let sealed = seal(&mut sealer, Place::Record(&of), [b"", b"value"]).unwrap();
    let reader = row_key(&key(1), &generation);
    let opened = reader.open(Place::Record(&of), &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"value");
    for other in [
        record(2, &[7; 64]),
        record(1, &[7; 63]),
        record(1, &[8; 64]),
    ] {
        let opened = reader.open(Place::Record(&other), &sealed);
        assert_eq!(opened, Err(NotAuthentic));
    }
}

#[test]
fn each_changed_bit_and_each_cut_is_noticed() {
    let generation = Generation::new(1).unwrap();
    let mut sealer = Sealer::new(row_key(&key(1), &generation));
    let sealed = seal(&mut sealer, place(3), [b"", b"row"]).unwrap();
    let reader = row_key(&key(1), &generation);
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(reader.open(place(3), &changed), Err(NotAuthentic), "{bit}");
    }
    for end in 0..sealed.len() {
        assert_eq!(
            reader.open(place(3), &sealed[..end]),
            Err(NotAuthentic),
            "{end}"
        );
    }
}

#[test]
fn a_row_of_another_generation_is_not_opened() {
    let salt = Generation::new(1).unwrap().salt;
    let (one, two) = (
        Generation { number: 1, salt },
        Generation { number: 2, salt },
    );
    let mut sealer = Sealer::new(row_key(&key(1), &one));
    let mut sealed = seal(&mut sealer, place(3), [b"", b"row"]).unwrap();
    assert!(row_key(&key(1), &one).open(place(3), &sealed).is_ok());
    assert_eq!(
        row_key(&key(1), &two).open(place(3), &sealed),
        Err(NotAuthentic)
    );
    sealed[0] = 2;
    assert_eq!(
        row_key(&key(1), &two).open(place(3), &sealed),
        Err(NotAuthentic)
    );
    assert_eq!(generation_of(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
}

#[test]
fn no_nonce_is_used_twice() {
    let generation = Generation::new(1).unwrap();
    let mut sealer = Sealer::new(row_key(&key(1), &generation));
    let mut nonces = HashSet::new();
    for _ in 0..10_000 {
        let sealed = seal(&mut sealer, place(1), [b"", b"the same row"]).unwrap();
        let (header, _) = sealed.split_first_chunk::<{ 1 + COUNTER }>().unwrap();
        assert!(nonces.insert(*header));
    }
    // Nor are those of different headers equal.
    let nonce = *sealer.key.nonce([1, 2, 3, 4, 5, 6]).as_ref();
    assert_eq!(nonce, [0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5, 6]);
    sealer.counter = (1 << 48) - 1;
    assert!(seal(&mut sealer, place(1), [b"", b""]).is_ok());
    assert_eq!(seal(&mut sealer, place(1), [b"", b""]), Err(NotSealed));
}

#[test]
fn a_generation_is_proved_by_its_key_alone() {
    let generation = Generation::new(5).unwrap();
    let proof = generation.proof(&key(1));
    assert!(generation.is_proved_by(&key(1), proof.as_ref()));
    assert!(!generation.is_proved_by(&key(2), proof.as_ref()));
    let mut other = generation;
    other.number = 6;
    assert!(!other.is_proved_by(&key(1), proof.as_ref()));
    other = generation;
    other.salt[31] ^= 1;
    assert!(!other.is_proved_by(&key(1), proof.as_ref()));
    assert!(!generation.is_proved_by(&key(1), &[]));
}

#[test]
fn arbitrary_bytes_are_not_authentic_and_never_panic() {
    let mut random = fastrand::Rng::with_seed(6);
    let generation = Generation::new(1).unwrap();
    let mut sealer = Sealer::new(row_key(&key(1), &generation));
    let reader = row_key(&key(1), &generation);
    let record = RecordKey::new(Kind::RELAY, b"meter").unwrap();
    let good = seal(&mut sealer, Place::Record(&record), [b"", b"value"]).unwrap();
    for round in 0..100_000 {
        let mut bytes: Vec<u8> = match round % 2 {
            0 => (0..random.usize(..40)).map(|_| random.u8(..)).collect(),
            _ => good.clone(),
        };
        for _ in 0..random.usize(..3).min(bytes.len()) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let opened = reader.open(Place::Record(&record), &bytes);
        assert_eq!(opened.is_ok(), bytes == good, "{bytes:?}");
        generation_of(&bytes);
    }
}
