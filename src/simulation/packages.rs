//! Tests of the scripted ThingsBoard itself: packages and their assignments.

use super::platform::PackageFetch;
use super::{Behaviour, ScriptedUpstream, World, default_settings};
use crate::calls::parsing::Parsed;
use crate::calls::{Call, RelayCall, Ticket};
use crate::device::{AccessToken, Device};
use crate::relay::{Kind, RelayId};
use crate::upstream::{self, Error, Operation, Rejection, Request};
use bytes::Bytes;
use coap::Type;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thingsboard_simulator::{Package, PackageId, PackageKind, Served};

fn firmware(version: &str) -> PackageId {
    PackageId::new(PackageKind::Firmware, "meter", version)
}

fn part(version: &str, size: u32, chunk: u64) -> Operation {
    Operation::GetPackage {
        package: upstream::Package::Firmware,
        title: "meter".into(),
        version: version.into(),
        size,
        chunk,
    }
}

/// The scripted ThingsBoard without a gateway, and the time.
struct Upstream {
    script: ScriptedUpstream,
    now: Instant,
}

impl Upstream {
    /// `device-0` has the firmware `meter` 1.0, of 2,500 bytes.
    fn new() -> Upstream {
        #[expect(clippy::disallowed_methods, reason = "the test needs some start time")]
        let now = Instant::now();
        let mut script = ScriptedUpstream::default();
        let platform = &mut script.platform;
        platform.define_package(&firmware("1.0"), Package::generated(2500));
        platform.assign_package(now, "device-0", &firmware("1.0"));
        Upstream { script, now }
    }

    /// The outcome of a call for a device. Advances the time to its completion.
    fn request(&mut self, device: &str, operation: Operation) -> Result<Bytes, Error> {
        let ticket = Ticket::Relay(RelayId(1), RelayCall::GatewayReply(1));
        let device = Arc::new(Device {
            name: device.into(),
            token: AccessToken::new("T").unwrap(),
        });
        let request = Request::Device { device, operation };
        self.script.begin_call(self.now, Call { ticket, request });
        assert!(self.script.pop_completion(self.now).is_none());
        self.now = self.script.next_completion().unwrap();
        let completion = self.script.pop_completion(self.now).unwrap();
        assert_eq!(completion.ticket, ticket);
        completion.outcome.and_then(Parsed::answer).map(|a| a.body)
    }
}

fn rejected(code: u16, has_text: bool) -> Result<Bytes, Error> {
    Err(Error::Rejected(Rejection::new(code, has_text)))
}

#[test]
fn a_package_is_fetched_in_chunks_and_what_is_served_is_counted() {
    let mut upstream = Upstream::new();
    let mut whole = Vec::new();
    for (chunk, length) in [(0, 1024), (1, 1024), (2, 452), (3, 0)] {
        let bytes = upstream
            .request("device-0", part("1.0", 1024, chunk))
            .unwrap();
        assert_eq!(bytes.len(), length, "{chunk}");
        whole.extend_from_slice(&bytes);
    }
    assert_eq!(
        upstream.request("device-0", part("1.0", 4096, 0)).unwrap(),
        whole
    );
    let platform = &upstream.script.platform;
    let expected = Served {
        requests: 5,
        bytes: 5000,
    };
    assert_eq!(platform.served(&firmware("1.0")), expected);
    let last = PackageFetch {
        device: "device-0".to_owned(),
        operation: part("1.0", 4096, 0),
    };
    assert_eq!(
        (platform.fetches.len(), platform.fetches.last()),
        (5, Some(&last))
    );
}

#[test]
fn refused_package_requests_have_the_status_of_thingsboard() {
    let mut upstream = Upstream::new();
    assert_eq!(
        upstream.request("device-1", part("1.0", 1024, 0)),
        rejected(404, false)
    );
    assert_eq!(
        upstream.request("device-0", part("2.0", 1024, 0)),
        rejected(400, false)
    );
    let beyond = part("1.0", 1024, 1 << 31);
    assert_eq!(upstream.request("device-0", beyond), rejected(400, true));
    upstream
        .script
        .platform
        .unassign_package(upstream.now, "device-0", PackageKind::Firmware);
    assert_eq!(
        upstream.request("device-0", part("1.0", 1024, 0)),
        rejected(404, false)
    );
}

#[test]
fn a_failing_upstream_serves_no_package() {
    let mut upstream = Upstream::new();
    upstream.script.behaviour = Behaviour::Fails(Error::Overloaded);
    let failed = upstream.request("device-0", part("1.0", 1024, 0));
    assert_eq!(failed, Err(Error::Overloaded));
    let platform = &upstream.script.platform;
    assert_eq!(platform.served(&firmware("1.0")), Served::default());
    assert_eq!(platform.fetches.len(), 1);
}

#[test]
fn an_assignment_is_read_from_the_shared_attributes() {
    let mut upstream = Upstream::new();
    let read = Operation::ReadAssignment(upstream::Package::Firmware);
    let body = upstream.request("device-0", read.clone()).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let shared = body["shared"].as_object().unwrap();
    assert_eq!(shared.len(), 5);
    assert_eq!(
        (&shared["fw_version"], &shared["fw_size"]),
        (&"1.0".into(), &2500.into())
    );
    let software = Operation::ReadAssignment(upstream::Package::Software);
    assert_eq!(upstream.request("device-0", software).unwrap(), "{}");
    upstream.script.platform.empty_reads = 1;
    assert_eq!(upstream.request("device-0", read.clone()).unwrap(), "{}");
    assert_ne!(upstream.request("device-0", read).unwrap(), "{}");
    assert_eq!(upstream.script.platform.assignment_reads, 4);
}

#[test]
fn an_assignment_notifies_a_device_that_observes_its_attributes() {
    let mut world = World::observing(default_settings(), Type::Confirmable);
    world.define_package(&firmware("1.0"), Package::generated(2500));
    world.assign_package(0, &firmware("1.0"));
    world.run_for(Duration::from_secs(1));
    let state = &world.devices[0]
        .observation(Kind::Attributes)
        .unwrap()
        .state;
    assert_eq!(state["fw_version"], "\"1.0\"");
    assert_eq!(*state, world.upstream.platform.state("device-0"));
}
