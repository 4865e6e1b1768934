use super::*;

const TIMEOUT: Duration = Duration::from_secs(25);

/// A poller that is wanted all the time, under a clock of its own.
struct World {
    start: Instant,
    now: Instant,
    pace: Pace,
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
            pace: Pace::new(TIMEOUT),
            poller: Poller::default(),
            overlap: true,
            random: 0.0,
        }
    }

    fn at(&mut self, milliseconds: u64) -> &mut World {
        self.now = self.start + Duration::from_millis(milliseconds);
        self
    }

    fn due(&mut self) -> Option<Opening> {
        let random = self.random;
        self.poller
            .due(self.now, TIMEOUT, self.overlap, &mut self.pace, &mut || {
                random
            })
    }

    fn opens(&mut self) -> u64 {
        self.due().expect("no poll is due").number
    }

    fn ended(&mut self, number: u64, outcome: Outcome) {
        let random = self.random;
        let ours = self.poller.ended(self.now, number, outcome, &mut || random);
        assert!(ours.is_some());
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
    world.at(25_010).ended(first, Outcome::Elapsed);
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
fn a_message_has_the_next_poll_opened_at_once_also_beside_a_successor() {
    let mut world = World::new();
    let first = world.opens();
    world.at(100).ended(first, Outcome::Message);
    let second = world.due().unwrap();
    assert!(
        !second.after_gap,
        "nothing can have been missed but by the way"
    );
    world.at(24_200).opens();
    world.at(24_300).ended(second.number, Outcome::Message);
    world.opens();
    assert_eq!(world.due(), None);
}

#[test]
fn a_copy_beside_another_poll_opens_none() {
    let mut world = World::new();
    let first = world.opens();
    let second = world.at(24_000).opens();
    world.at(24_100).ended(first, Outcome::Message);
    world.opens();
    world.ended(second, Outcome::Repeated);
    assert_eq!(world.due(), None);
    assert_eq!(world.poller.open(), 1);
}

#[test]
fn without_a_successor_running_out_leaves_a_gap() {
    let mut world = World::new();
    world.overlap = false;
    let first = world.opens();
    assert_eq!(world.at(24_999).due(), None);
    world.at(25_000).ended(first, Outcome::Elapsed);
    assert!(world.due().unwrap().after_gap);
}

#[test]
fn failures_wait_longer_each_time_and_one_success_forgets_them() {
    let mut world = World::new();
    world.random = 1.0;
    let mut time = 0;
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let number = world.opens();
        world.ended(number, Outcome::Failed);
        assert_eq!(world.next(), Some(time + seconds * 1000));
        time += seconds * 1000;
        world.at(time);
    }
    let opening = world.due().unwrap();
    assert!(opening.after_gap && world.poller.is_failing());
    world
        .at(time + 25_000)
        .ended(opening.number, Outcome::Elapsed);
    assert!(!world.poller.is_failing());
    world.opens();
}

#[test]
fn a_408_before_its_time_counts_as_failure_lest_polls_spin() {
    let mut world = World::new();
    world.random = 1.0;
    let number = world.opens();
    world.at(10).ended(number, Outcome::Elapsed);
    assert!(world.poller.is_failing());
    assert_eq!(world.next(), Some(1010));
}

#[test]
fn upstream_that_answers_every_poll_at_once_is_asked_four_times_a_second() {
    let mut world = World::new();
    let mut polls = 0;
    for millisecond in 0..20_000 {
        if let Some(opening) = world.at(millisecond).due() {
            polls += 1;
            world.ended(opening.number, Outcome::Message);
        }
    }
    assert!(
        (100..=120).contains(&polls),
        "{polls}: 33 at once, then 4 a second"
    );
}

#[test]
fn a_full_ramp_makes_who_comes_after_a_failure_wait_and_nobody_else() {
    let mut world = World::new();
    let number = world.opens();
    world.ended(number, Outcome::Failed);
    while world.pace.admit(world.now, 0.5).is_ok() {}
    assert_eq!(world.due(), None);
    assert!(world.next().is_some());
    let mut other = Poller::default();
    let opening = other.due(world.now, TIMEOUT, true, &mut world.pace, &mut || 0.5);
    assert!(opening.is_some());
    let later = world.next().unwrap();
    world.at(later + 2000).opens();
}

#[test]
fn abandoned_polls_are_named_once_and_unknown_ever_after() {
    let mut world = World::new();
    let number = world.opens();
    assert_eq!(world.poller.abandon().collect::<Vec<_>>(), [number]);
    let ended = world
        .poller
        .ended(world.now, number, Outcome::Message, &mut || 0.0);
    assert_eq!(ended, None);
    let next = world.due().unwrap();
    assert!(next.after_gap && next.number > number);
}
