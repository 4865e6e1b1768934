//! Any bytes as a datagram of DTLS records, as a stored association and as a stored receive window: no panic, and nothing that is not authentic changes a
//! session.
//!
//! The first byte chooses the suite, and whether the session has a connection ID.

#![no_main]

use dtls_server::association::{Association, Discard, Parameters, RECEIVE_WINDOW};
use dtls_server::crypto::aead::Keys;
use dtls_server::record::{self, records};
use dtls_server::suite::CipherSuite;
use libfuzzer_sys::fuzz_target;

const CONNECTION_ID: &[u8] = b"8 bytes.";

fn association(suite: CipherSuite, own_connection_id: &[u8]) -> Association {
    let aead = suite.aead();
    let keys = |byte| {
        let key = vec![byte; aead.key_length()];
        Keys::new(aead, &key, &vec![byte; aead.iv_length()]).expect("they have their lengths")
    };
    Association::new(Parameters {
        suite,
        extended_master_secret: true,
        return_routability_check: true,
        write: keys(1),
        read: keys(2),
        own_connection_id,
        peer_connection_id: &[],
        send_limit: 512,
        receive_limit: 512,
    })
    .expect("all is in range")
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, datagram)) = input.split_first() else {
        return;
    };
    let suite = CipherSuite::ALL[usize::from(choice >> 1) % CipherSuite::ALL.len()];
    let id = if choice & 1 == 0 { &[] } else { CONNECTION_ID };
    let mut session = association(suite, id);
    let mut length = 0;
    for record in records(datagram, id.len()) {
        length += 13 + record.connection_id.len() + record.fragment.len();
        let before = session.export();
        match session.unprotect(&record) {
            Ok(received) => assert!(received.content.len() <= 512),
            Err(Discard::Overflow | Discard::InnerType) => {}
            Err(_) => assert_eq!(session.export(), before, "it was not authentic"),
        }
    }
    assert!(length <= datagram.len());
    if let Some(found) = record::connection_id(datagram, id.len()) {
        assert_eq!(found.len(), id.len());
    }
    if let Some(window) = datagram.first_chunk::<RECEIVE_WINDOW>() {
        let mut renewed = association(suite, id);
        match renewed.renew_receive_window(window) {
            Ok(()) => assert_eq!(renewed.receive_window(), *window),
            Err(_) => assert_eq!(renewed.receive_window(), [0; RECEIVE_WINDOW]),
        }
    }
    if let Ok(restored) = Association::restore(datagram, 0) {
        assert_eq!(
            restored.export()[..],
            *datagram,
            "an association has one export"
        );
    }
});
