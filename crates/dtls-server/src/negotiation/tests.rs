mod choices;
mod clients;
mod versions;

use super::*;
use crate::config::ConfigBuilder;
use crate::config::tests::{p256, rsa};
use crate::message::extension::ExtensionType;
use crate::wire::Reader;
use std::sync::LazyLock;

/// Both identities, and the defaults. RSA keys take long to make.
static BOTH: LazyLock<ConfigBuilder> =
    LazyLock::new(|| Config::builder().identity(p256()).identity(rsa()));

fn both() -> ConfigBuilder {
    BOTH.clone()
}

/// A ClientHello that can be changed.
#[derive(Clone)]
struct Hello {
    version: u16,
    suites: Vec<u16>,
    compression: Vec<u8>,
    groups: Option<Vec<u16>>,
    schemes: Option<Vec<u16>>,
    versions: Option<Vec<u16>>,
    /// Everything else.
    extensions: ClientExtensions<'static>,
    /// As they are, behind the others.
    more: Vec<u8>,
}

impl Default for Hello {
    fn default() -> Hello {
        Hello {
            version: DTLS_1_2,
            suites: CipherSuite::ALL.map(CipherSuite::number).to_vec(),
            compression: vec![0],
            groups: Some(NamedGroup::ALL.map(NamedGroup::number).to_vec()),
            schemes: Some(SignatureScheme::ALL.map(SignatureScheme::number).to_vec()),
            versions: None,
            extensions: ClientExtensions::default(),
            more: Vec::new(),
        }
    }
}

impl Hello {
    /// Offers these extensions besides groups and schemes.
    fn with(extensions: ClientExtensions<'static>) -> Hello {
        Hello {
            extensions,
            ..Hello::default()
        }
    }

    fn body(&self) -> Vec<u8> {
        let flat = |numbers: &[u16]| {
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        };
        let [groups, schemes, versions]: [Option<Vec<u8>>; 3] =
            [&self.groups, &self.schemes, &self.versions].map(|list| list.as_deref().map(flat));
        let numbers = |bytes| Numbers::new(Reader::new(bytes)).unwrap();
        let mut extensions = Vec::new();
        let known = ClientExtensions {
            supported_groups: groups.as_deref().map(numbers),
            signature_algorithms: schemes.as_deref().map(numbers),
            supported_versions: versions.as_deref().map(numbers),
            ..self.extensions
        };
        known.write(&mut extensions).unwrap();
        extensions.extend(&self.more);
        let suites: Vec<u8> = flat(&self.suites);
        let hello = ClientHello {
            version: self.version,
            random: [7; 32],
            session_id: &[],
            cookie: &[1, 2],
            cipher_suites: numbers(&suites),
            compression_methods: &self.compression,
            extensions: (!extensions.is_empty()).then_some(&extensions),
        };
        let mut body = Vec::new();
        hello.write(&mut body).unwrap();
        body
    }

    /// What is chosen, and the extensions of the ServerHello.
    fn negotiate(
        &self,
        config: ConfigBuilder,
    ) -> Result<(Choice, ServerExtensions<'static>), AlertDescription> {
        let config = config.build().unwrap();
        let body = self.body();
        let offer = Offer::read(ClientHello::parse(&body).unwrap(), &config)?;
        let choice = offer.choose(&config)?;
        Ok((choice, offer.answers().server_extensions(&[0xcc; 8])))
    }

    fn choice(&self, config: ConfigBuilder) -> Result<Choice, AlertDescription> {
        self.negotiate(config).map(|(choice, _)| choice)
    }

    fn answers(&self, config: ConfigBuilder) -> ServerExtensions<'static> {
        self.negotiate(config).unwrap().1
    }

    /// The most bytes of plaintext in a record to and from the client.
    fn limits(&self) -> (u16, u16) {
        let config = both().build().unwrap();
        let body = self.body();
        let offer = Offer::read(ClientHello::parse(&body).unwrap(), &config).unwrap();
        (
            offer.answers().send_limit(),
            offer.answers().receive_limit(),
        )
    }
}

#[test]
fn only_extensions_that_the_client_has_are_answered() {
    let everything_on = || both().session_tickets(true).return_routability_check(true);
    let plain = Hello::default();
    assert_eq!(plain.answers(everything_on()), ServerExtensions::default());
    let all = Hello::with(ClientExtensions {
        server_name: Some(b"coap.example"),
        ec_point_formats: true,
        extended_master_secret: true,
        session_ticket: Some(&[]),
        connection_id: Some(&[]),
        return_routability_check: true,
        renegotiation_info: Some(&[]),
        max_fragment_length: Some(MaxFragmentLength::Bytes1024),
        ..ClientExtensions::default()
    });
    let answers = all.answers(everything_on());
    assert_eq!(
        answers,
        ServerExtensions {
            renegotiation_info: true,
            extended_master_secret: true,
            ec_point_formats: true,
            session_ticket: true,
            max_fragment_length: Some(MaxFragmentLength::Bytes1024),
            record_size_limit: None,
            connection_id: Some(&[0xcc; 8]),
            return_routability_check: true,
        }
    );
    // What is off is not answered.
    let answers = all.answers(
        both()
            .connection_id_length(None)
            .return_routability_check(true),
    );
    assert_eq!(
        (answers.connection_id, answers.session_ticket),
        (None, false)
    );
    assert!(
        !answers.return_routability_check,
        "there is nothing to check without connection IDs"
    );
}

/// RFC 5746 §3.6. wolfSSL up to 5.5.4 ends the handshake if it gets an answer that it did not ask for.
#[test]
fn renegotiation_info_is_sent_if_asked_for_in_either_way() {
    assert!(!Hello::default().answers(both()).renegotiation_info);
    let mut by_suite = Hello::default();
    by_suite.suites.push(EMPTY_RENEGOTIATION_INFO_SCSV);
    assert!(by_suite.answers(both()).renegotiation_info);
    let mut by_extension = Hello::with(ClientExtensions {
        renegotiation_info: Some(&[]),
        ..ClientExtensions::default()
    });
    assert!(by_extension.answers(both()).renegotiation_info);
    by_extension.extensions.renegotiation_info = Some(&[1; 12]);
    assert_eq!(
        by_extension.choice(both()),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

#[test]
fn the_extended_master_secret_is_preferred_or_required() {
    let without = Hello::default();
    let with = Hello::with(ClientExtensions {
        extended_master_secret: true,
        ..ClientExtensions::default()
    });
    let required = || both().extended_master_secret(ExtendedMasterSecret::Require);
    assert!(!without.answers(both()).extended_master_secret);
    assert!(with.answers(both()).extended_master_secret);
    assert!(with.answers(required()).extended_master_secret);
    assert_eq!(
        without.choice(required()),
        Err(AlertDescription::HANDSHAKE_FAILURE)
    );
}

#[test]
fn record_sizes_are_limited_as_the_client_asks() {
    let sizes = |max_fragment_length, record_size_limit| {
        Hello::with(ClientExtensions {
            max_fragment_length,
            record_size_limit,
            ..ClientExtensions::default()
        })
    };
    let none = sizes(None, None);
    assert_eq!(none.limits(), (16_384, 16_384));
    let older = sizes(Some(MaxFragmentLength::Bytes512), None);
    assert_eq!(older.limits(), (512, 800));
    assert_eq!(
        older.answers(both()).max_fragment_length,
        Some(MaxFragmentLength::Bytes512)
    );
    // RFC 8449 §5: it wins, and the older one is not answered.
    let two = sizes(Some(MaxFragmentLength::Bytes512), Some(200));
    assert_eq!(two.limits(), (200, 16_384));
    let answers = two.answers(both());
    assert_eq!(
        (answers.max_fragment_length, answers.record_size_limit),
        (None, Some(16_384))
    );
    // A limit of a newer version, or of another protocol, is no limit.
    assert_eq!(sizes(None, Some(16_385)).limits(), (16_384, 16_384));
    assert_eq!(sizes(None, Some(u16::MAX)).limits(), (16_384, 16_384));
}

#[test]
fn connection_ids_are_agreed_on_if_both_have_them() {
    let asks = |connection_id: &'static [u8]| {
        Hello::with(ClientExtensions {
            connection_id: Some(connection_id),
            ..ClientExtensions::default()
        })
    };
    // Nearly every device: "put yours into mine, and nothing into yours".
    assert_eq!(
        asks(&[]).answers(both()).connection_id,
        Some(&[0xcc; 8][..])
    );
    let long: &[u8] = &[5; 255];
    let (config, body) = (both().build().unwrap(), asks(long).body());
    let offer = Offer::read(ClientHello::parse(&body).unwrap(), &config).unwrap();
    assert_eq!(offer.answers().peer_connection_id, Some(long));
    assert_eq!(
        asks(&[])
            .answers(both().connection_id_length(None))
            .connection_id,
        None
    );
    assert_eq!(Hello::default().answers(both()).connection_id, None);
}

/// BoringSSL's NoNullCompression and ExtraCompressionMethods.
#[test]
fn no_compression_is_the_only_one() {
    let with = |compression| Hello {
        compression,
        ..Hello::default()
    };
    assert!(with(vec![1, 2, 0, 3]).choice(both()).is_ok());
    let without = with(vec![1, 2, 3]).choice(both());
    assert_eq!(without, Err(AlertDescription::ILLEGAL_PARAMETER));
}

#[test]
fn class_38_an_extension_that_occurs_twice_ends_the_handshake() {
    let once = [&ExtensionType::SESSION_TICKET.0.to_be_bytes()[..], &[0, 0]].concat();
    let hello = |more| Hello {
        more,
        ..Hello::default()
    };
    assert!(hello(once.clone()).choice(both()).is_ok());
    let twice = hello([&once[..], &once].concat());
    assert_eq!(twice.choice(both()), Err(AlertDescription::DECODE_ERROR));
}
