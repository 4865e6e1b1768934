use super::*;

const HELLO: [u8; 16] = [
    22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 0xaa, 0xbb, 0xcc,
];

/// RFC 9146 §4, with a connection ID of four bytes.
const WITH_CID: [u8; 19] = [
    25, 0xfe, 0xfd, 0, 1, 1, 2, 3, 4, 5, 6, 0xc1, 0xc2, 0xc3, 0xc4, 0, 2, 0x11, 0x22,
];

fn only(datagram: &[u8], cid_length: usize) -> Record<'_> {
    let all: Vec<Record> = records(datagram, cid_length).collect();
    assert_eq!(all.len(), 1);
    all[0]
}

#[test]
fn a_plain_record_is_read() {
    let record = only(&HELLO, 8);
    assert_eq!(record.content_type, ContentType::HANDSHAKE);
    assert_eq!(record.version, DTLS_1_0);
    assert_eq!((record.epoch, record.sequence), (0, 5));
    assert_eq!(record.fragment, [0xaa, 0xbb, 0xcc]);
    assert!(record.connection_id.is_empty());
    let mut written = Vec::new();
    write_plaintext(
        &mut written,
        record.content_type,
        record.version,
        record.sequence,
        record.fragment,
    )
    .unwrap();
    assert_eq!(written, HELLO);
}

#[test]
fn the_connection_id_stands_before_the_length() {
    let record = only(&WITH_CID, 4);
    assert_eq!(record.content_type, ContentType::TLS12_CID);
    assert_eq!((record.epoch, record.sequence), (1, 0x0102_0304_0506));
    assert_eq!(record.connection_id, [0xc1, 0xc2, 0xc3, 0xc4]);
    assert_eq!(record.fragment, [0x11, 0x22]);
    assert_eq!(
        connection_id(&WITH_CID, 4),
        Some(&[0xc1, 0xc2, 0xc3, 0xc4][..])
    );
    assert_eq!(connection_id(&HELLO, 4), None);
    assert_eq!(connection_id(&[], 4), None);
}

/// A client's connection ID is as long as ours are. If its record has another length, what is read as its length is wrong:
/// there is no record, or one that does not authenticate.
#[test]
fn bug_class_27_a_connection_id_that_is_longer_or_shorter_than_expected() {
    // Two bytes more: 0xc3c4 is read as a length.
    assert_eq!(records(&WITH_CID, 2).next(), None);
    assert_eq!(connection_id(&WITH_CID, 2), None);
    // Two bytes less: 0x1122 is.
    assert_eq!(records(&WITH_CID, 6).next(), None);
    // The datagram ends within it.
    assert_eq!(records(&WITH_CID, 200).next(), None);
    assert_eq!(connection_id(&WITH_CID, 200), None);
    // No connection ID is ours.
    assert_eq!(connection_id(&WITH_CID, 0), None);
}

#[test]
fn a_datagram_holds_any_number_of_records() {
    let datagram = HELLO.repeat(4000);
    assert_eq!(records(&datagram, 0).count(), 4000);
    let mixed = [&HELLO[..], &WITH_CID, &HELLO].concat();
    let types: Vec<u8> = records(&mixed, 4)
        .map(|record| record.content_type.0)
        .collect();
    assert_eq!(types, [22, 25, 22]);
}

#[test]
fn reading_ends_at_the_first_malformed_record() {
    let mut datagram = HELLO.repeat(3);
    // The second has the version of TLS 1.2.
    datagram[17] = 3;
    let mut reader = records(&datagram, 0);
    assert!(reader.next().is_some());
    assert_eq!(reader.next(), None);
    assert_eq!(reader.next(), None);
    for end in 0..HELLO.len() {
        assert_eq!(records(&HELLO[..end], 0).next(), None);
    }
    for end in 0..WITH_CID.len() {
        assert_eq!(records(&WITH_CID[..end], 4).next(), None);
    }
}

#[test]
fn an_empty_record_is_a_record() {
    let mut datagram = Vec::new();
    write_plaintext(&mut datagram, ContentType::HANDSHAKE, DTLS_1_2, 0, &[]).unwrap();
    datagram.extend_from_slice(&HELLO);
    assert_eq!(records(&datagram, 0).count(), 2);
}

fn record_of(epoch: u16, length: usize) -> Vec<u8> {
    let mut datagram = Vec::new();
    write_header(
        &mut datagram,
        ContentType::APPLICATION_DATA,
        DTLS_1_2,
        epoch,
        0,
    );
    datagram.u16(length.try_into().unwrap());
    datagram.resize(datagram.len() + length, 0);
    datagram
}

#[test]
fn bug_class_38_records_that_are_too_long() {
    assert_eq!(records(&record_of(0, MAX_CONTENT), 0).count(), 1);
    assert_eq!(records(&record_of(0, MAX_CONTENT + 1), 0).count(), 0);
    assert_eq!(records(&record_of(1, MAX_FRAGMENT), 0).count(), 1);
    assert_eq!(records(&record_of(1, MAX_FRAGMENT + 1), 0).count(), 0);
    let mut out = Vec::new();
    let long = vec![0; MAX_CONTENT + 1];
    let written = write_plaintext(&mut out, ContentType::ALERT, DTLS_1_2, 0, &long);
    assert_eq!(written, Err(TooLong));
    assert!(out.is_empty());
    assert!(write_plaintext(&mut out, ContentType::ALERT, DTLS_1_2, 0, &long[1..]).is_ok());
}

#[test]
fn arbitrary_bytes_are_read_without_a_panic_and_in_place() {
    let mut random = fastrand::Rng::with_seed(18);
    for _ in 0..20_000 {
        let mut datagram: Vec<u8> = (0..random.usize(..80)).map(|_| random.u8(..)).collect();
        // Most of them begin as a record does.
        if random.u8(..) > 32
            && let [content_type, version, ..] = &mut datagram[..]
        {
            *content_type = random.u8(18..28);
            *version = 0xfe;
        }
        let cid_length = random.usize(..9);
        let read: usize = records(&datagram, cid_length)
            .map(|record| 13 + record.connection_id.len() + record.fragment.len())
            .sum();
        assert!(read <= datagram.len());
    }
}
