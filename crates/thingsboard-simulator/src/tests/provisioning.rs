use super::client::Reply;
use super::{Server, start};
use crate::{Profile, Strategy};
use serde_json::{Value, json};

async fn with_profile(strategy: Strategy) -> Server {
    let server = start().await;
    let profile = Profile {
        key: "KEY".into(),
        secret: "SECRET".into(),
        strategy,
    };
    server.control.add_profile(profile).unwrap();
    server
}

async fn provision(server: &Server, more: Value) -> Reply {
    let mut body = json!({"provisionDeviceKey": "KEY", "provisionDeviceSecret": "SECRET"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    server
        .call("POST", "/api/v1/provision", &body.to_string())
        .await
}

const NOT_FOUND: &str = r#"{"errorMsg":"Provision data was not found!","status":"NOT_FOUND"}"#;
const FAILURE: &str = r#"{"errorMsg":"Failed to provision device!","status":"FAILURE"}"#;

#[tokio::test]
async fn a_new_device_gets_a_token_that_works() {
    let server = with_profile(Strategy::AllowCreateNewDevices).await;
    let reply = provision(&server, json!({"deviceName": " new "})).await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!(answer["status"], "SUCCESS");
    assert_eq!(answer["credentialsType"], "ACCESS_TOKEN");
    let token = answer["credentialsValue"].as_str().unwrap();
    assert_eq!(token.len(), 20);
    let posted = server
        .call("POST", &format!("/api/v1/{token}/telemetry"), "{}")
        .await;
    assert_eq!(posted.status, 200);
    let last = server.control.arrivals().pop().unwrap();
    assert_eq!(last.device.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_chosen_token_is_used_unless_another_device_has_it() {
    let server = with_profile(Strategy::AllowCreateNewDevices).await;
    let reply = provision(&server, json!({"deviceName": "a", "token": "MINE"})).await;
    assert_eq!(
        reply.body,
        r#"{"credentialsValue":"MINE","credentialsType":"ACCESS_TOKEN","status":"SUCCESS"}"#
    );
    let reply = provision(&server, json!({"deviceName": "b", "token": "MINE"})).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, FAILURE));
}

#[tokio::test]
async fn failures_are_200_as_well() {
    let server = with_profile(Strategy::AllowCreateNewDevices).await;
    for (more, body) in [
        (json!({"provisionDeviceKey": "other"}), NOT_FOUND),
        (json!({"provisionDeviceSecret": "wrong"}), NOT_FOUND),
        (json!({"provisionDeviceKey": ""}), NOT_FOUND),
        (json!({"deviceName": "meter"}), FAILURE),
        (json!({"deviceName": "  "}), FAILURE),
    ] {
        let reply = provision(&server, more.clone()).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{more}");
    }
    let server = with_profile(Strategy::Disabled).await;
    assert_eq!(
        provision(&server, json!({"deviceName": "x"})).await.body,
        NOT_FOUND
    );
}

#[tokio::test]
async fn a_pre_provisioned_device_gets_its_own_token_once() {
    let server = with_profile(Strategy::CheckPreProvisionedDevices).await;
    server
        .control
        .add_device_in_profile("pre", "PRE_TOKEN", "KEY")
        .unwrap();
    let more = json!({"deviceName": "pre", "token": "ignored"});
    let reply = provision(&server, more.clone()).await;
    assert_eq!(reply.json()["credentialsValue"], "PRE_TOKEN");
    assert_eq!(provision(&server, more).await.body, FAILURE);
    // A device without a profile, and an unknown one.
    for name in ["meter", "unknown"] {
        assert_eq!(
            provision(&server, json!({"deviceName": name})).await.body,
            FAILURE
        );
    }
}

#[tokio::test]
async fn other_credentials_have_their_shapes_and_do_not_work_over_http() {
    let server = with_profile(Strategy::AllowCreateNewDevices).await;
    let reply = provision(
        &server,
        json!({"deviceName": "m", "credentialsType": "MQTT_BASIC", "clientId": "c", "username": "u", "password": "p"}),
    )
    .await;
    assert_eq!(
        reply.json(),
        json!({"credentialsValue": {"clientId": "c", "userName": "u", "password": "p"}, "credentialsType": "MQTT_BASIC", "status": "SUCCESS"})
    );
    let reply = provision(
        &server,
        json!({"deviceName": "x", "credentialsType": "X509_CERTIFICATE", "hash": "MII"}),
    )
    .await;
    assert_eq!(reply.json()["credentialsValue"], "MII");
    assert_eq!(
        server
            .call("POST", "/api/v1/MII/telemetry", "{}")
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_body_that_the_controller_cannot_read_is_500_with_json() {
    let server = with_profile(Strategy::AllowCreateNewDevices).await;
    for (body, message) in [
        ("{", "End of input"),
        ("[]", "Can't parse value: []"),
        ("{deviceName:a}", "provisionDeviceKey"),
        (
            "{provisionDeviceKey:a,provisionDeviceSecret:b,credentialsType:NONE}",
            "No enum constant",
        ),
    ] {
        let reply = server.call("POST", "/api/v1/provision", body).await;
        assert_eq!(reply.status, 500, "{body}");
        let error = reply.json();
        assert_eq!(error["errorCode"], 2);
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
    }
    let server = with_profile(Strategy::X509CertificateChain).await;
    let reply = provision(&server, json!({"deviceName": "x"})).await;
    assert_eq!((reply.status, reply.body.as_str()), (500, ""));
}
