//! `state.url`, and what belongs to it.

use super::*;
use std::net::SocketAddr;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const VARIABLES: [(&str, &str); 1] = [("GROUP_KEY", KEY)];
const URL: &str = "url = \"redis://127.0.0.1:6379\"\n";
const ADDRESS: &str = "address = \"192.0.2.1:5685\"\n";

/// A configuration with these lines, and the key in a variable.
fn text(lines: &str) -> String {
    format!("[state]\nkey_env = \"GROUP_KEY\"\n{lines}")
}

fn warnings(place: &Place, text: &str) -> String {
    let (_, warnings) = place.load(text, &VARIABLES).unwrap();
    let warnings: Vec<_> = warnings.iter().map(Warning::to_string).collect();
    warnings.join("\n")
}

#[test]
fn a_group_needs_a_url_a_key_and_an_address() {
    let place = Place::new();
    let (config, _) = place
        .load(&text(&format!("{URL}{ADDRESS}")), &VARIABLES)
        .unwrap();
    let group = config.group.unwrap();
    assert!(config.state.is_none());
    assert_eq!(
        group.address,
        Some(SocketAddr::from(([192, 0, 2, 1], 5685)))
    );
    assert_eq!(
        (group.listen.port(), group.window),
        (5685, Duration::from_secs(5))
    );
    assert_eq!(
        (group.server.port, &*group.server.prefix),
        (6379, "coaps-gateway")
    );
    // Listening at one address is enough.
    let listen = "listen = \"192.0.2.1:5685\"\nprefix = \"{fleet}\"\n";
    let (config, _) = place
        .load(&text(&format!("{URL}{listen}")), &VARIABLES)
        .unwrap();
    let group = config.group.unwrap();
    assert_eq!((group.address, &*group.server.prefix), (None, "{fleet}"));

    assert_mistakes(
        place.load(&text(URL), &VARIABLES),
        &[&[
            "state.address",
            "no address at which others reach",
            "port of state.listen",
        ]],
    );
    let nowhere = format!("{URL}address = \"0.0.0.0:5685\"\n");
    assert_mistakes(
        place.load(&text(&nowhere), &VARIABLES),
        &[&["state.address", "no address at which others reach"]],
    );
    let same = format!(
        "[listen]\ncoaps = \"192.0.2.1:5685\"\n{}",
        text(&format!("{URL}{ADDRESS}"))
    );
    assert_mistakes(
        place.load(&same, &VARIABLES),
        &[&["state.listen", "listen.coaps is the same UDP port"]],
    );
    assert_mistakes(
        place.load(&format!("[state]\n{URL}{ADDRESS}"), &[]),
        &[&[
            "state.url",
            "no key for the group",
            "the same for all gateways",
        ]],
    );
}

#[test]
fn the_key_is_not_made_and_one_place_has_it() {
    let place = Place::new();
    let missing = place.path("group.key");
    let lines = format!("[state]\n{URL}{ADDRESS}key_file = {missing:?}\n");
    assert_mistakes(
        place.load(&lines, &[]),
        &[&["state.key_file", "does not exist", "64 hexadecimal digits"]],
    );
    assert!(!missing.exists());
    let file = place.write("group.key", KEY);
    let lines = format!("[state]\n{URL}{ADDRESS}key_file = {file:?}\n");
    assert!(place.load(&lines, &[]).unwrap().0.group.is_some());
    assert_mistakes(
        place.load(&format!("{lines}key_env = \"GROUP_KEY\"\n"), &VARIABLES),
        &[&["state.key_env", "state.key_file is set as well"]],
    );
    place.write("group.key", "no key");
    assert_mistakes(
        place.load(&lines, &[]),
        &[&["state.key_file", "holds no key", "64 hexadecimal digits"]],
    );
}

#[test]
fn a_directory_and_connection_ids_of_another_length_are_mistakes() {
    let place = Place::new();
    let directory = place.path("state");
    let lines = text(&format!("{URL}{ADDRESS}directory = {directory:?}\n"));
    assert_mistakes(
        place.load(&lines, &VARIABLES),
        &[&[
            "state.url",
            "state.directory is set as well",
            "a server for several",
        ]],
    );
    let lines = text(&format!("{URL}{ADDRESS}"));
    assert_mistakes(
        place.load(&format!("{lines}[dtls]\nconnection_id = 4\n"), &VARIABLES),
        &[&[
            "dtls.connection_id",
            "4 bytes can't name a session of a group",
            "8, or 0",
        ]],
    );
    for fine in ["connection_id = 0", "connection_id = 8"] {
        let lines = format!("{lines}[dtls]\n{fine}\n");
        assert!(place.load(&lines, &VARIABLES).unwrap().0.group.is_some());
    }
    let only_13 = format!("{lines}[dtls]\nversions = [\"1.3\"]\n");
    assert!(warnings(&place, &only_13).contains("sessions of DTLS 1.3 are not stored"));
}

#[test]
fn a_password_is_in_no_message() {
    let place = Place::new();
    let secret = "url = \"redis://user:PassW0rd@127.0.0.1:6379/\"\n";
    let (config, _) = place
        .load(&text(&format!("{secret}{ADDRESS}")), &VARIABLES)
        .unwrap();
    let shown = format!("{:?}", config.group);
    assert!(
        shown.contains("127.0.0.1") && !shown.contains("PassW0rd"),
        "{shown}"
    );
    assert!(!shown.contains("0011"), "{shown}");
    for wrong in [
        "redi://user:PassW0rd@host",
        "redis://user:PassW0rd@host:port",
    ] {
        let lines = text(&format!("url = {wrong:?}\n{ADDRESS}"));
        let mistakes = place.load(&lines, &VARIABLES).unwrap_err();
        assert!(!mistakes.concat().contains("PassW0rd"), "{mistakes:?}");
        assert_mistakes(
            Err::<(), _>(mistakes),
            &[&["state.url", "redis://HOST:PORT"]],
        );
    }
}

#[test]
fn what_has_no_effect_or_no_tls_is_warned_about() {
    let place = Place::new();
    for line in [ADDRESS, "ca_file = \"a/b\"\n"] {
        let warnings = warnings(&place, &format!("[state]\n{line}"));
        assert!(
            warnings.contains("has no effect: state.url is not set"),
            "{line}: {warnings}"
        );
    }
    let lines = text(&format!("url = \"redis://redis.example.com\"\n{ADDRESS}"));
    assert!(warnings(&place, &lines).contains("redis:// has no TLS"));
    assert_eq!(
        warnings(&place, &text(&format!("{URL}{ADDRESS}"))),
        warnings(&place, "")
    );
    let missing = format!("url = \"rediss://redis.example.com\"\n{ADDRESS}ca_file = \"no/such\"\n");
    assert_mistakes(
        place.load(&text(&missing), &VARIABLES),
        &[&["state.ca_file", "it does not exist"]],
    );
    let no_pem = place.write("ca.pem", "no PEM");
    let lines = format!("url = \"rediss://redis.example.com\"\n{ADDRESS}ca_file = {no_pem:?}\n");
    assert_mistakes(place.load(&text(&lines), &VARIABLES), &[&["state.ca_file"]]);
    assert_mistakes(
        place.load(
            &text(&format!("{URL}{ADDRESS}prefix = \"a b\"\n")),
            &VARIABLES,
        ),
        &[&["state.prefix", "no prefix", "letters, digits"]],
    );
}
