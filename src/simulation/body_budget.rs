//! Hazard: a few devices request more large responses than `coap.body_bytes` allows to keep.

use super::{Conditions, World, default_settings};
use bytes::Bytes;
use coap::option::encode_unsigned;
use coap::option::number::{BLOCK2, URI_QUERY};
use coap::{Block, Code, Message};

/// A device sends GET for a block of its attributes. Each query `keys` has a body of its own.
fn get(world: &mut World, device: usize, keys: &'static str, num: u32) -> Message {
    let block = Block::new(num, false, 6).unwrap();
    let options = [
        (URI_QUERY, Bytes::from(keys)),
        (BLOCK2, encode_unsigned(block.encode())),
    ];
    world.request_until_response(device, Code::GET, "attributes", &options, &Bytes::new())
}

#[test]
fn the_endpoint_with_the_most_bytes_is_evicted_and_no_other_refused() {
    let mut settings = default_settings();
    settings.coap.body_bytes = 200 * 1024;
    let mut world = World::with_settings(3, Conditions::GOOD, 1, settings);
    world.connect_all();
    let large = format!("\"{}\"", "x".repeat(60 * 1024));
    for device in 0..3 {
        world.set_attribute(device, "a", &large);
    }
    for keys in [
        "sharedKeys=a",
        "sharedKeys=a,b",
        "sharedKeys=a,c",
        "sharedKeys=a,d",
    ] {
        let first = get(&mut world, 0, keys, 0);
        assert_eq!(first.code, Code::CONTENT);
    }
    for device in 1..3 {
        let first = get(&mut world, device, "sharedKeys=a", 0);
        assert_eq!(first.code, Code::CONTENT);
        assert!(world.core.load().body_bytes <= 200 * 1024);
        let gets = world.upstream.gets.clone();
        for num in 1..=60 {
            let block = get(&mut world, device, "sharedKeys=a", num);
            assert_eq!(block.code, Code::CONTENT, "{num}");
        }
        assert_eq!(
            world.upstream.gets, gets,
            "no block needs another upstream call"
        );
    }
    // An evicted body is fetched again.
    assert_eq!(get(&mut world, 0, "sharedKeys=a", 1).code, Code::CONTENT);
    assert_eq!(world.core.counters().coap.bodies_over_budget, 0);
}
