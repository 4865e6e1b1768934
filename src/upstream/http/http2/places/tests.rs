use super::*;
use std::cell::Cell;
use std::rc::Rc;

/// A connection that allows so many exchanges.
type Fake = Rc<Cell<usize>>;

impl Limited for Fake {
    fn most(&self) -> usize {
        self.get()
    }
}

/// A waiter by number, and whether it has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Caller(u32, Rc<Cell<bool>>);

impl Waiting for Caller {
    fn is_gone(&self) -> bool {
        self.1.get()
    }
}

fn caller(number: u32) -> Caller {
    Caller(number, Rc::default())
}

fn allowing(most: usize) -> Fake {
    Rc::new(Cell::new(most))
}

fn taken(places: &mut Places<Fake, Caller>, except: Option<Id>) -> Option<Id> {
    places.take(except).map(|(id, _)| id)
}

fn granted(places: &mut Places<Fake, Caller>) -> Option<(u32, Id)> {
    places.grant().map(|grant| (grant.waiter.0, grant.id))
}

#[test]
fn a_thousand_at_once_are_ten_connections() {
    let mut places = Places::new();
    let opened: usize = (0..1000).map(|n| places.wait(caller(n), None)).sum();
    assert_eq!(opened, 10);
    for _ in 0..10 {
        places.insert(allowing(usize::MAX));
        let mut given = 0;
        while granted(&mut places).is_some() {
            given += 1;
        }
        assert_eq!((given, places.missing()), (100, 0));
    }
    assert!(!places.is_waiting());
}

#[test]
fn the_oldest_connection_with_a_place_is_taken_and_surplus_ones_expire() {
    let mut places = Places::new();
    let (first, second) = (places.insert(allowing(2)), places.insert(allowing(2)));
    let ids: Vec<_> = (0..5).map(|_| taken(&mut places, None)).collect();
    let expected = [first, first, second, second].map(Some);
    assert_eq!(ids, [expected.as_slice(), &[None]].concat());
    places.release(second);
    places.release(second);
    places.release(first);
    assert_eq!(taken(&mut places, None), Some(first));
    assert_eq!(places.tick(), (vec![], true));
    let (expired, is_any_left) = places.tick();
    assert_eq!((expired.len(), is_any_left), (1, true));
    // The first one has exchanges.
    assert_eq!(places.tick(), (vec![], true));
    places.release(first);
    places.release(first);
    assert_eq!(places.tick(), (vec![], true));
    let (expired, is_any_left) = places.tick();
    assert_eq!((expired.len(), is_any_left), (1, false));
}

#[test]
fn the_servers_limit_counts_as_it_is_now() {
    let mut places = Places::new();
    let limit = allowing(1);
    let id = places.insert(limit.clone());
    assert_eq!(taken(&mut places, None), Some(id));
    assert_eq!(taken(&mut places, None), None);
    limit.set(2);
    assert_eq!(taken(&mut places, None), Some(id));
    limit.set(0);
    places.release(id);
    assert_eq!(taken(&mut places, None), None);
    // No more than our own limit.
    limit.set(usize::MAX);
    let more = (0..200).map_while(|_| taken(&mut places, None)).count();
    assert_eq!(more, MOST_STREAMS - 1);
}

#[test]
fn with_few_streams_a_connection_as_many_more_are_opened() {
    let mut places = Places::new();
    let opened: usize = (0..8).map(|n| places.wait(caller(n), None)).sum();
    assert_eq!(opened, 1);
    places.insert(allowing(2));
    assert_eq!(granted(&mut places), Some((0, 1)));
    assert_eq!(granted(&mut places), Some((1, 1)));
    assert_eq!(granted(&mut places), None);
    assert_eq!(places.missing(), 3);
    assert_eq!(places.missing(), 0);
}

#[test]
fn a_failure_to_connect_fails_those_that_it_was_for() {
    let mut places = Places::new();
    let opened: usize = (0..250).map(|n| places.wait(caller(n), None)).sum();
    assert_eq!(opened, 3);
    let numbers = |failed: Vec<Caller>| failed.iter().map(|caller| caller.0).collect::<Vec<_>>();
    assert_eq!(numbers(places.failed()), (0..50).collect::<Vec<_>>());
    assert_eq!(numbers(places.failed()), (50..150).collect::<Vec<_>>());
    places.insert(allowing(100));
    let given = std::iter::from_fn(|| granted(&mut places)).count();
    assert_eq!((given, places.is_waiting()), (100, false));
}

#[test]
fn another_protocol_ends_all_waiting() {
    let mut places: Places<Fake, Caller> = Places::new();
    let opened: usize = (0..150).map(|n| places.wait(caller(n), None)).sum();
    assert_eq!(opened, 2);
    assert_eq!(places.unsuitable().len(), 150);
    assert_eq!(places.unsuitable().len(), 0);
    assert_eq!(places.wait(caller(0), None), 1, "both were counted");
}

#[test]
fn a_refused_exchange_gets_another_connection() {
    let mut places = Places::new();
    let refuses = places.insert(allowing(100));
    assert_eq!(taken(&mut places, Some(refuses)), None);
    assert_eq!(places.wait(caller(1), Some(refuses)), 1);
    assert_eq!(places.wait(caller(2), None), 0);
    // Others are not held up by it.
    assert_eq!(granted(&mut places), Some((2, refuses)));
    assert_eq!(granted(&mut places), None);
    let other = places.insert(allowing(100));
    assert_eq!(granted(&mut places), Some((1, other)));
}

#[test]
fn those_that_have_gone_take_no_place_and_a_removed_connection_gives_none() {
    let mut places = Places::new();
    let (gone, stays) = (caller(1), caller(2));
    let opened = places.wait(gone.clone(), None) + places.wait(stays, None);
    assert_eq!(opened, 1);
    gone.1.set(true);
    let id = places.insert(allowing(1));
    assert_eq!(granted(&mut places), Some((2, id)));
    assert!(places.remove(id).is_some());
    assert!(places.remove(id).is_none());
    // The exchange on it ends later.
    places.release(id);
    assert_eq!(taken(&mut places, None), None);
}
