use super::*;
use crate::{Bodies, Holder, Parameters};

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn tag(byte: u8) -> ETag {
    ETag::new(&[byte]).unwrap()
}

fn account() -> std::sync::Arc<Account> {
    Bodies::new(1 << 20, 0).account(&Parameters::default(), Holder::Device("a"))
}

fn key(number: u8) -> Key {
    Bodies::new(0, 0).key(&number)
}

fn response(length: usize) -> Response {
    let body: Vec<u8> = (0..length)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    Response::content(50, Bytes::from(body)).with_max_age(7)
}

fn block2(num: u32, szx: u8) -> BlockRequest {
    BlockRequest {
        block: Block::new(num, false, szx),
        size2: false,
    }
}

const NO_BLOCK2: BlockRequest = BlockRequest {
    block: None,
    size2: false,
};

#[test]
fn every_block_has_its_offset_etag_and_options_and_together_they_are_the_body() {
    for (length, szx) in [
        (1025, 6),
        (1024, 6),
        (64, 0),
        (65, 0),
        (2000, 3),
        (16, 0),
        (15, 0),
    ] {
        let whole = response(length);
        let mut body = Vec::new();
        for num in 0.. {
            let block = block2(num, szx).block_of(&whole, tag(1), 6).unwrap();
            let block2 = block.block2.unwrap();
            assert_eq!((block2.num(), block2.szx()), (num, szx));
            assert_eq!((block.content_format, block.max_age), (Some(50), Some(7)));
            let alone = length <= block2.size();
            assert_eq!(block.etag, (!alone).then_some(tag(1)));
            let size2 = (num == 0 && !alone).then(|| u32::try_from(length).unwrap());
            assert_eq!(block.size2, size2);
            body.extend_from_slice(&block.payload);
            assert_eq!(block2.more(), body.len() < length);
            if !block2.more() {
                break;
            }
            assert_eq!(block.payload.len(), block2.size());
        }
        assert_eq!(body, whole.payload);
    }
}

#[test]
fn a_client_gets_no_larger_blocks_than_it_requests_nor_than_fit() {
    let block_of = |block2: BlockRequest, largest| {
        let block = block2.block_of(&response(5000), tag(1), largest).unwrap();
        let block2 = block.block2.unwrap();
        (block2.num(), block2.size(), block.payload[0])
    };
    assert_eq!(block_of(NO_BLOCK2, 6), (0, 1024, 0));
    assert_eq!(block_of(NO_BLOCK2, 3), (0, 128, 0));
    assert_eq!(block_of(block2(0, 2), 6), (0, 64, 0));
    // All of them start at byte 2048.
    assert_eq!(block_of(block2(2, 6), 6), (2, 1024, 40));
    assert_eq!(block_of(block2(2, 6), 3), (16, 128, 40));
    assert_eq!(block_of(block2(32, 2), 3), (32, 64, 40));
}

#[test]
fn there_is_no_block_past_the_end() {
    let whole = response(64);
    assert!(block2(1, 1).block_of(&whole, tag(1), 6).is_some());
    for (num, szx) in [(2, 1), (1, 2), (1, 6), (0xf_ffff, 6)] {
        assert_eq!(block2(num, szx).block_of(&whole, tag(1), 6), None);
    }
    let empty = NO_BLOCK2.block_of(&response(0), tag(1), 6).unwrap();
    assert_eq!(empty.block2, Block::new(0, false, 6));
}

#[test]
fn any_block_has_size2_if_requested() {
    for num in 0..4 {
        let requested = BlockRequest {
            size2: true,
            ..block2(num, 0)
        };
        assert_eq!(
            requested.block_of(&response(60), tag(1), 6).unwrap().size2,
            Some(60)
        );
    }
}

/// Snapshots, and the blocks of 16 bytes they serve.
#[derive(Default)]
struct Bench {
    snapshots: Snapshots,
    seconds: u64,
}

impl Bench {
    fn keep(&mut self, start: Instant, of: u8, etag: u8) {
        self.seconds += 1;
        let now = start + std::time::Duration::from_secs(self.seconds);
        let whole = response(100);
        let block = block2(0, 0).block_of(&whole, tag(etag), 6).unwrap();
        self.snapshots
            .keep(now, key(of), tag(etag), true, whole, &block, &account());
    }

    fn serve(&mut self, start: Instant, of: u8, num: u32, etags: &[ETag]) -> Option<ETag> {
        self.seconds += 1;
        let now = start + std::time::Duration::from_secs(self.seconds);
        let block = self
            .snapshots
            .serve(now, key(of), etags, block2(num, 0), 6)?;
        assert_eq!(block.block2.unwrap().num(), num);
        block.etag
    }
}

#[test]
fn a_client_continues_with_the_snapshot_it_is_reading() {
    let (mut bench, start) = (Bench::default(), start());
    bench.keep(start, 1, 0xa);
    assert_eq!(bench.serve(start, 1, 1, &[]), Some(tag(0xa)));
    assert_eq!(bench.serve(start, 1, 2, &[]), Some(tag(0xa)));
    bench.keep(start, 1, 0xb);
    assert_eq!(bench.serve(start, 1, 3, &[]), Some(tag(0xa)), "the next");
    assert_eq!(bench.serve(start, 1, 3, &[]), Some(tag(0xa)), "again");
    assert_eq!(
        bench.serve(start, 1, 1, &[]),
        Some(tag(0xb)),
        "the next of the newest"
    );
    assert_eq!(bench.serve(start, 1, 4, &[]), Some(tag(0xa)));
    assert_eq!(bench.serve(start, 1, 6, &[]), Some(tag(0xb)), "of neither");
    assert_eq!(
        bench.serve(start, 1, 1, &[tag(0xc), tag(0xa)]),
        Some(tag(0xa))
    );
    assert_eq!(bench.serve(start, 2, 1, &[]), None, "of another resource");
}

#[test]
fn a_repeated_block_request_reads_the_snapshot_in_progress() {
    let (mut bench, start) = (Bench::default(), start());
    bench.keep(start, 1, 0xa);
    bench.serve(start, 1, 1, &[]);
    bench.keep(start, 1, 0xb);
    // The older one was served up to 32, and now the newer from there.
    assert_eq!(bench.serve(start, 1, 1, &[tag(0xb)]), Some(tag(0xb)));
    assert_eq!(bench.serve(start, 1, 2, &[]), Some(tag(0xb)));
    assert_eq!(bench.serve(start, 1, 2, &[]), Some(tag(0xb)));
}

#[test]
fn a_third_snapshot_of_a_resource_drops_the_least_recently_used_one() {
    let (mut bench, start) = (Bench::default(), start());
    bench.keep(start, 1, 0xa);
    bench.keep(start, 1, 0xb);
    bench.keep(start, 2, 0xa);
    bench.serve(start, 1, 1, &[tag(0xa)]);
    bench.keep(start, 1, 0xc);
    let of_one = [0xa, 0xb, 0xc].map(|etag| bench.serve(start, 1, 1, &[tag(etag)]));
    assert_eq!(of_one[0], Some(tag(0xa)));
    assert_ne!(of_one[1], Some(tag(0xb)));
    assert_eq!(of_one[2], Some(tag(0xc)));
    assert_eq!(bench.serve(start, 2, 1, &[]), Some(tag(0xa)), "untouched");
}

#[test]
fn the_result_of_a_request_replaces_that_of_an_earlier_one() {
    let (mut bench, start) = (Bench::default(), start());
    bench.keep(start, 1, 0xa);
    bench.keep(start, 2, 0xa);
    let whole = response(100);
    let block = block2(0, 0).block_of(&whole, tag(0xb), 6).unwrap();
    bench
        .snapshots
        .keep(start, key(1), tag(0xb), false, whole, &block, &account());
    assert_eq!(bench.serve(start, 1, 1, &[tag(0xa)]), Some(tag(0xb)));
    assert_eq!(bench.serve(start, 2, 1, &[]), Some(tag(0xa)));
}

#[test]
fn the_same_body_is_kept_once() {
    let (mut bench, start) = (Bench::default(), start());
    let (payload, other) = (response(100).payload, response(99).payload);
    assert_eq!(bench.snapshots.payload(key(1), tag(0xa), &payload), None);
    for _ in 0..3 {
        bench.keep(start, 1, 0xa);
    }
    assert_eq!(bench.snapshots.snapshots.len(), 1);
    let held = |key, etag, payload| bench.snapshots.payload(key, etag, payload).is_some();
    assert!(held(key(1), tag(0xa), &payload));
    assert!(
        !held(key(1), tag(0xa), &other),
        "not only the tag must be the same"
    );
    assert!(!held(key(1), tag(0xb), &payload) && !held(key(2), tag(0xa), &payload));
}

#[test]
fn snapshots_are_bounded_and_expire() {
    let (mut bench, start) = (Bench::default(), start());
    for of in 0..20 {
        bench.keep(start, of, 1);
    }
    assert_eq!(bench.snapshots.snapshots.len(), MAX_SNAPSHOTS);
    let oldest = start + std::time::Duration::from_secs(13);
    assert_eq!(bench.snapshots.next_timeout(), Some(oldest + LIFETIME));
    bench.snapshots.expire(oldest + LIFETIME);
    assert_eq!(bench.snapshots.snapshots.len(), MAX_SNAPSHOTS - 1);
    assert!(bench.snapshots.drop_one());
    bench.snapshots.expire(oldest + LIFETIME * 2);
    assert!(bench.snapshots.is_empty());
    assert_eq!(bench.snapshots.next_timeout(), None);
    assert!(!bench.snapshots.drop_one());
}
