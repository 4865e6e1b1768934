use super::*;

fn session<'a>(association: &'a [u8], coap: &'a [u8]) -> SessionRow<'a> {
    SessionRow {
        sha256: [1; 32],
        sha3: [2; 32],
        not_after: 2_000_000_000,
        remote: "192.0.2.1:61000".parse().unwrap(),
        local: Some("198.51.100.7".parse().unwrap()),
        established: 1_790_000_000,
        last_received: 1_790_000_100,
        next_message_id: 0xabcd,
        association,
        coap,
        relay: &[],
        chain: &[],
    }
}

#[test]
fn a_session_is_read_as_it_was_written() {
    let mut row = session(&[7; 87], &[9; 30]);
    assert_eq!(SessionRow::decode(&row.encode().unwrap()), Ok(row));
    row.remote = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, 3).into();
    row.local = None;
    row.relay = &[1];
    row.chain = &[2; 700];
    row.coap = &[];
    assert_eq!(SessionRow::decode(&row.encode().unwrap()), Ok(row));
}

/// The bytes of format 1, so that a change of them is noticed.
#[test]
fn the_format_stays() {
    let row = session(&[7, 7], &[]).encode().unwrap();
    let expected = [
        &[1][..],
        &[1; 32],
        &[2; 32],
        &[0, 0, 0, 0, 0x77, 0x35, 0x94, 0],
        &[4, 192, 0, 2, 1, 0xee, 0x48],
        &[4, 198, 51, 100, 7],
        &[0x6a, 0xb1, 0x3b, 0x80],
        &[0x6a, 0xb1, 0x3b, 0xe4],
        &[0xab, 0xcd],
        &[1, 0, 2, 7, 7],
    ]
    .concat();
    assert_eq!(*row, expected);
}

/// What a session at rest has: the association of AES-128-GCM with connection IDs of eight bytes, and two relations.
#[test]
fn a_session_at_rest_takes_less_than_400_bytes() {
    let row = session(&[7; 87], &[9; 40]).encode().unwrap();
    // The bound, what encryption adds, and SQLite's cell.
    let on_disk = row.len() + 8 + crate::seal::OVERHEAD + 16;
    assert!(on_disk <= 280, "{on_disk}");
}

#[test]
fn cut_off_rows_are_malformed() {
    let row = session(&[7; 20], &[9; 5]).encode().unwrap();
    let without_coap = row.len() - SECTION_HEAD - 5;
    for end in (0..row.len()).filter(|&end| end != without_coap) {
        assert_eq!(
            SessionRow::decode(&row[..end]),
            Err(RowError::Malformed),
            "{end}"
        );
    }
}

#[test]
fn another_format_and_another_section_are_errors() {
    let row = session(&[7; 20], &[]).encode().unwrap();
    let mut other = row.clone();
    other[0] = 2;
    assert_eq!(SessionRow::decode(&other), Err(RowError::Format(2)));
    let more = |section: &[u8]| {
        let bytes = [&row[..], section].concat();
        SessionRow::decode(&bytes).map(|_| ())
    };
    assert_eq!(more(&[COAP, 0, 1, 1]), Ok(()));
    assert_eq!(more(&[9, 0, 1, 1]), Err(RowError::Section(9)));
    // Twice, in another order, empty, longer than what is there.
    assert_eq!(more(&[ASSOCIATION, 0, 1, 1]), Err(RowError::Malformed));
    assert_eq!(
        more(&[RELAY, 0, 1, 1, COAP, 0, 1, 1]),
        Err(RowError::Malformed)
    );
    assert_eq!(more(&[COAP, 0, 0]), Err(RowError::Malformed));
    assert_eq!(more(&[COAP, 0, 2, 1]), Err(RowError::Malformed));
}

#[test]
fn a_section_that_is_too_long_is_not_written() {
    let long = vec![0; 1 << 16];
    assert_eq!(
        session(&[1], &long).encode().map(|_| ()),
        Err(SectionTooLong)
    );
}

#[test]
fn arbitrary_bytes_never_panic_and_what_is_read_is_written_the_same() {
    let mut random = fastrand::Rng::with_seed(4);
    let good = session(&[7; 20], &[9; 5]).encode().unwrap();
    let mut read = 0;
    for _ in 0..100_000 {
        let mut row = good.to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..row.len());
            row[at] = random.u8(..);
        }
        row.truncate(random.usize(..=row.len()));
        if let Ok(session) = SessionRow::decode(&row) {
            read += 1;
            assert_eq!(session.encode().unwrap().to_vec(), row);
        }
    }
    assert!(read > 100, "{read}");
}
