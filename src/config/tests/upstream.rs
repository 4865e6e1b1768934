//! `[upstream]`: two URLs, and the certificate that the gateway shows.

use super::*;

const MQTTS: &str = "[upstream]\nurl = \"mqtts://tb.example\"\n";

fn about(warnings: &[Warning], key: &str) -> Vec<String> {
    let warnings = warnings.iter().filter(|warning| warning.key == key);
    warnings.map(|warning| warning.message.clone()).collect()
}

/// The lines for these two files.
fn client(place: &Place, certificate: &str, key: &str) -> String {
    let (certificate, key) = (place.path(certificate), place.path(key));
    format!("client_certificate = {certificate:?}\nclient_key = {key:?}\n")
}

#[test]
fn an_http_url_stands_beside_a_url_of_mqtt_only() {
    let place = Place::new();
    let with = |url: &str, http: &str| format!("[upstream]\nurl = {url:?}\nhttp_url = {http:?}\n");
    let text = with("mqtt://127.0.0.1", "http://127.0.0.1:8080");
    let (config, warnings) = place.load(&text, &[]).unwrap();
    let http_url = config.upstream.http_url.unwrap();
    assert_eq!(http_url.to_string(), "http://127.0.0.1:8080");
    assert!(about(&warnings, "upstream.http_url").is_empty());
    let text = with("mqtts://tb.example", "http://tb.example");
    let (_, warnings) = place.load(&text, &[]).unwrap();
    let found = about(&warnings, "upstream.http_url");
    assert!(
        found.len() == 1 && found[0].contains("unencrypted"),
        "{found:?}"
    );
    for (url, http, expected) in [
        ("http://tb", "http://tb", "upstream.url is no URL of MQTT"),
        ("mqtt://tb", "mqtt://tb", "this is a URL of MQTT"),
    ] {
        assert_mistakes(
            place.load(&with(url, http), &[]),
            &[&["gateway.toml:3: upstream.http_url", expected]],
        );
    }
}

#[test]
fn the_certificate_that_the_gateway_shows_has_its_key() {
    let place = Place::new();
    let text = MQTTS.to_owned() + &client(&place, "certs/meter-17.pem", "certs/meter-17.key");
    let (config, _) = place.load(&text, &[]).unwrap();
    let shown = format!("{:?}", config.upstream);
    let client_certificate = config.upstream.tls.client.unwrap();
    assert_eq!(client_certificate.chain.len(), 1);
    assert!(shown.contains("ClientCertificate(hidden)"), "{shown}");
    let other = MQTTS.to_owned() + &client(&place, "certs/meter-17.pem", "certs/server.key");
    assert_mistakes(
        place.load(&other, &[]),
        &[&[
            "gateway.toml:4: upstream.client_key",
            "does not belong to the certificate",
        ]],
    );
    let swapped = MQTTS.to_owned() + &client(&place, "certs/meter-17.key", "certs/meter-17.pem");
    assert_mistakes(
        place.load(&swapped, &[]),
        &[
            &[
                "upstream.client_certificate",
                "private key, not a certificate",
            ],
            &["upstream.client_key", "certificate, not a private key"],
        ],
    );
    for (line, key, expected) in [
        (0, "upstream.client_certificate", "it has no key"),
        (1, "upstream.client_key", "it has no certificate"),
    ] {
        let both = client(&place, "certs/meter-17.pem", "certs/meter-17.key");
        let one = MQTTS.to_owned() + both.lines().nth(line).unwrap();
        assert_mistakes(place.load(&one, &[]), &[&[key, expected, "or neither"]]);
    }
}

#[test]
fn a_key_that_all_may_read_and_a_certificate_without_effect_are_warned_about() {
    let place = Place::new();
    let client = client(&place, "certs/meter-17.pem", "certs/meter-17.key");
    let plain = format!("[upstream]\n{client}");
    let (_, warnings) = place.load(&plain, &[]).unwrap();
    let found = about(&warnings, "upstream.client_certificate");
    assert!(
        found.len() == 1 && found[0].contains("has no effect"),
        "{found:?}"
    );
    assert!(about(&warnings, "upstream.client_key").is_empty());
    use std::os::unix::fs::PermissionsExt;
    let all = fs::Permissions::from_mode(0o644);
    fs::set_permissions(place.path("certs/meter-17.key"), all).unwrap();
    let (_, warnings) = place.load(&format!("{MQTTS}{client}"), &[]).unwrap();
    let found = about(&warnings, "upstream.client_key");
    assert!(
        found.len() == 1 && found[0].contains("chmod 600"),
        "{found:?}"
    );
}
