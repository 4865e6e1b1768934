use super::*;
use crate::{Bodies, Holder, Parameters};

/// The uploads of one endpoint, and its account.
struct Bench {
    uploads: Uploads,
    bodies: Bodies,
    account: Arc<Account>,
    now: Instant,
    size1: Option<u32>,
}

const LARGEST: usize = 100;
/// Bytes that the endpoint may hold.
const SHARE: usize = 1000;

impl Bench {
    fn new() -> Bench {
        let parameters = Parameters {
            max_body: LARGEST,
            max_response_body: SHARE / 2,
            ..Parameters::default()
        };
        let bodies = Bodies::new(SHARE, 1);
        Bench {
            uploads: Uploads::default(),
            account: bodies.account(&parameters, Holder::Device("a")),
            bodies,
            #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
            now: Instant::now(),
            size1: None,
        }
    }

    /// Adds a block of 16 bytes that all are the number of the body.
    fn receive(&mut self, body: u8, num: u32, more: bool) -> Result<Progress, UploadError> {
        let payload = vec![u8::try_from(num).unwrap(); 16];
        self.receive_part(body, num, more, payload, |_, _| false)
    }

    fn receive_part(
        &mut self,
        body: u8,
        num: u32,
        more: bool,
        payload: Vec<u8>,
        make_room: impl FnMut(&Charge, usize) -> bool,
    ) -> Result<Progress, UploadError> {
        let part = UploadBlock {
            key: self.bodies.key(&body),
            block: Block::new(num, more, 0).unwrap(),
            size1: self.size1,
            payload: payload.into(),
        };
        self.uploads
            .receive(self.now, part, LARGEST, &self.account, make_room)
    }
}

#[test]
fn a_body_is_complete_with_its_last_block_and_then_held_by_the_caller_alone() {
    let mut bench = Bench::new();
    for num in 0..3 {
        assert_eq!(bench.receive(1, num, true), Ok(Progress::Continue));
    }
    let Ok(Progress::Complete(body)) = bench.receive(1, 3, false) else {
        panic!("not complete")
    };
    let expected: Vec<u8> = (0..4).flat_map(|num| [num; 16]).collect();
    assert_eq!(body, expected);
    assert!(bench.uploads.is_empty());
    assert_eq!(bench.bodies.held(), 64, "the caller holds it");
    drop(body);
    assert_eq!(bench.bodies.held(), 0);
    assert_eq!(bench.receive(1, 3, false), Err(UploadError::Incomplete));
}

#[test]
fn a_block_out_of_sequence_is_incomplete_and_changes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.receive(1, 1, true), Err(UploadError::Incomplete));
    for num in 0..3 {
        assert_eq!(bench.receive(1, num, true), Ok(Progress::Continue));
    }
    assert_eq!(
        bench.receive(1, 4, true),
        Err(UploadError::Incomplete),
        "a gap"
    );
    assert_eq!(bench.receive(1, 9, false), Err(UploadError::Incomplete));
    let other = bench.receive_part(1, 2, true, vec![7; 16], |_, _| false);
    assert_eq!(other, Err(UploadError::Incomplete), "other bytes");
    assert_eq!(bench.receive(1, 1, false), Err(UploadError::Incomplete));
    for repeated in [1, 2] {
        assert_eq!(bench.receive(1, repeated, true), Ok(Progress::Continue));
    }
    let whole = bench.receive(1, 3, false);
    assert!(matches!(whole, Ok(Progress::Complete(body)) if body.len() == 64));
}

#[test]
fn only_the_last_block_may_be_short_and_none_too_long() {
    let mut bench = Bench::new();
    let mut malformed = |num, more, length| {
        bench.receive_part(1, num, more, vec![0; length], |_, _| false)
            == Err(UploadError::Malformed)
    };
    assert!(malformed(0, true, 15) && malformed(0, true, 17) && malformed(0, false, 17));
    assert!(!malformed(0, true, 16));
    assert!(malformed(1, true, 0) && malformed(1, false, 17));
    assert!(
        !malformed(1, false, 0),
        "what ends where the block before did"
    );
}

#[test]
fn more_uploads_than_an_endpoint_may_have_drop_the_least_recently_used_one() {
    let mut bench = Bench::new();
    for body in 0..4 {
        bench.receive(body, 0, true).unwrap();
        bench.now += std::time::Duration::from_secs(1);
    }
    bench.receive(0, 1, true).unwrap();
    bench.receive(4, 0, true).unwrap();
    let goes_on = [0, 1, 2, 3, 4].map(|body| {
        let num = if body == 0 { 2 } else { 1 };
        bench.receive(body, num, true).is_ok()
    });
    assert_eq!(goes_on, [true, false, true, true, true]);
}

#[test]
fn unused_uploads_expire() {
    let mut bench = Bench::new();
    bench.receive(1, 0, true).unwrap();
    let last_used = bench.now;
    bench.now += LIFETIME / 2;
    bench.receive(2, 0, true).unwrap();
    assert_eq!(bench.uploads.next_timeout(), Some(last_used + LIFETIME));
    assert_eq!(
        bench.uploads.expire(last_used + LIFETIME - LIFETIME / 100),
        0
    );
    assert_eq!(bench.uploads.expire(last_used + LIFETIME), 1);
    assert_eq!(bench.receive(1, 1, true), Err(UploadError::Incomplete));
    let last_used = bench.now;
    assert_eq!(bench.uploads.next_timeout(), Some(last_used + LIFETIME));
    assert_eq!(bench.uploads.expire(last_used + LIFETIME), 1);
    assert_eq!(
        (bench.uploads.next_timeout(), bench.bodies.held()),
        (None, 0)
    );
}

#[test]
fn a_body_without_memory_is_dropped() {
    let mut bench = Bench::new();
    let mut taken = bench.account.new_charge();
    assert!(taken.resize(SHARE - 20));
    bench.receive(1, 0, true).unwrap();
    assert_eq!(bench.receive(1, 1, true), Err(UploadError::NoRoom));
    assert!(bench.uploads.is_empty());
    assert_eq!(bench.account.held(), SHARE - 20);

    // Something else can be evicted.
    bench.receive(1, 0, true).unwrap();
    let mut rooms = vec![taken];
    let make_room = |_: &Charge, _| rooms.pop().is_some();
    let goes_on = bench.receive_part(1, 1, true, vec![1; 16], make_room);
    assert_eq!(goes_on, Ok(Progress::Continue));
    assert!(bench.account.held() >= 32);
}

#[test]
fn the_capacity_is_charged_and_never_exceeds_the_largest_body() {
    let mut bench = Bench::new();
    for num in 0..6 {
        bench.receive(1, num, true).unwrap();
        let held = usize::try_from(16 * (num + 1)).unwrap();
        assert!((held..=LARGEST).contains(&bench.account.held()));
    }
    assert_eq!(bench.receive(1, 6, true), Err(UploadError::TooLarge));
    assert_eq!(bench.account.held(), 0, "nothing of it stays charged");
}

/// RFC 7959 §4: Size1 is an estimate. With more blocks to come, §2.9.3 allows 4.13 for it.
#[test]
fn size1_refuses_only_a_body_of_which_more_follows() {
    let mut bench = Bench::new();
    for size1 in [u32::MAX, 101] {
        bench.size1 = Some(size1);
        assert_eq!(bench.receive(1, 0, true), Err(UploadError::TooLarge));
        let whole = bench.receive(1, 0, false);
        assert_eq!(whole, Ok(Progress::Complete(vec![0; 16].into())));
    }
    bench.size1 = Some(100);
    assert_eq!(bench.receive(1, 0, true), Ok(Progress::Continue));
    bench.size1 = Some(101);
    assert_eq!(bench.receive(1, 1, true), Ok(Progress::Continue));
}
