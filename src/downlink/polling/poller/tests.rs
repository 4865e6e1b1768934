use super::*;

const TIMEOUT: Duration = Duration::from_secs(25);

/// A poller whose polls are always wanted, under a test clock.
struct World {
    start: Instant,
    now: Instant,
    pacing: Pacing,
    poller: Poller,
    overlap: bool,
    random: f64,
}

impl World {
    fn new() -> World {
        #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
        let now = Instant::now();
        World {
            start: now,
            now,
            pacing: Pacing::new(TIMEOUT),
            poller: Poller::default(),
            overlap: true,
            random: 0.0,
        }
    }

    fn at(&mut self, milliseconds: u64) -> &mut World {
        self.now = self.start + Duration::from_millis(milliseconds);
        self
    }

    fn due(&mut self) -> Option<OpenedPoll> {
        let random = self.random;
        self.poller.due(
            self.now,
            TIMEOUT,
            self.overlap,
            &mut self.pacing,
            &mut || random,
        )
    }

    fn opens(&mut self) -> u64 {
        self.due().expect("no poll is due").number
    }

    fn ended(&mut self, number: u64, outcome: PollOutcome) {
        let random = self.random;
        let ended = self.poller.ended(self.now, number, outcome, &mut || random);
        assert!(ended.is_some());
        assert!(self.poller.open() < 2);
    }

    fn next(&self) -> Option<u64> {
        let at = self.poller.next_timeout()?;
        u64::try_from(at.duration_since(self.start).as_millis()).ok()
    }
}

#[test]
fn an_idle_poll_has_a_successor_a_second_before_it_runs_out_and_leaves_no_gap() {
    let mut world = World::new();
    let first = world.opens();
    assert_eq!(world.due(), None, "one is enough");
    assert_eq!(world.next(), Some(24_000));
    assert_eq!(world.at(23_999).due(), None);
    world.at(24_000).opens();
    assert_eq!(world.due(), None, "two are the most");
    world.at(25_010).ended(first, PollOutcome::Elapsed);
    assert_eq!(world.due(), None);
    let third = world.at(48_000).due().unwrap();
    assert!(!third.after_gap);
}

#[test]
fn successors_of_many_devices_drift_apart() {
    let mut world = World::new();
    world.random = 0.999;
    world.opens();
    assert!(matches!(world.next(), Some(23_500..24_000)));
}

#[test]
fn after_a_message_the_next_poll_is_opened_at_once_even_beside_a_successor() {
    let mut world = World::new();
    let first = world.opens();
    world.at(100).ended(first, PollOutcome::Message);
    let second = world.due().unwrap();
    assert!(!second.after_gap, "the next poll was opened at once");
    world.at(24_200).opens();
    world.at(24_300).ended(second.number, PollOutcome::Message);
    world.opens();
    assert_eq!(world.due(), None);
}

#[test]
fn a_copy_beside_another_poll_opens_none() {
    let mut world = World::new();
    let first = world.opens();
    let second = world.at(24_000).opens();
    world.at(24_100).ended(first, PollOutcome::Message);
    world.opens();
    world.ended(second, PollOutcome::Repeated);
    assert_eq!(world.due(), None);
    assert_eq!(world.poller.open(), 1);
}

#[test]
fn without_a_successor_running_out_leaves_a_gap() {
    let mut world = World::new();
    world.overlap = false;
    let first = world.opens();
    assert_eq!(world.at(24_999).due(), None);
    world.at(25_000).ended(first, PollOutcome::Elapsed);
    assert!(world.due().unwrap().after_gap);
}

#[test]
fn the_back_off_doubles_with_each_failure_and_one_success_ends_it() {
    let mut world = World::new();
    world.random = 1.0;
    let mut time = 0;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let number = world.opens();
        world.ended(number, PollOutcome::Failed);
        assert_eq!(world.next(), Some(time + seconds * 1000));
        time += seconds * 1000;
        world.at(time);
    }
    let opened = world.due().unwrap();
    assert!(opened.after_gap && world.poller.is_failing());
    world
        .at(time + 25_000)
        .ended(opened.number, PollOutcome::Elapsed);
    assert!(!world.poller.is_failing());
    world.opens();
}

#[test]
fn a_408_long_before_the_timeout_counts_as_a_failure() {
    let mut world = World::new();
    world.random = 1.0;
    let number = world.opens();
    world.at(10).ended(number, PollOutcome::Elapsed);
    assert!(world.poller.is_failing());
    assert_eq!(world.next(), Some(1010));
}

#[test]
fn an_upstream_that_answers_every_poll_at_once_is_polled_four_times_a_second() {
    let mut world = World::new();
    let mut polls = 0;
    for millisecond in 0..20_000 {
        if let Some(opened) = world.at(millisecond).due() {
            polls += 1;
            world.ended(opened.number, PollOutcome::Message);
        }
    }
    assert!(
        (100..=120).contains(&polls),
        "{polls}: 33 at once, then 4 a second"
    );
}

#[test]
fn a_full_ramp_delays_polls_after_a_failure_and_no_others() {
    let mut world = World::new();
    let number = world.opens();
    world.ended(number, PollOutcome::Failed);
    while world.pacing.admit(world.now, 0.5).is_ok() {}
    assert_eq!(world.due(), None);
    assert!(world.next().is_some());
    let mut other = Poller::default();
    let opened = other.due(world.now, TIMEOUT, true, &mut world.pacing, &mut || 0.5);
    assert!(opened.is_some());
    let later = world.next().unwrap();
    world.at(later + 2000).opens();
}

#[test]
fn abandoned_polls_are_returned_once_and_their_ends_ignored() {
    let mut world = World::new();
    let number = world.opens();
    assert_eq!(world.poller.abandon().collect::<Vec<_>>(), [number]);
    let ended = world
        .poller
        .ended(world.now, number, PollOutcome::Message, &mut || 0.0);
    assert_eq!(ended, None);
    let next = world.due().unwrap();
    assert!(next.after_gap && next.number > number);
}
