//! Reloads of the real binary: however a file changes, sessions and observations continue, and a file with mistakes is
//! not applied.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use test_support::admin::Admin;
use test_support::certificates::{Authority, Identity};
use test_support::client::Client;
use test_support::coap::{CON, Message, OBSERVE, POST, get};
use test_support::device::Device;
use test_support::process::{Process, now};
use test_support::scrape::Scrape;
use test_support::world::{METER_TOKEN, Options, PUMP_TOKEN, World, eventually};

const REGISTRY: &str = "device registry reloaded";
const REFUSED: &str = "not reloaded: the previous version stays in use";

fn entry(name: &str, identity: &Identity, token: &str) -> String {
    let fingerprint = &identity.fingerprint;
    format!("[[device]]\nname = {name:?}\nfingerprint = {fingerprint:?}\ntoken = {token:?}\n")
}

/// The number of log lines with this text.
fn count(world: &World, text: &str) -> usize {
    world
        .log()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

/// Makes a change, and waits until the log has one more line with this text.
fn after(world: &World, text: &str, change: impl FnOnce()) {
    let before = count(world, text);
    change();
    eventually(text, || count(world, text) > before);
}

/// Replaces a file in one step, as most programs do.
fn replace(path: &Path, contents: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, contents).unwrap();
    fs::rename(new, path).unwrap();
}

/// Posts telemetry and returns the code of the response.
fn post(device: &mut Client, id: u16) -> String {
    let mut request = Message::request(CON, POST, &["api", "v1", "telemetry"]).payload("{\"a\":1}");
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    device.send(&request);
    device.receive().code()
}

fn observe(device: &mut Client, feature: &str, id: u16) -> Message {
    let mut request = get(&["api", "v1", feature]).option(OBSERVE, []);
    (request.id, request.token) = (id, id.to_be_bytes().to_vec());
    device.send(&request);
    device.receive()
}

/// Asserts that the latest arrival is telemetry of this device.
fn arrived(world: &World, device: &str, body: &str) {
    world.assert_last_post("/api/v1/{token}/telemetry", device, body);
}

/// Established sessions of the meter, since the start.
fn sessions(world: &World) -> usize {
    let of_meter = |line: &&str| line.contains("session established") && line.contains("meter-17");
    world.log().lines().filter(of_meter).count()
}

#[test]
fn a_session_and_its_observations_survive_a_new_token_and_end_with_the_registration() {
    let world = World::start();
    let registry = world.path().join("devices.toml");
    let pump = entry("pump-03", &world.pump, PUMP_TOKEN);
    let mut meter = Client::connect(world.address, &world.meter);
    let mut other = Client::connect(world.address, &world.pump);
    assert!(observe(&mut meter, "attributes", 1).uint(OBSERVE).is_some());
    assert_eq!(post(&mut meter, 2), "2.01");
    arrived(&world, "meter-17", "{\"a\":1}");

    // The file is written in place. In ThingsBoard, the new token belongs to another device, so its arrivals show which
    // token was used.
    let successor = json!({"token": "SuccessorT0kenThatIsSecret"});
    world
        .simulator
        .put("/simulator/devices/successor", &successor);
    after(&world, REGISTRY, || {
        let meter = entry("meter-17", &world.meter, "SuccessorT0kenThatIsSecret");
        fs::write(&registry, meter + &pump).unwrap();
    });
    assert_eq!(post(&mut meter, 3), "2.01");
    arrived(&world, "successor", "{\"a\":1}");
    let shared = "/simulator/devices/successor/attributes/shared";
    world.simulator.post(shared, &json!({"interval": 7}));
    assert_eq!(meter.receive().text(), json!({"interval": 7}).to_string());

    // The entry is removed, and the file replaced by a rename.
    after(&world, REGISTRY, || replace(&registry, &pump));
    let last = meter.receive();
    assert_eq!((last.code(), last.uint(OBSERVE)), ("4.01".to_owned(), None));
    assert_eq!(post(&mut meter, 4), "4.01");
    assert_eq!(post(&mut other, 1), "2.01", "the other device is served");

    // The entry is added again, in the same session.
    after(&world, REGISTRY, || {
        replace(
            &registry,
            entry("meter-17", &world.meter, METER_TOKEN) + &pump,
        );
    });
    assert_eq!(post(&mut meter, 5), "2.01");
    arrived(&world, "meter-17", "{\"a\":1}");
    assert_eq!(sessions(&world), 1);
}

/// Kubernetes mounts a ConfigMap as a link to a link to a directory, and replaces the second link.
#[test]
fn the_swap_of_a_symbolic_link_in_the_path_is_noticed() {
    let world = World::start();
    let registry = world.path().join("devices.toml");
    let version = |name: &str, text: &str| {
        let directory = world.path().join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("devices.toml"), text).unwrap();
        symlink(name, world.path().join("..data_tmp")).unwrap();
        fs::rename(world.path().join("..data_tmp"), world.path().join("..data")).unwrap();
    };
    let pump = entry("pump-03", &world.pump, PUMP_TOKEN);
    let meter = entry("meter-17", &world.meter, METER_TOKEN);
    after(&world, REGISTRY, || {
        version("..2026_11_24_1", &pump);
        symlink("..data/devices.toml", world.path().join("link")).unwrap();
        fs::rename(world.path().join("link"), &registry).unwrap();
    });
    let mut device = Client::connect(world.address, &world.meter);
    assert_eq!(post(&mut device, 1), "4.01");
    after(&world, REGISTRY, || {
        version("..2026_11_24_2", &(meter + &pump));
        fs::remove_dir_all(world.path().join("..2026_11_24_1")).unwrap();
    });
    assert_eq!(post(&mut device, 2), "2.01");
}

#[test]
fn a_registry_with_mistakes_is_refused_as_a_whole_and_each_is_logged() {
    let world = World::with(&Options {
        admin: true,
        ..Options::default()
    });
    let registry = world.path().join("devices.toml");
    let mut device = Client::connect(world.address, &world.meter);
    let meter = entry("meter-17", &world.meter, METER_TOKEN);
    let twice = format!("{}{meter}", entry("other", &world.meter, "Another"));
    after(&world, REFUSED, || replace(&registry, &twice));
    let line = world.await_log("already belongs to");
    assert!(line.contains("devices.toml:7: "), "{line}");
    after(&world, REFUSED, || {
        replace(&registry, [0xff, 0, 0xfe].repeat(10_000))
    });
    world.await_log("this is not text");
    after(&world, REFUSED, || {
        // A gigabyte of zeros.
        let sparse = fs::File::create(registry.with_extension("new")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        fs::rename(registry.with_extension("new"), &registry).unwrap();
    });
    world.await_log("the file is larger than");
    after(&world, REFUSED, || fs::write(&registry, "").unwrap());
    world.await_log("the file is empty");
    after(&world, REFUSED, || fs::remove_file(&registry).unwrap());
    world.await_log("there is no such file");
    assert_eq!(count(&world, REGISTRY), 0);
    assert_eq!(post(&mut device, 1), "2.01");
    let mut new_device = Client::connect(world.address, &world.pump);
    assert_eq!(post(&mut new_device, 1), "2.01");
    let counted = |outcome| {
        let (_, text) = Admin::of(&world.gateway).get("/metrics");
        let labels = [("source", "registry"), ("outcome", outcome)];
        Scrape::read(&text).value("coaps_gateway_reloads_total", &labels)
    };
    assert_eq!((counted("refused"), counted("accepted")), (5.0, 0.0));
    // A valid registry is read again, also one without devices.
    after(&world, REGISTRY, || {
        replace(&registry, "# No device is registered.\n")
    });
    assert_eq!(post(&mut new_device, 3), "4.01");
    after(&world, REGISTRY, || replace(&registry, &meter));
    assert_eq!(post(&mut new_device, 2), "4.01");
    assert_eq!(counted("accepted"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_sessions_get_the_new_certificate_and_old_sessions_continue() {
    let world = World::start();
    let (certificate, key) = (
        world.path().join("localhost.pem"),
        world.path().join("localhost.key"),
    );
    let mut before = Client::connect(world.address, &world.meter);
    let authority = Authority::new("Another CA");
    let renewed = authority.server();
    // The new certificate does not match the old key.
    let pair = "the gateway's certificate and key";
    after(&world, REFUSED, || {
        fs::write(&certificate, &renewed.certificate_pem).unwrap()
    });
    world.await_log("the private key does not belong to the certificate");
    let device = world.meter().await;
    drop(device);
    after(&world, &format!("{pair} reloaded"), || {
        fs::write(&key, &renewed.key_pem).unwrap();
    });
    let device = Device::connect(world.address, &world.pump, &authority.pem).await;
    let (former, pump) = (&world.authority.pem, Some(&world.pump));
    let refused = Device::try_connect(world.address, pump, former).await;
    assert!(refused.is_err(), "the old certificate is still sent");
    device.ping().await;
    assert_eq!(post(&mut before, 1), "2.01");
}

#[test]
fn a_certificate_that_is_revoked_ends_its_live_session_and_no_other() {
    let directory = tempfile::TempDir::new().unwrap();
    let lists = directory.path().join("revoked.pem");
    // The authority is created with the world, so only a second gateway can have its lists.
    let world = World::start();
    let configuration = world.path().join("gateway.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    let with_lists = format!(
        "[clients]\nrevocation_lists = {:?}\n",
        lists.to_str().unwrap()
    );
    fs::write(&configuration, text.replace("[clients]\n", &with_lists)).unwrap();
    fs::write(&lists, world.authority.revoke(&[])).unwrap();
    let (gateway, address) = world.start_second_gateway();
    let await_line =
        |text: &str| gateway.await_line(text, |line| line.contains(text).then_some(()));
    let mut meter = Client::connect(address, &world.meter);
    let mut pump = Client::connect(address, &world.pump);
    // A list of an authority that is not trusted is refused.
    replace(&lists, Authority::new("Untrusted").revoke(&[&world.meter]));
    await_line("trust anchors and revocation lists not reloaded");
    assert_eq!(post(&mut meter, 1), "2.01");
    replace(&lists, world.authority.revoke(&[&world.meter]));
    await_line("client certificate no longer accepted");
    assert_eq!(meter.receive_or_close(), None, "close_notify");
    assert_eq!(post(&mut pump, 1), "2.01");
}

#[test]
fn sighup_reloads_all_sources_changed_or_not() {
    let mut world = World::start();
    let mut device = Client::connect(world.address, &world.meter);
    world.gateway.signal("HUP");
    for source in [
        REGISTRY,
        "the gateway's certificate and key reloaded",
        "trust anchors and revocation lists reloaded",
    ] {
        world.await_log(source);
    }
    assert_eq!(post(&mut device, 1), "2.01");
    assert_eq!(sessions(&world), 1);
}

/// SIGHUP would end the process if its handler were not installed before the configuration is read.
#[test]
fn sighup_while_the_configuration_is_read_reloads_afterwards() {
    let world = World::start();
    let registry = world.path().join("devices.toml");
    let own = fs::read_to_string(&registry).unwrap();
    replace(&registry, own + &others(0, 10_000));
    let configuration = world.path().join("gateway.toml");
    let mut gateway = Process::start(&["run", "--config", configuration.to_str().unwrap()]);
    eventually("a handler", || gateway.handles_sighup());
    gateway.signal("HUP");
    assert!(!gateway.log().contains("listening"), "sent too late");
    gateway.await_address("listening for CoAPs");
    gateway.await_line(REGISTRY, |line| line.contains(REGISTRY).then_some(()));
}

#[test]
fn a_token_file_is_reloaded_when_it_changes() {
    let world = World::start();
    let token = world.path().join("meter-17.token");
    fs::write(&token, METER_TOKEN).unwrap();
    let registry = entry("meter-17", &world.meter, "x").replace(
        "token = \"x\"",
        &format!("token_file = {:?}", token.to_str().unwrap()),
    );
    after(&world, REGISTRY, || {
        replace(&world.path().join("devices.toml"), registry)
    });
    let mut device = Client::connect(world.address, &world.meter);
    assert_eq!(post(&mut device, 1), "2.01");
    after(&world, REGISTRY, || fs::write(&token, PUMP_TOKEN).unwrap());
    assert_eq!(post(&mut device, 2), "2.01");
    arrived(&world, "pump-03", "{\"a\":1}");
    after(&world, REFUSED, || {
        fs::write(&token, "no token, with blanks").unwrap()
    });
    assert_eq!(post(&mut device, 3), "2.01");
}

/// Registry entries of `count` devices that never connect, numbered from `from`.
fn others(from: usize, count: usize) -> String {
    let entry = |n: usize| {
        format!(
            "[[device]]\nname = \"sensor-{n:07}\"\nfingerprint = \"{n:064x}\"\ntoken = \"TokenOfSensor{n:07}\"\n"
        )
    };
    (from..from + count).map(entry).collect()
}

/// 2,000 devices by default. The target is 100,000:
/// `COAPS_GATEWAY_REGISTRY=100000 cargo test --release --features slow-tests --test reload large -- --nocapture` prints
/// the times.
#[test]
fn a_large_registry_is_reloaded_while_a_device_is_served() {
    let wanted = std::env::var("COAPS_GATEWAY_REGISTRY");
    let devices = wanted.map_or(2_000, |number| number.parse().expect("a number of devices"));
    let mut world = World::with(&Options {
        log_level: Some("info"),
        ..Options::default()
    });
    let registry = world.path().join("devices.toml");
    let own = fs::read_to_string(&registry).unwrap();
    let mut meter = Client::connect(world.address, &world.meter);
    assert_eq!(post(&mut meter, 0), "2.01");
    let empty = world.resident();
    let mut id = 1;
    let mut slowest = std::time::Duration::ZERO;
    let mut reload = |world: &mut World, from: usize| {
        let before = count(world, REGISTRY);
        replace(&registry, own.clone() + &others(from, devices));
        // Meanwhile a device posts, and its requests are answered.
        while count(world, REGISTRY) == before {
            let sent = now();
            assert_eq!(post(&mut meter, id), "2.01");
            slowest = slowest.max(sent.elapsed());
            id += 1;
        }
        assert_eq!(post(&mut meter, id), "2.01");
        id += 1;
    };
    reload(&mut world, 0);
    let full = world.resident();
    reload(&mut world, devices / 2);
    reload(&mut world, devices / 2);
    let again = world.resident();
    let line = world.await_log("\"devices\":");
    assert!(line.contains("listening"), "{line}");
    let log = world.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(REGISTRY)).collect();
    let half = format!("\"added\":{0},\"removed\":{0},\"changed\":0", devices / 2);
    assert!(lines[1].contains(&half), "{}", lines[1]);
    assert!(
        lines[2].contains("\"added\":0,\"removed\":0"),
        "{}",
        lines[2]
    );
    let each = |kib: u64| kib.saturating_sub(empty) * 1024 / u64::try_from(devices).unwrap();
    let times = lines
        .iter()
        .filter_map(|line| test_support::process::field(line, "milliseconds"));
    println!(
        "{devices} devices: reloaded in {} ms; {} bytes of resident memory each after the first \
         reading, {} after the third; the slowest of {id} requests meanwhile took {slowest:?}",
        times.collect::<Vec<_>>().join(", "),
        each(full),
        each(again),
    );
}

/// Over MQTT a device's connection is under its access token, so a new token closes it, observed or not.
#[test]
fn over_mqtt_a_new_token_closes_the_connection_under_the_former_one() {
    let world = World::with(&Options {
        mqtt: true,
        ..Options::default()
    });
    let mut meter = Client::connect(world.address, &world.meter);
    let mut pump = Client::connect(world.address, &world.pump);
    assert!(observe(&mut meter, "attributes", 1).uint(OBSERVE).is_some());
    assert_eq!(post(&mut pump, 1), "2.01");
    let connections = |device: &str| world.simulator.mqtt_counts(device)["connections"].clone();
    for device in ["meter-17", "pump-03"] {
        eventually(device, || connections(device) == 1);
    }
    let mut registry = String::new();
    for (identity, successor) in [(&world.meter, "meter-18"), (&world.pump, "pump-04")] {
        let token = format!("T0kenOf-{successor}");
        let path = format!("/simulator/devices/{successor}");
        world.simulator.put(&path, &json!({"token": token}));
        registry += &entry(&identity.name, identity, &token);
    }
    after(&world, REGISTRY, || {
        replace(&world.path().join("devices.toml"), &registry);
    });
    eventually("the observation goes on under the new token", || {
        world.simulator.mqtt_counts("meter-18")["attributesSubscribed"] == true
    });
    assert_eq!(post(&mut pump, 2), "2.01");
    for (device, expected) in [
        ("meter-17", 0),
        ("pump-03", 0),
        ("meter-18", 1),
        ("pump-04", 1),
    ] {
        eventually(device, || connections(device) == expected);
    }
    let shared = "/simulator/devices/meter-18/attributes/shared";
    world.simulator.post(shared, &json!({"interval": 7}));
    assert_eq!(meter.receive().text(), json!({"interval": 7}).to_string());
}

#[test]
fn over_mqtt_a_new_url_takes_a_restart() {
    let mut world = World::with(&Options {
        mqtt: true,
        ..Options::default()
    });
    let mut meter = Client::connect(world.address, &world.meter);
    assert_eq!(post(&mut meter, 1), "2.01");
    let configuration = world.path().join("gateway.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    let url = world.simulator.mqtt_url();
    let other = text.replace(&url, "mqtt://127.0.0.1:1");
    assert_ne!(other, text);
    replace(&configuration, other);
    world.gateway.signal("HUP");
    world.await_log("the configuration file has changed, which takes effect at the next start");
    assert_eq!(post(&mut meter, 2), "2.01");
    let counts = world.simulator.mqtt_counts("meter-17");
    assert_eq!(
        (&counts["connections"], &counts["connects"]),
        (&json!(1), &json!(1))
    );
}
