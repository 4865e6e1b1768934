//! The gateway on a wildcard address: it answers from the address that a datagram was sent to.
#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::net::SocketAddr;
use test_support::coap::post;
use test_support::device::{Device, code};
use test_support::world::{Options, World};

/// Asserts that the gateway answers at this address. The device's socket is connected, so an answer from another
/// address would not reach it.
async fn assert_answers_at(world: &World, address: &str) {
    let gateway = SocketAddr::new(address.parse().unwrap(), world.address.port());
    let device = Device::connect(gateway, &world.meter, &world.authority.pem).await;
    let telemetry = post(&["api", "v1", "telemetry"], "{a:1}");
    assert_eq!(code(&device.request(telemetry).await), "2.01", "{address}");
    device.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_dual_stack_wildcard_each_address_of_both_families_answers() {
    let world = World::with(&Options {
        listen: Some("[::]:0"),
        ..Options::default()
    });
    for address in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        assert_answers_at(&world, address).await;
    }
    // Without IPv6 the gateway is bound to an IPv4 address.
    if world.address.is_ipv6() {
        assert_answers_at(&world, "::1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_ipv4_wildcard_each_address_answers() {
    let world = World::with(&Options {
        listen: Some("0.0.0.0:0"),
        ..Options::default()
    });
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert_answers_at(&world, address).await;
    }
}
