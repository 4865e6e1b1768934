use super::*;

fn session<'a>(association: &'a [u8], coap: &'a [u8]) -> SessionRow<'a> {
    SessionRow {
        remote: "192.0.2.1:61000".parse().unwrap(),
        local: Some("198.51.100.7".parse().unwrap()),
        established: 1_790_000_000,
        last_received: 1_790_000_100,
        association,
        coap,
        client: &[3; 82],
    }
}

#[test]
fn a_session_is_read_as_it_was_written() {
    let mut row = session(&[7; 87], &[9; 30]);
    assert_eq!(SessionRow::decode(&row.encode().unwrap()), Ok(row));
    row.remote = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, 3).into();
    row.local = None;
    row.client = &[2; 700];
    row.coap = &[];
    assert_eq!(SessionRow::decode(&row.encode().unwrap()), Ok(row));
}

/// The bytes of format 1, so that a change of them is noticed.
#[test]
fn the_format_stays() {
    let mut row = session(&[7, 7], &[]);
    row.client = &[5];
    let row = row.encode().unwrap();
    let expected = [
        &[1][..],
        &[4, 192, 0, 2, 1, 0xee, 0x48],
        &[4, 198, 51, 100, 7],
        &[0x6a, 0xb1, 0x3b, 0x80],
        &[0x6a, 0xb1, 0x3b, 0xe4],
        &[1, 0, 2, 7, 7],
        &[3, 0, 1, 5],
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
    assert!(on_disk <= 300, "{on_disk}");
}

#[test]
fn cut_off_rows_are_malformed() {
    let row = session(&[7; 20], &[9; 5]).encode().unwrap();
    for end in 0..row.len() {
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
    let head = row.len() - (SECTION_HEAD + 20) - (SECTION_HEAD + 82);
    let with = |sections: &[u8]| {
        let bytes = [&row[..head], sections].concat();
        SessionRow::decode(&bytes).map(|_| ())
    };
    let (association, coap, client) = ([ASSOCIATION, 0, 1, 1], [COAP, 0, 1, 1], [CLIENT, 0, 1, 1]);
    assert_eq!(with(&[association, client].concat()), Ok(()));
    assert_eq!(with(&[association, coap, client].concat()), Ok(()));
    let other = [9, 0, 1, 1];
    let unknown = with(&[association, client, other].concat());
    assert_eq!(unknown, Err(RowError::Section(9)));
    let malformed: [&[&[u8]]; 7] = [
        &[&association, &association, &client],
        &[&association, &client, &coap],
        // One is missing.
        &[&client],
        &[&association],
        &[],
        // Empty, and longer than what is there.
        &[&association, &[COAP, 0, 0], &client],
        &[&association, &[CLIENT, 0, 2, 1]],
    ];
    for sections in malformed {
        let read = with(&sections.concat());
        assert_eq!(read, Err(RowError::Malformed), "{sections:?}");
    }
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

#[test]
fn a_window_is_read_as_it_was_written() {
    let window = SessionWindow {
        receive_window: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        last_received: 0x0f10_1112,
    };
    let encoded = window.encode();
    assert_eq!(
        encoded[..],
        [
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
        ]
    );
    assert!(encoded.len() <= crate::MAX_WINDOW);
    assert_eq!(SessionWindow::decode(&encoded), Ok(window));
    for end in 0..encoded.len() {
        let read = SessionWindow::decode(&encoded[..end]);
        assert_eq!(read, Err(RowError::Malformed));
    }
    let longer = [&encoded[..], &[0]].concat();
    assert_eq!(SessionWindow::decode(&longer), Err(RowError::Malformed));
}
