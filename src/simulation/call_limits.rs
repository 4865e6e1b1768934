//! Hazard: one device exceeds its share of the calls to ThingsBoard, or ThingsBoard does not answer its calls.

use super::{Behaviour, Conditions, World, default_settings};
use crate::gateway::Settings;
use crate::simulation::Outcome;
use crate::upstream::{Error, RetryAfter, RetryCause};
use bytes::Bytes;
use coap::{Code, Type};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A world of one device with as many sessions as it may have, and another device.
struct Crowd {
    world: World,
    /// The clients that hold the sessions of the first device.
    sessions: Vec<usize>,
    other: usize,
}

fn crowd(settings: Settings) -> Crowd {
    let mut world = World::with_settings(2, Conditions::GOOD, 1, settings);
    let mut sessions = vec![0];
    for host in 1..settings.limits.sessions_per_device {
        sessions.push(world.add_client_with_certificate_of(0, host));
    }
    world.connect_all();
    Crowd {
        world,
        sessions,
        other: 1,
    }
}

/// A device sends a client-side RPC without params.
fn client_rpc(world: &mut World, device: usize) -> usize {
    let body = Bytes::from_static(br#"{"method":"getTime"}"#);
    client_rpc_with_body(world, device, body)
}

fn client_rpc_with_body(world: &mut World, device: usize, body: Bytes) -> usize {
    let now = world.now;
    let number = world.devices[device].request(now, Code::POST, "rpc", Vec::new(), body);
    world.flush();
    number
}

fn count(world: &World, devices: &[usize], code: Code) -> usize {
    let outcomes = devices.iter().flat_map(|n| world.devices[*n].outcomes());
    outcomes.filter(|outcome| outcome.is(code)).count()
}

/// Max-Age of the response to a request.
fn max_age(world: &World, device: usize, number: usize) -> Option<u32> {
    let response = world.devices[device].response(number)?;
    let mut options = response.options.iter();
    let (_, value) = options.find(|(number, _)| *number == 14)?;
    Some(
        value
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    )
}

#[test]
fn all_sessions_of_a_device_share_one_call_limit() {
    let mut settings = default_settings();
    settings.calls.per_device = 24;
    let Crowd {
        mut world,
        sessions,
        other,
    } = crowd(settings);
    world.upstream.delay = 5 * SECOND;
    for session in &sessions {
        for _ in 0..16 {
            world.post(*session, Type::Confirmable);
        }
    }
    let other_number = world.post(other, Type::Confirmable);
    world.run_for(SECOND);
    assert_eq!(world.core.in_flight(), 24 + 1);
    world.run_for(20 * SECOND);
    // Requests beyond the limit wait in their sessions' queues.
    assert_eq!(count(&world, &sessions, Code::CREATED), 64);
    assert!(world.devices[other].outcome(other_number).is(Code::CREATED));
    let refused = world.core.counters().gateway.calls_refused_to_device;
    assert_eq!(refused, 0);
}

#[test]
fn unanswered_client_rpcs_leave_capacity_for_other_requests() {
    let Crowd {
        mut world,
        sessions,
        other,
    } = crowd(default_settings());
    world.upstream.answers_rpcs = false;
    for session in &sessions {
        for _ in 0..16 {
            client_rpc(&mut world, *session);
        }
    }
    world.run_for(SECOND);
    assert_eq!(world.core.in_flight(), 16);
    let refused = (0..16).find(|n| {
        let last = *sessions.last().unwrap();
        max_age(&world, last, *n).is_some()
    });
    let last = *sessions.last().unwrap();
    assert_eq!(max_age(&world, last, refused.unwrap()), Some(5));
    let number = world.post(sessions[1], Type::Confirmable);
    let other_number = world.post(other, Type::Confirmable);
    let other_rpc = client_rpc(&mut world, other);
    world.run_for(SECOND);
    assert!(world.devices[sessions[1]].outcome(number).is(Code::CREATED));
    assert!(world.devices[other].outcome(other_number).is(Code::CREATED));
    assert_eq!(
        *world.devices[other].outcome(other_rpc),
        Outcome::Open,
        "no response yet"
    );
    world.run_for(20 * SECOND);
    assert_eq!(count(&world, &sessions, Code::GATEWAY_TIMEOUT), 16);
    assert_eq!(world.core.in_flight(), 0);
}

#[test]
fn reconnecting_does_not_raise_a_devices_call_limit() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.answers_rpcs = false;
    world.upstream.delay = 20 * SECOND;
    for _ in 0..20 {
        for _ in 0..8 {
            client_rpc(&mut world, 0);
        }
        world.post(0, Type::Confirmable);
        world.run_for(SECOND / 4);
        world.connect(0);
        world.run_for(SECOND / 4);
        assert!(world.devices[0].is_connected());
        // The former sessions have ended, and their RPCs are given up. Their telemetry is still posted.
        let in_flight = world.core.in_flight();
        assert!(in_flight <= 20, "{in_flight}");
    }
    assert_eq!(world.core.in_flight(), 20, "posts only");
    assert_eq!(world.core.counters().gateway.calls_given_up, 20 * 8);
    assert_eq!(world.upstream.posts.len(), 20);
    world.run_for(60 * SECOND);
    assert_eq!(world.core.in_flight(), 0);
}

#[test]
fn after_repeated_get_timeouts_gets_are_refused_at_once() {
    let mut world = World::new(2, Conditions::GOOD, 1);
    world.connect_all();
    world.upstream.answers_gets = false;
    for _ in 0..2 {
        let number = world.get(0);
        world.run_for(6 * SECOND);
        assert!(world.devices[0].outcome(number).is(Code::GATEWAY_TIMEOUT));
    }
    let number = world.get(0);
    world.run_for(SECOND);
    assert!(
        world.devices[0]
            .outcome(number)
            .is(Code::SERVICE_UNAVAILABLE)
    );
    let wait = max_age(&world, 0, number).unwrap();
    assert!((25..=31).contains(&wait), "{wait}");
    assert_eq!(
        world.upstream.gets["device-0"], 2,
        "the third GET made no call"
    );
    // Its other requests are served, and so are the other device's GETs.
    let number = world.post(0, Type::Confirmable);
    world.get(1);
    world.run_for(SECOND);
    assert!(world.devices[0].outcome(number).is(Code::CREATED));
    assert_eq!(world.upstream.gets["device-1"], 1);
    // After Max-Age GETs are sent to ThingsBoard again.
    world.upstream.answers_gets = true;
    world.run_for(Duration::from_secs(wait.into()));
    for _ in 0..3 {
        let number = world.get(0);
        world.run_for(SECOND);
        assert!(world.devices[0].outcome(number).is(Code::CONTENT));
    }
    assert_eq!(world.core.counters().gateway.gets_refused, 1);
}

#[test]
fn concurrent_gets_take_at_most_a_quarter_of_a_devices_calls() {
    let Crowd {
        mut world,
        sessions,
        ..
    } = crowd(default_settings());
    world.upstream.answers_gets = false;
    for session in &sessions {
        for _ in 0..16 {
            world.get(*session);
        }
    }
    world.run_for(SECOND);
    assert_eq!(world.core.in_flight(), 16);
    world.run_for(20 * SECOND);
    assert_eq!(count(&world, &sessions, Code::GATEWAY_TIMEOUT), 16);
}

#[test]
fn retry_after_from_upstream_is_the_max_age_of_the_response() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    for (cause, expected) in [
        (RetryCause::RateLimited, Code::TOO_MANY_REQUESTS),
        (RetryCause::NotServing, Code::SERVICE_UNAVAILABLE),
    ] {
        let seconds = 120;
        let error = Error::RetryAfter(RetryAfter { cause, seconds });
        world.upstream.behaviour = Behaviour::Fails(error);
        let numbers = [world.get(0), world.post(0, Type::Confirmable)];
        world.run_for(SECOND);
        for number in numbers {
            assert!(world.devices[0].outcome(number).is(expected));
            assert_eq!(max_age(&world, 0, number), Some(seconds));
        }
    }
}

#[test]
fn a_client_rpc_gets_default_params_and_one_without_a_method_is_4_00() {
    let mut world = World::new(1, Conditions::GOOD, 1);
    world.connect_all();
    let completed = client_rpc(&mut world, 0);
    let lenient = client_rpc_with_body(&mut world, 0, Bytes::from_static(b"{method:getTime}"));
    let without = client_rpc_with_body(&mut world, 0, Bytes::from_static(br#"{"params":{}}"#));
    world.run_for(SECOND);
    for number in [completed, lenient] {
        assert!(world.devices[0].outcome(number).is(Code::CONTENT));
    }
    let Outcome::Response(code, payload) = world.devices[0].outcome(without) else {
        panic!("no response");
    };
    assert_eq!(*code, Code::BAD_REQUEST);
    assert!(
        String::from_utf8_lossy(payload).contains("method"),
        "{payload:?}"
    );
    let sent = [
        &br#"{"method":"getTime","params":{}}"#[..],
        b"{method:getTime}",
    ];
    assert_eq!(world.upstream.rpcs, sent);
}

/// Each call that ends lets one of the device's sessions start a request: a session must not be queued twice for that.
#[test]
fn a_session_is_queued_once_however_many_calls_of_its_device_end() {
    let mut settings = default_settings();
    settings.calls.per_device = 24;
    let Crowd {
        mut world,
        sessions,
        ..
    } = crowd(settings);
    world.upstream.delay = SECOND;
    for session in &sessions {
        for _ in 0..200 {
            world.post(*session, Type::NonConfirmable);
        }
        // Staggered, so that the calls end one by one.
        world.run_for(SECOND / 100);
    }
    let mut most = 0;
    for _ in 0..300 {
        world.run_for(SECOND / 10);
        most = most.max(world.core.load().ready);
    }
    assert!(most <= 2 * sessions.len(), "{most}");
    world.run_for(60 * SECOND);
    assert_eq!(world.upstream.posts.len(), 800);
    assert_eq!(world.core.load().ready, 0);
}
