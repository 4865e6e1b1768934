use super::{Server, start};
use crate::Scope;
use serde_json::json;

async fn with_both_scopes() -> Server {
    let server = start().await;
    assert_eq!(
        server.post("attributes", "{fw:'1.2',ok:true}").await.status,
        200
    );
    let control = &server.control;
    control
        .set_shared_attribute("meter", "interval", &json!(60))
        .unwrap();
    control
        .set_shared_attribute("meter", "mode", &json!("eco"))
        .unwrap();
    server
}

#[tokio::test]
async fn posted_attributes_are_client_attributes() {
    let server = with_both_scopes().await;
    let client = server.control.attributes("meter", Scope::Client);
    assert_eq!(client, Some(json!({"fw": 1.2, "ok": true})));
}

#[tokio::test]
async fn each_key_list_reads_its_own_scope() {
    let server = with_both_scopes().await;
    let client = json!({"fw": 1.2, "ok": true});
    let shared = json!({"interval": 60, "mode": "eco"});
    for (query, expected) in [
        ("", json!({"client": client, "shared": shared})),
        (
            "?clientKeys=&sharedKeys=",
            json!({"client": client, "shared": shared}),
        ),
        ("?clientKeys=fw", json!({"client": {"fw": 1.2}})),
        ("?sharedKeys=mode,interval", json!({"shared": shared})),
        (
            "?clientKeys=ok&sharedKeys=mode",
            json!({"client": {"ok": true}, "shared": {"mode": "eco"}}),
        ),
        ("?clientKeys=fw&clientKeys=ok", json!({"client": client})),
        ("?clientKeys=interval", json!({})),
        ("?clientKeys=fw,%20ok", json!({"client": {"fw": 1.2}})),
        (
            "?clientKeys=absent&sharedKeys=mode",
            json!({"shared": {"mode": "eco"}}),
        ),
    ] {
        let reply = server.get(&format!("attributes{query}")).await;
        assert_eq!((reply.status, reply.json()), (200, expected), "{query}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn no_attributes_at_all_are_an_empty_object() {
    let server = start().await;
    let reply = server.get("attributes").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "{}"));
}

#[tokio::test]
async fn attributes_that_are_no_object_are_500_with_text() {
    let server = start().await;
    for (body, text) in [
        ("[{\"a\":1}]", "Can't parse value: [{\"a\":1}]"),
        ("7", "Can't parse value: 7"),
        ("  ", "Can't parse value: null"),
    ] {
        let reply = server.post("attributes", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (500, text));
    }
    assert_eq!(server.post("attributes", "{\"a\":}").await.status, 500);
}
