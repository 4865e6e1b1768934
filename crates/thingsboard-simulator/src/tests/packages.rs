use super::client::{Reply, parsed, rest};
use super::polls::response;
use super::{Server, TOKEN, start};
use crate::{Assignee, HELP, Package, PackageId, PackageKind, Profile, Scope, Strategy};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const BYTES: &[u8] = b"\x00\xffbytes of a firmware";
const REQUEST: &str = "firmware?title=meter&version=1.0";

fn firmware(version: &str) -> PackageId {
    PackageId::new(PackageKind::Firmware, "meter", version)
}

/// The device `meter` has the firmware `meter` 1.0.
async fn assigned() -> Server {
    let server = start().await;
    let control = &server.control;
    control
        .add_package(&firmware("1.0"), Package::of(BYTES))
        .unwrap();
    control
        .assign_package(Assignee::Device("meter"), &firmware("1.0"))
        .unwrap();
    server
}

fn shared(server: &Server, device: &str) -> Value {
    server.control.attributes(device, Scope::Shared).unwrap()
}

impl Server {
    async fn controls(&self, method: &str, path: &str, body: &str) -> Reply {
        self.with_headers(method, &format!("/simulator/{path}"), "", body)
            .await
    }

    /// A PUT with a body of any bytes.
    async fn upload(&self, path: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!(
            "PUT /simulator/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut stream = self.send(&head).await;
        // A body that is refused may not be read to its end.
        let _ = stream.write_all(body).await;
        parsed(&rest(&mut stream).await)
    }
}

#[tokio::test]
async fn a_whole_package_has_its_name_and_length_and_no_etag() {
    let server = assigned().await;
    let reply = server.get(REQUEST).await;
    assert_eq!((reply.status, reply.bytes.as_slice()), (200, BYTES));
    for (name, expected) in [
        ("content-type", Some("application/octet-stream")),
        (
            "content-disposition",
            Some("attachment;filename=meter-1.0.bin"),
        ),
        ("x-filename", Some("meter-1.0.bin")),
        ("content-length", Some("21")),
        ("etag", None),
    ] {
        assert_eq!(reply.header(name), expected, "{name}");
    }
}

#[tokio::test]
async fn chunks_of_a_package_are_200_and_empty_past_its_end() {
    let server = assigned().await;
    for (chunk, expected) in [(0, &BYTES[..16]), (1, &BYTES[16..]), (2, &[]), (9999, &[])] {
        let reply = server
            .get(&format!("{REQUEST}&size=16&chunk={chunk}"))
            .await;
        assert_eq!(
            (reply.status, reply.bytes.as_slice()),
            (200, expected),
            "{chunk}"
        );
        let length = expected.len().to_string();
        assert_eq!(reply.header("content-length"), Some(length.as_str()));
        assert_eq!(reply.header("x-filename"), Some("meter-1.0.bin"));
    }
}

#[tokio::test]
async fn a_package_that_is_not_served_gets_thingsboards_status() {
    let server = assigned().await;
    let empty = |reply: Reply| (reply.status, reply.bytes.len());
    let other = [
        ("firmware?title=meter&version=2.0", 400),
        ("firmware?title=Meter&version=1.0", 400),
        ("software?title=meter&version=1.0", 404),
        ("firmware?title=meter&version=1.0&size=1&chunk=-1", 500),
    ];
    for (path, status) in other {
        assert_eq!(empty(server.get(path).await), (status, 0), "{path}");
    }
    let unknown = server
        .call("GET", &format!("/api/v1/UNKNOWN/{REQUEST}"), "")
        .await;
    assert_eq!(empty(unknown), (401, 0));
    let missing = server.get("firmware?title=meter").await;
    assert_eq!(
        (missing.status, &missing.json()["errorCode"]),
        (400, &json!(31))
    );
    // The arguments are checked before the token.
    let both = server.call("GET", "/api/v1/UNKNOWN/firmware", "").await;
    assert_eq!(both.status, 400);

    let elsewhere = Package::external("https://example.com/1.0");
    server
        .control
        .add_package(&firmware("1.0"), elsewhere)
        .unwrap();
    assert_eq!(empty(server.get(REQUEST).await), (404, 0));
}

#[tokio::test]
async fn assigning_sets_the_shared_attributes_and_a_version_stays_text() {
    let server = assigned().await;
    let sha256 = Value::from(&*hex(BYTES));
    let expected = json!({
        "fw_title": "meter",
        "fw_version": "1.0",
        "fw_size": 21,
        "fw_checksum_algorithm": "SHA256",
        "fw_checksum": sha256,
    });
    assert_eq!(shared(&server, "meter"), expected);
    let keys =
        "attributes?sharedKeys=fw_title,fw_version,fw_size,fw_checksum,fw_checksum_algorithm";
    assert_eq!(server.get(keys).await.json(), json!({ "shared": expected }));

    let url = Package::external("https://example.com/2.0").with_tag("rollout");
    server.control.add_package(&firmware("2.0"), url).unwrap();
    let to = Assignee::Device("meter");
    server.control.assign_package(to, &firmware("2.0")).unwrap();
    let expected = json!({
        "fw_title": "meter",
        "fw_version": "2.0",
        "fw_tag": "rollout",
        "fw_url": "https://example.com/2.0",
    });
    assert_eq!(shared(&server, "meter"), expected);
    let existed = server.control.unassign_package(to, PackageKind::Firmware);
    assert_eq!(existed, Ok(true));
    assert_eq!(shared(&server, "meter"), json!({}));
}

fn hex(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn an_open_poll_gets_the_delete_and_misses_the_update() {
    let server = start().await;
    server
        .control
        .set_subscription_delay(std::time::Duration::ZERO);
    server
        .control
        .add_package(&firmware("1.0"), Package::of(BYTES))
        .unwrap();
    let poll = format!(
        "GET /api/v1/{TOKEN}/attributes/updates?timeout=20000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    let stream = server.send(&poll).await;
    while server
        .control
        .subscriptions("meter")
        .unwrap()
        .attributes
        .live
        == 0
    {
        tokio::task::yield_now().await;
    }
    let to = Assignee::Device("meter");
    server.control.assign_package(to, &firmware("1.0")).unwrap();
    assert_eq!(
        response(stream).await.body,
        r#"{"deleted":["fw_tag","fw_url"]}"#
    );
}

#[tokio::test]
async fn a_package_assigned_to_all_applies_to_devices_without_their_own_and_to_new_ones() {
    let server = assigned().await;
    let control = &server.control;
    control.add_device("b", "T2").unwrap();
    control
        .add_package(&firmware("2.0"), Package::of("two"))
        .unwrap();
    control
        .assign_package(Assignee::All, &firmware("2.0"))
        .unwrap();
    control.add_device("c", "T3").unwrap();
    control
        .add_profile(Profile {
            key: "K".to_owned(),
            secret: "S".to_owned(),
            strategy: Strategy::AllowCreateNewDevices,
        })
        .unwrap();
    let body = r#"{"deviceName":"d","provisionDeviceKey":"K","provisionDeviceSecret":"S"}"#;
    server.call("POST", "/api/v1/provision", body).await;
    for (device, version) in [("meter", "1.0"), ("b", "2.0"), ("c", "2.0"), ("d", "2.0")] {
        assert_eq!(shared(&server, device)["fw_version"], version, "{device}");
    }
    // Without its own it has that of all, and its attributes change.
    let own = Assignee::Device("meter");
    control
        .unassign_package(own, PackageKind::Firmware)
        .unwrap();
    assert_eq!(shared(&server, "meter")["fw_version"], "2.0");
    // A new device of the same name does not get a deleted device's assignment.
    control.assign_package(own, &firmware("1.0")).unwrap();
    control.remove_device("meter");
    control.add_device("meter", TOKEN).unwrap();
    assert_eq!(shared(&server, "meter")["fw_version"], "2.0");
}

#[tokio::test]
async fn repeating_an_assignment_does_not_change_attributes() {
    let server = assigned().await;
    let to = Assignee::Device("meter");
    server
        .control
        .set_shared_attribute("meter", "fw_title", &json!("by hand"))
        .unwrap();
    server.control.assign_package(to, &firmware("1.0")).unwrap();
    server
        .control
        .assign_package(Assignee::All, &firmware("1.0"))
        .unwrap();
    assert_eq!(shared(&server, "meter")["fw_title"], "by hand");
}

#[tokio::test]
async fn a_replaced_package_is_announced_and_served_at_once() {
    let server = assigned().await;
    let before = shared(&server, "meter");
    let other = Package::seeded(21, 7);
    server.control.add_package(&firmware("1.0"), other).unwrap();
    let after = shared(&server, "meter");
    assert_eq!(
        (&before["fw_size"], &before["fw_version"]),
        (&after["fw_size"], &after["fw_version"])
    );
    assert_ne!(before["fw_checksum"], after["fw_checksum"]);
    let reply = server.get(REQUEST).await;
    assert_eq!(after["fw_checksum"], hex(&reply.bytes));
}

#[tokio::test]
async fn bytes_served_are_counted_by_package() {
    let server = assigned().await;
    for query in ["&size=16", "&size=16&chunk=1", "&size=16&chunk=2", ""] {
        server.get(&format!("{REQUEST}{query}")).await;
    }
    server.get("firmware?title=meter&version=2.0").await;
    let served = server.control.served(&firmware("1.0")).unwrap();
    assert_eq!((served.requests, served.bytes), (4, 42));
    assert_eq!(server.control.served(&firmware("2.0")), None);
    let list = server.controls("GET", "packages", "").await.json();
    assert_eq!(list[0]["served"], json!({"requests": 4, "bytes": 42}));
}

#[tokio::test]
async fn packages_are_made_uploaded_assigned_and_deleted_over_http() {
    let server = start().await;
    let made = server
        .controls(
            "PUT",
            "packages/software/app/1%2F2",
            r#"{"size":1048576,"tag":"t"}"#,
        )
        .await;
    let made = made.json();
    assert_eq!(
        (&made["version"], &made["size"], &made["tag"]),
        (&json!("1/2"), &json!(1_048_576), &json!("t"))
    );
    // The checksum in the help.
    assert!(HELP.contains(made["sha256"].as_str().unwrap()), "{made}");

    let path = "packages/firmware/meter/1.0";
    let sent = server.upload(&format!("{path}/data?tag=x+y"), BYTES).await;
    assert_eq!(sent.json()["sha256"], hex(BYTES), "{sent:?}");
    assert_eq!(sent.json()["tag"], "x y");
    let package = r#"{"title":"meter","version":"1.0"}"#;
    for place in ["firmware", "devices/meter/firmware"] {
        assert_eq!(server.controls("GET", place, "").await.json(), Value::Null);
        assert_eq!(server.controls("PUT", place, package).await.status, 204);
        let shown = server.controls("GET", place, "").await;
        assert_eq!(shown.body.trim(), package);
        assert_eq!(server.get(REQUEST).await.bytes, BYTES);
        assert_eq!(server.controls("DELETE", path, "").await.status, 400);
        assert_eq!(server.controls("DELETE", place, "").await.status, 204);
        assert_eq!(server.controls("DELETE", place, "").await.status, 404);
    }
    assert_eq!(server.get(REQUEST).await.status, 404);
    assert_eq!(server.controls("DELETE", path, "").await.status, 204);
    assert_eq!(server.controls("DELETE", path, "").await.status, 404);
    assert_eq!(server.controls("GET", path, "").await.status, 404);
}

#[tokio::test]
async fn an_invalid_package_is_refused_with_a_reason() {
    let server = start().await;
    for (method, path, body, word) in [
        ("PUT", "packages/hardware/a/1", r#"{"size":1}"#, "hardware"),
        ("PUT", "packages/firmware/a/1", "{}", "size"),
        ("PUT", "packages/firmware/a/1", r#"{"seed":1}"#, "size"),
        (
            "PUT",
            "packages/firmware/a/1",
            r#"{"size":1,"url":"x"}"#,
            "url",
        ),
        ("PUT", "packages/firmware/a/1", r#"{"size":0}"#, "bytes"),
        (
            "PUT",
            "packages/firmware/a/1",
            r#"{"size":16777217}"#,
            "16777216",
        ),
        ("PUT", "packages/firmware/a/1/data", "", "bytes"),
        ("PUT", "packages/firmware//1", r#"{"size":1}"#, "title"),
        (
            "PUT",
            "firmware",
            r#"{"title":"a","version":"1"}"#,
            "no firmware \"a\" \"1\"",
        ),
        (
            "PUT",
            "devices/unknown/firmware",
            r#"{"title":"a","version":"1"}"#,
            "unknown",
        ),
        ("DELETE", "devices/unknown/firmware", "", "unknown"),
        ("GET", "devices/unknown/firmware", "", "unknown"),
    ] {
        let reply = server.controls(method, path, body).await;
        assert_eq!(reply.status, 400, "{method} {path} {body}: {reply:?}");
        let reason = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reason.contains(word), "{reason}");
    }
    for (method, path) in [
        ("POST", "packages"),
        ("POST", "packages/firmware/a/1"),
        ("POST", "firmware"),
    ] {
        assert_eq!(
            server.controls(method, path, "").await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_upload_may_be_sixteen_mebibytes_and_all_else_one() {
    let server = start().await;
    let path = "packages/firmware/meter/1.0";
    let mut image = vec![0xff; 16 * 1024 * 1024];
    let sent = server.upload(&format!("{path}/data"), &image).await;
    assert_eq!(
        (sent.status, &sent.json()["size"]),
        (200, &json!(16_777_216))
    );
    image.push(0);
    let refused = server.upload(&format!("{path}/data"), &image).await;
    assert_eq!(refused.status, 413);
    let refused = server.upload(path, &image[..1_048_577]).await;
    assert_eq!(refused.status, 413);
}
