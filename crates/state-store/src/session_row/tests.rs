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
    row.local = Some("fe80::2".parse().unwrap());
    let long = [1; 65535];
    (row.association, row.coap, row.client) = (&long, &long, &long);
    assert_eq!(SessionRow::decode(&row.encode().unwrap()), Ok(row));
}

/// The bytes of this format of the store, so that a change of them is noticed.
#[test]
fn the_format_stays() {
    let mut row = session(&[7, 7], &[]);
    row.client = &[5];
    let expected = [
        &[0x44, 192, 0, 2, 1, 0xee, 0x48, 198, 51, 100, 7][..],
        &[0x6a, 0xb1, 0x3b, 0x80],
        &[0x6a, 0xb1, 0x3b, 0xe4],
        &[2, 7, 7],
        &[0],
        &[1, 5],
    ]
    .concat();
    assert_eq!(*row.encode().unwrap(), expected);
    assert_eq!(crate::seal::FORMAT, 1);
}

/// What a session at rest has: the association of AES-128-GCM with connection IDs of eight bytes, two relations, and a client
/// that is known by its certificate.
#[test]
fn a_session_at_rest_takes_less_than_300_bytes() {
    let row = session(&[7; 87], &[9; 44]).encode().unwrap();
    // The bound, what encryption adds, and SQLite's cell. Of 4 KiB, fifteen share a page.
    let on_disk = row.len() + 3 + (1 + 6 + 16) + 11;
    assert!(on_disk <= 4088 / 15, "{on_disk}");
}

#[test]
fn cut_off_rows_and_longer_ones_are_malformed() {
    let row = session(&[7; 20], &[9; 5]).encode().unwrap();
    for end in 0..row.len() {
        assert_eq!(SessionRow::decode(&row[..end]), Err(MalformedRow), "{end}");
    }
    let longer = [&row[..], &[0]].concat();
    assert_eq!(SessionRow::decode(&longer), Err(MalformedRow));
}

#[test]
fn other_kinds_of_addresses_and_other_lengths_are_malformed() {
    let row = session(&[7; 20], &[]).encode().unwrap();
    for kinds in (0..=u8::MAX).filter(|kinds| *kinds != 0x44) {
        let mut other = row.to_vec();
        other[0] = kinds;
        assert_eq!(SessionRow::decode(&other), Err(MalformedRow), "{kinds}");
    }
    let head = row.len() - (1 + 20) - 1 - (1 + 82);
    let with = |sections: &[u8]| {
        let bytes = [&row[..head], sections].concat();
        SessionRow::decode(&bytes).map(|_| ())
    };
    assert_eq!(with(&[1, 1, 0, 1, 1]), Ok(()));
    // More bytes than the length needs, more than a section has, and more than there are.
    assert_eq!(with(&[0x81, 0, 1, 0, 1, 1]), Err(MalformedRow));
    assert_eq!(with(&[0x80, 0x80, 4, 1, 0, 1, 1]), Err(MalformedRow));
    assert_eq!(with(&[1, 1, 0, 2, 1]), Err(MalformedRow));
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
    for round in 0..200_000 {
        let mut row = match round % 2 {
            0 => good.to_vec(),
            _ => (0..random.usize(..60))
                .map(|_| random.u8(..) % 10)
                .collect(),
        };
        for _ in 0..random.usize(1..4).min(row.len()) {
            let at = random.usize(..row.len());
            row[at] = random.u8(..);
        }
        if random.u8(..4) == 0 {
            row.truncate(random.usize(..=row.len()));
        }
        if let Ok(session) = SessionRow::decode(&row) {
            read += 1;
            assert_eq!(session.encode().unwrap().to_vec(), row);
        }
    }
    assert!(read > 1_000, "{read}");
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
        assert_eq!(read, Err(MalformedRow));
    }
    let longer = [&encoded[..], &[0]].concat();
    assert_eq!(SessionWindow::decode(&longer), Err(MalformedRow));
}
