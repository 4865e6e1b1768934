//! Firmware and software in chunks.

use super::*;
use crate::{Assignee, Package, PackageId, PackageKind};

const CHUNK: &str = "v2/fw/request/12/chunk/0";

fn with_firmware(level: Level) -> Client {
    let client = Client::connected(level);
    assign(&client, "1", "0123456789");
    client
}

fn assign(client: &Client, version: &str, bytes: &'static str) {
    let id = PackageId::new(PackageKind::Firmware, "meter", version);
    let control = client.control();
    control.add_package(&id, Package::of(bytes)).unwrap();
    control
        .assign_package(Assignee::Device("meter"), &id)
        .unwrap();
}

fn answer(topic: &str, payload: &str, id: u16) -> Vec<String> {
    vec![
        "PUBACK 7 00".to_owned(),
        format!("PUBLISH #{id} {topic} {payload}"),
    ]
}

#[test]
fn chunks_have_the_size_of_the_payload_or_the_last_one_and_are_empty_past_the_end() {
    for level in [Level::V311, Level::V5] {
        let mut client = with_firmware(level);
        for (number, (topic, size, part)) in [
            (0, "", "0123456789"),
            (0, "0", "0123456789"),
            (0, "-4", "0123456789"),
            (0, "4", "0123"),
            (2, "4", "89"),
            (1, "", "4567"),
            (1, "0", "4567"),
            (3, "4", ""),
            (1, "5", "56789"),
            (0, "65536", "0123456789"),
        ]
        .into_iter()
        .enumerate()
        {
            let received = client.publish(&format!("v2/fw/request/12/chunk/{topic}"), size);
            let id = u16::try_from(number + 1).unwrap();
            let expected = answer(&format!("v2/fw/response/12/chunk/{topic}"), part, id);
            assert_eq!(received, expected, "{level:?} {topic} {size:?}");
        }
    }
}

#[test]
fn wrong_sizes_close_the_connection() {
    let exception = &["DISCONNECT 8b", "close"][..];
    let too_large = &[
        "PUBLISH #1 v2/fw/error PAYLOAD_TOO_LARGE",
        "DISCONNECT 83",
        "close",
    ];
    for (size, expected) in [("x", exception), (" 4", exception), ("65537", too_large)] {
        let mut client = with_firmware(Level::V5);
        assert_eq!(client.publish(CHUNK, size), expected, "{size:?}");
    }
    let mut client = with_firmware(Level::V311);
    assert_eq!(client.publish(CHUNK, "x"), ["close"]);
    let mut client = with_firmware(Level::V311);
    let received = client.publish(CHUNK, "65537");
    assert_eq!(
        received,
        ["PUBLISH #1 v2/fw/error PAYLOAD_TOO_LARGE", "close"]
    );
}

#[test]
fn without_a_package_the_connection_is_closed_with_an_error_on_the_topic_of_firmware() {
    let closed = ["DISCONNECT 83", "close"];
    for topic in [CHUNK, "v2/sw/request/12/chunk/0"] {
        let mut client = Client::connected(Level::V5);
        let received = client.publish(topic, "4");
        assert_eq!(received[0], "PUBLISH #1 v2/fw/error NOT_FOUND");
        assert_eq!(received[1..], closed);
    }
    let mut client = Client::connected(Level::V5);
    let id = PackageId::new(PackageKind::Software, "app", "1");
    let control = client.control();
    let package = Package::external("https://example.com/app");
    control.add_package(&id, package).unwrap();
    control.assign_package(Assignee::All, &id).unwrap();
    let received = client.publish("v2/sw/request/12/chunk/0", "4");
    assert_eq!(received[0], "PUBLISH #1 v2/fw/error FAILURE");
}

#[test]
fn a_download_goes_on_with_the_package_it_began_with() {
    let mut client = with_firmware(Level::V5);
    client.publish(CHUNK, "4");
    assign(&client, "2", "abcdefghij");
    let second = client.publish("v2/fw/request/12/chunk/1", "4");
    assert_eq!(second, answer("v2/fw/response/12/chunk/1", "4567", 2));
    let fresh = client.publish("v2/fw/request/13/chunk/1", "4");
    assert_eq!(fresh, answer("v2/fw/response/13/chunk/1", "efgh", 3));
    // The end of a package that was deleted looks like that of one that was read.
    let id = PackageId::new(PackageKind::Firmware, "meter", "1");
    assert!(client.control().remove_package(&id).unwrap());
    let third = client.publish("v2/fw/request/12/chunk/2", "4");
    assert_eq!(third, answer("v2/fw/response/12/chunk/2", "", 4));
}

#[test]
fn what_is_served_is_counted() {
    let mut client = with_firmware(Level::V5);
    client.publish(CHUNK, "4");
    client.publish(CHUNK, "8");
    let id = PackageId::new(PackageKind::Firmware, "meter", "1");
    let served = client.control().served(&id).unwrap();
    assert_eq!((served.requests, served.bytes), (2, 12));
}
