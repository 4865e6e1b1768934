//! Hazard: block-wise telemetry from a device that loses datagrams and power meanwhile.

use super::invariants::assert_idle;
use super::upstream::Post;
use super::{Conditions, World};
use bytes::Bytes;
use coap::option::{encode_unsigned, number};
use coap::{Block, Code, Message};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Unique telemetry of device 0, of `size` bytes.
fn body(size: usize, name: &str) -> Bytes {
    let head = format!(r#"{{"device":0,"body":"{name}","filling":""#);
    let filling = "x".repeat(size - head.len() - 2);
    Bytes::from(head + &filling + "\"}")
}

/// Sends one block of a body.
fn send(world: &mut World, body: &Bytes, num: u32, szx: u8) -> Message {
    let size = 16 << szx;
    let from = usize::try_from(num).unwrap() * size;
    let to = (from + size).min(body.len());
    let block = Block::new(num, to < body.len(), szx).unwrap();
    let block1 = (number::BLOCK1, encode_unsigned(block.encode()));
    world.request_until_response(0, Code::POST, "telemetry", &[block1], &body.slice(from..to))
}

/// Sends all blocks from number `from` on. Returns the last response.
fn upload(world: &mut World, body: &Bytes, from: u32, szx: u8) -> Message {
    let blocks = u32::try_from(body.len().div_ceil(16 << szx)).unwrap();
    for num in from..blocks - 1 {
        assert_eq!(send(world, body, num, szx).code, Code::CONTINUE);
    }
    send(world, body, blocks - 1, szx)
}

fn world(conditions: Conditions) -> World {
    let mut world = World::new(1, conditions, 1);
    world.connect_all();
    world
}

#[test]
fn a_blockwise_body_reaches_thingsboard_once_at_20_percent_loss() {
    let mut world = world(Conditions::losing(0.2));
    let bodies: Vec<Bytes> = ["a", "b", "c"].map(|name| body(20_000, name)).into();
    for body in &bodies {
        // If the last response is no 2.01, nothing was posted, and the device begins again.
        for _ in 0..5 {
            let posted = world.upstream.posts.len();
            let response = upload(&mut world, body, 0, 4);
            if response.code == Code::CREATED {
                break;
            }
            assert_eq!(world.upstream.posts.len(), posted);
        }
    }
    let posts = world.upstream.posts.iter().map(|post| post.body.clone());
    assert_eq!(posts.collect::<Vec<_>>(), bodies);
    world.run_for(HOUR);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn after_a_reboot_mid_upload_only_the_second_body_is_posted() {
    let mut world = world(Conditions::GOOD);
    let (first, second) = (body(5000, "first"), body(5000, "second"));
    for num in 0..3 {
        assert_eq!(send(&mut world, &first, num, 6).code, Code::CONTINUE);
    }
    world.devices[0].switch_off();
    world.run_for(Duration::from_secs(5));
    // The new session has none of the former session's blocks.
    let response = send(&mut world, &first, 3, 6);
    assert_eq!(response.code, Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(upload(&mut world, &second, 0, 6).code, Code::CREATED);
    assert_eq!(world.upstream.posts, [Post::new("device-0", second)]);
    world.run_for(HOUR);
    assert_idle(&world.core, &world.devices);
}

#[test]
fn an_upload_continues_after_minutes_and_with_smaller_blocks() {
    let mut world = world(Conditions::GOOD);
    let body = body(4000, "slow");
    assert_eq!(send(&mut world, &body, 0, 6).code, Code::CONTINUE);
    world.run_for(Duration::from_secs(540));
    // The gateway has 1024 bytes: the next block of 64 bytes is number 16.
    assert_eq!(upload(&mut world, &body, 16, 2).code, Code::CREATED);
    assert_eq!(world.upstream.posts, [Post::new("device-0", body)]);
}

#[test]
fn an_unregistered_client_may_upload_only_a_few_blocks() {
    let mut world = World::new(0, Conditions::GOOD, 1);
    world.add_unregistered();
    world.connect_all();
    let body = body(20_000, "unregistered");
    for num in 0..4 {
        assert_eq!(send(&mut world, &body, num, 6).code, Code::CONTINUE);
    }
    let response = send(&mut world, &body, 4, 6);
    assert_eq!(response.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(world.core.load().body_bytes, 0);
}
