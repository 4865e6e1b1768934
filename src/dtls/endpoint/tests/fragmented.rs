//! Clients that cut their ClientHello into fragments, with and without the cookie (RFC 6347 §4.2.1, §4.2.3).

use super::moving::{Bench, options};
use super::*;
use dtls_test_client::{Client, Options};

/// Whether a client connects that sends fragments of at most this many bytes of a message.
fn connects(options: &Options, fragment_length: usize) -> bool {
    let mut bench = Bench::new(Parameters::default());
    let options = Options {
        fragment_length,
        ..options.clone()
    };
    let mut client = Client::new(options, 1);
    let hello = client.start();
    bench.exchange(1, &mut client, hello);
    client.is_connected()
}

/// docs/dtls.md says so: version, random, session id, cookie, cipher suites and compression methods must be in the first
/// fragment, as nothing can be kept of the others before the cookie is back.
#[test]
fn the_first_fragment_has_56_bytes_and_two_for_each_cipher_suite_at_least() {
    for suites in [1, 2, 10] {
        let options = Options {
            cipher_suites: options().cipher_suites[..suites].to_vec(),
            ..options()
        };
        let least = 56 + 2 * suites;
        for length in [least, least + 1, least + 7, 100, 200] {
            assert!(connects(&options, length), "{suites} suites, {length}");
        }
        for length in [least - 1, least - 17, 20] {
            assert!(!connects(&options, length), "{suites} suites, {length}");
        }
    }
}
