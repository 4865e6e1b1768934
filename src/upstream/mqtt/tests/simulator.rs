//! Against the simulator, beside the HTTP form: the outcomes are the same.

use super::*;
use crate::upstream::{Package, ThingsBoard};
use serde_json::json;
use thingsboard_simulator::{
    Assignee, CommandOutcome, Control, MqttSettings, PackageId, PackageKind, Profile, RateLimit,
    RpcStatus, ServerRpc, Simulator, Strategy,
};

struct World {
    control: Control,
    http: ThingsBoard,
    mqtt: Gateway,
    device: Arc<Device>,
}

async fn world() -> World {
    let any = ([127, 0, 0, 1], 0).into();
    let mut simulator = Simulator::bind(any).await.unwrap();
    let port = simulator.bind_mqtt(any).await.unwrap().port();
    let http = simulator.local_addr();
    let control = simulator.control();
    tokio::spawn(simulator.run(std::future::pending()));
    let device = device(1);
    control
        .add_device(&device.name, device.token.expose())
        .unwrap();
    let broker = Broker::new().await;
    let settings = Settings {
        port,
        ..settings(&broker)
    };
    let http = ThingsBoard::new(crate::upstream::Settings {
        url: format!("http://{http}").parse().unwrap(),
        http_url: None,
        tls: crate::upstream::TlsFiles::default(),
        http_version: crate::upstream::HttpVersion::Auto,
        timeout: settings.timeout,
        max_in_flight: 64,
        max_downlink: 64,
        max_packages: 8,
        max_connections: 8,
        connects_per_second: 100,
        alive_for: settings.alive_for,
    });
    World {
        control,
        http: http.unwrap(),
        mqtt: gateway(&settings),
        device,
    }
}

impl World {
    /// The outcomes over HTTP and over MQTT.
    async fn both(&self, operation: Operation) -> [Result<Bytes, Error>; 2] {
        let device = self.device.clone();
        let over_http = self.http.send(Request::Device {
            device,
            operation: operation.clone(),
        });
        let over_http = over_http.await.map(|answer| answer.body);
        [over_http, self.mqtt.send(&self.device, operation).await]
    }
}

#[tokio::test]
async fn bodies_have_the_same_outcome_as_over_http() {
    let world = world().await;
    let connects = || world.control.mqtt_counts("meter-1").unwrap().connects;
    let bodies = [
        "{}",
        "{temperature:25}",
        r#"{"a":null,"b":[1],"c":{"d":1}}"#,
        r#"[{"a":1},{"ts":5,"values":{"a":1}}]"#,
        r#"{"ts":1}"#,
        r#"{"ts":"x","values":{"a":1}}"#,
        r#"{"ts":"17","values":{"a":1}}"#,
        r#"{"ts":1,"values":[]}"#,
        r#"{"a":1e99999999999}"#,
        "[1]",
        "[{}]",
        "null",
        "5",
        "text",
        "{",
        "{\"a\":\"",
        "{method:m}",
        r#"{"method":"m","params":{}}"#,
        r#"{"method":{},"params":{}}"#,
        r#"{"params":{}}"#,
        r#"{"secretKey":"a","durationMs":"soon"}"#,
        r#"{"secretKey":"a","durationMs":5}"#,
    ];
    for text in bodies {
        let body = || Bytes::from_static(text.as_bytes());
        for operation in [
            Operation::PostTelemetry(body()),
            Operation::PostAttributes(body()),
            Operation::Claim(body()),
            Operation::ReplyRpc {
                id: 5,
                body: body(),
            },
            Operation::ReplyRpc {
                id: 0x8000_0000,
                body: body(),
            },
            Operation::CallRpc(body()),
        ] {
            // Over HTTP a client-side RPC must have params; over MQTT none are needed, and the simulator's rule chain is
            // silent about the method either way.
            if matches!(operation, Operation::CallRpc(_)) && text.contains("method:m") {
                continue;
            }
            let is_silent = matches!(operation, Operation::CallRpc(_)) && text.contains("\"m\"");
            if is_silent {
                continue;
            }
            let [over_http, over_mqtt] = world.both(operation.clone()).await;
            assert_eq!(over_mqtt, over_http, "{operation:?} of {text}");
        }
    }
    assert_eq!(connects(), 1, "none of them closed the connection");
}

#[tokio::test]
async fn reads_of_attributes_have_the_same_answers_as_over_http() {
    let world = world().await;
    let read = |client: Option<&str>, shared: Option<&str>| Operation::GetAttributes {
        client_keys: client.map(str::to_owned),
        shared_keys: shared.map(str::to_owned),
    };
    for is_filled in [false, true] {
        if is_filled {
            let control = &world.control;
            for (key, value) in [("a", json!(1)), ("b c", json!({"d": "\u{e9}\""}))] {
                control
                    .set_shared_attribute("meter-1", key, &value)
                    .unwrap();
                control
                    .set_client_attribute("meter-1", key, &value)
                    .unwrap();
            }
        }
        for operation in [
            Operation::ReadAttributes,
            Operation::ReadAssignment(Package::Firmware),
            read(None, None),
            read(Some("a"), None),
            read(None, Some("a,b c")),
            read(Some("a, b c"), Some("unknown")),
            read(Some(""), Some("a")),
            read(Some(""), Some("")),
            read(Some(","), None),
        ] {
            let [over_http, over_mqtt] = world.both(operation.clone()).await;
            let parsed = |outcome: Result<Bytes, Error>| {
                serde_json::from_slice::<serde_json::Value>(&outcome.unwrap()).unwrap()
            };
            assert_eq!(parsed(over_mqtt), parsed(over_http), "{operation:?}");
        }
    }
}

#[tokio::test]
async fn packages_have_the_same_outcome_as_over_http() {
    let world = world().await;
    let part = |package, title: &str, size, chunk| Operation::GetPackage {
        package,
        title: title.into(),
        version: "1.0".into(),
        size,
        chunk,
    };
    let all = || {
        [Package::Firmware, Package::Software]
            .into_iter()
            .flat_map(move |package| {
                [
                    part(package, "meter", 1024, 0),
                    part(package, "meter", 65_536, 1),
                    part(package, "meter", 1 << 18, 0),
                    part(package, "meter", 64, 1_000_000),
                    part(package, "valve", 1024, 0),
                ]
            })
    };
    for operation in all() {
        let [over_http, over_mqtt] = world.both(operation.clone()).await;
        assert_eq!(over_mqtt, over_http, "{operation:?}");
    }
    let control = &world.control;
    for (kind, package) in [
        (
            PackageKind::Firmware,
            thingsboard_simulator::Package::generated(150_000),
        ),
        (
            PackageKind::Software,
            thingsboard_simulator::Package::external("http://127.0.0.1/"),
        ),
    ] {
        let id = PackageId::new(kind, "meter", "1.0");
        control.add_package(&id, package).unwrap();
        control
            .assign_package(Assignee::Device("meter-1"), &id)
            .unwrap();
    }
    for operation in all() {
        let [over_http, over_mqtt] = world.both(operation.clone()).await;
        assert_eq!(over_mqtt, over_http, "{operation:?}");
    }
    assert_eq!(control.mqtt_counts("meter-1").unwrap().connects, 1);
}

#[tokio::test]
async fn provisioning_has_the_same_outcome_as_over_http() {
    let world = world().await;
    let profile = Profile {
        key: "key".to_owned(),
        secret: "secret".to_owned(),
        strategy: Strategy::AllowCreateNewDevices,
    };
    world.control.add_profile(profile).unwrap();
    for (text, over_mqtt_name) in [
        (
            r#"{"deviceName":"n","provisionDeviceKey":"key","provisionDeviceSecret":"secret","token":"t-n"}"#,
            "n2",
        ),
        (
            r#"{"deviceName":"meter-1","provisionDeviceKey":"key","provisionDeviceSecret":"secret"}"#,
            "meter-1",
        ),
        (
            r#"{"deviceName":"n","provisionDeviceKey":"wrong","provisionDeviceSecret":"secret"}"#,
            "n",
        ),
        (r#"{"deviceName":"n","provisionDeviceKey":"key"}"#, "n"),
        ("{}", "n"),
        ("[]", "n"),
        ("{", "n"),
        (
            r#"{"provisionDeviceKey":"key","provisionDeviceSecret":"secret","credentialsType":"ODD"}"#,
            "n",
        ),
    ] {
        let over_http = world.http.send(Request::Provision { body: text.into() });
        let over_http = over_http.await.map(|answer| answer.body);
        let text = text
            .replace(
                "\"deviceName\":\"n\"",
                &format!("\"deviceName\":\"{over_mqtt_name}\""),
            )
            .replace("t-n", "t-m");
        let over_mqtt = world.mqtt.upstream.send(Request::Provision {
            body: text.clone().into(),
        });
        let over_mqtt = over_mqtt.await.map(|answer| answer.body);
        let parsed = |body: &Bytes| {
            let text = String::from_utf8(body.to_vec())
                .unwrap()
                .replace("t-m", "t-n");
            serde_json::from_str::<serde_json::Value>(&text).unwrap()
        };
        match (&over_http, &over_mqtt) {
            (Ok(http), Ok(mqtt)) => assert_eq!(parsed(mqtt), parsed(http), "{text}"),
            _ => assert_eq!(over_mqtt, over_http, "{text}"),
        }
    }
}

#[tokio::test]
async fn commands_and_changes_come_and_are_delivered_by_their_acknowledgement() {
    let mut world = world().await;
    world.mqtt.subscribe(&world.device);
    world.mqtt.subscribed().await;
    let control = world.control.clone();
    control
        .set_shared_attribute("meter-1", "a", &json!(1))
        .unwrap();
    let Notice::Attributes {
        body,
        acknowledgement,
    } = world.mqtt.notice().await
    else {
        panic!();
    };
    assert_eq!(body, "{\"a\":1}");
    world.mqtt.upstream.acknowledge(acknowledgement);
    let rpc = ServerRpc::twoway("m", &json!({"p": 1}));
    let id = control.persistent_command("meter-1", rpc, None).unwrap();
    let Notice::Command {
        id: number,
        body,
        acknowledgement,
    } = world.mqtt.notice().await
    else {
        panic!();
    };
    let expected = json!({"id": number, "method": "m", "params": {"p": 1}});
    let sent: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(sent, expected);
    assert_eq!(control.rpc_status(id).unwrap().0, RpcStatus::Sent);
    world.mqtt.upstream.acknowledge(acknowledgement);
    for _ in 0..200 {
        if control.rpc_status(id).unwrap().0 == RpcStatus::Delivered {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(control.rpc_status(id).unwrap().0, RpcStatus::Delivered);
    let command = {
        let control = control.clone();
        let rpc = ServerRpc::twoway("m", &json!(null));
        tokio::spawn(async move { control.command("meter-1", rpc).await })
    };
    let Notice::Command { id, .. } = world.mqtt.notice().await else {
        panic!();
    };
    let reply = Operation::ReplyRpc {
        id,
        body: "{\"r\":2}".into(),
    };
    world.mqtt.send(&world.device, reply).await.unwrap();
    let outcome = command.await.unwrap().unwrap();
    assert_eq!(outcome, CommandOutcome::Reply("{\"r\":2}".to_owned()));
}

#[tokio::test]
async fn a_restart_a_changed_token_and_a_rate_limit() {
    let mut world = world().await;
    world.mqtt.subscribe(&world.device);
    world.mqtt.subscribed().await;
    world.control.restart(Duration::from_millis(300));
    loop {
        match world.mqtt.notice().await {
            Notice::Interrupted { .. } => {}
            notice if is_subscribed(&notice) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.mqtt.post(&world.device).await, Ok(Bytes::new()));
    world.control.set_mqtt_settings(MqttSettings {
        telemetry_limit: Some(RateLimit {
            messages: 2,
            period: Duration::from_secs(60),
        }),
        ..MqttSettings::default()
    });
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(world.mqtt.post(&world.device).await);
    }
    let expected = [
        Ok(Bytes::new()),
        Ok(Bytes::new()),
        rejected(Rejection::RateLimited),
    ];
    assert_eq!(outcomes, expected);
    world.mqtt.interrupted().await;
    assert_eq!(world.mqtt.notice().await, Notice::RateLimited);
    world.mqtt.subscribed().await;
    world.control.add_device("meter-1", "other").unwrap();
    world.mqtt.interrupted().await;
    assert_eq!(world.mqtt.notice().await, Notice::TokenRefused);
    assert_eq!(
        world.mqtt.post(&world.device).await,
        rejected(Rejection::TokenRefused)
    );
}
