use super::*;
use crate::ota::readers::ReaderId;
use crate::upstream::Package;

fn name(number: usize) -> Name {
    Name {
        package: Package::Firmware,
        title: "meter".into(),
        version: number.to_string().into(),
    }
}

fn none() -> Identity {
    Identity::default()
}

#[test]
fn of_each_kind_the_one_that_was_not_used_for_longest_gives_way() {
    for (owner, most) in [
        (Owner::Group("fleet".into()), MOST_SHARED),
        (Owner::Reader(ReaderId::of_a_test(1)), MOST_OWN),
    ] {
        let mut editions = Editions::new(1024);
        let add = |editions: &mut Editions, number| {
            let id = editions.add(owner.clone(), name(number), none(), 0);
            (id, editions.surplus(id))
        };
        let ids: Vec<_> = (0..most).map(|n| add(&mut editions, n)).collect();
        assert!(ids.iter().all(|(_, surplus)| surplus.is_none()));
        editions.get_mut(ids[0].0).unwrap();
        assert_eq!(add(&mut editions, most).1, Some(ids[1].0));
        editions.remove(ids[1].0).unwrap();
        assert_eq!(editions.count(), most);
        assert_eq!(editions.find(&owner, &name(1), &none()), None);
        assert_eq!(editions.find(&owner, &name(0), &none()), Some(ids[0].0));
    }
}

#[test]
fn an_owner_keeps_to_its_own_and_others_find_what_is_proven() {
    let mut editions = Editions::new(1024);
    let [one, other] = [1, 2].map(|n| Owner::Reader(ReaderId::of_a_test(n)));
    let first = editions.add(one.clone(), name(1), none(), 0);
    assert_eq!(editions.find(&other, &name(1), &none()), None);
    let own = editions.add(other.clone(), name(1), none(), 0);
    assert!(editions.share(first));
    assert_eq!(editions.find(&one, &name(1), &none()), Some(first));
    assert_eq!(editions.find(&other, &name(1), &none()), Some(own));
    assert!(!editions.share(own), "one is enough");
    editions.remove(own).unwrap();
    assert_eq!(editions.find(&other, &name(1), &none()), Some(first));
    editions.remove(first).unwrap();
    assert_eq!(editions.count(), 0);
    assert!(editions.own_ages.is_empty() && editions.shared_ages.is_empty());
    assert!(editions.owned.is_empty() && editions.proven.is_empty());
}

#[test]
fn what_all_recognise_is_bounded_and_single_devices_give_way_first() {
    let mut editions = Editions::new(16);
    let chunks = |editions: &mut Editions, id, count: usize| {
        for number in 0..u64::try_from(count).unwrap() {
            let bytes = bytes::Bytes::from(vec![7; 16]);
            editions.get_mut(id).unwrap().take(number, &bytes).unwrap();
        }
        editions.recount(id);
    };
    let group = editions.add(Owner::Group("fleet".into()), name(0), none(), 0);
    chunks(&mut editions, group, 4096);
    let mut last = group;
    for number in 1..16 {
        let owner = Owner::Reader(ReaderId::of_a_test(number));
        last = editions.add(owner, name(0), none(), 0);
        chunks(&mut editions, last, 4096);
        assert_eq!(editions.surplus(last), None);
    }
    let late = editions.add(Owner::Reader(ReaderId::of_a_test(99)), name(0), none(), 0);
    chunks(&mut editions, late, 1);
    let gone = editions.surplus(late).unwrap();
    assert!(gone != group && gone != last);
    editions.remove(gone).unwrap();
    assert_eq!(editions.surplus(late), None);
}
