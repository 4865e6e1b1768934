use super::*;
use crate::ota::ids::DownloaderId;
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
fn of_each_kind_the_least_recently_used_edition_is_ended() {
    for (owner, most) in [
        (Owner::Group("fleet".into()), MAX_SHARED),
        (Owner::Device(DownloaderId(1)), MAX_OWN),
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
fn an_owner_keeps_its_own_edition_and_others_find_the_verified_one() {
    let mut editions = Editions::new(1024);
    let [one, other] = [1, 2].map(|n| Owner::Device(DownloaderId(n)));
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
    assert!(editions.owned.is_empty() && editions.verified.is_empty());
}

#[test]
fn the_hashes_of_all_editions_are_bounded_and_those_of_single_devices_end_first() {
    let mut editions = Editions::new(16);
    let chunks = |editions: &mut Editions, id, count: usize| {
        for number in 0..u64::try_from(count).unwrap() {
            let bytes = bytes::Bytes::from(vec![7; 16]);
            editions
                .get_mut(id)
                .unwrap()
                .add_chunk(number, &bytes)
                .unwrap();
        }
        editions.recount(id);
    };
    let group = editions.add(Owner::Group("fleet".into()), name(0), none(), 0);
    chunks(&mut editions, group, 4096);
    let mut last = group;
    for number in 1..16 {
        let owner = Owner::Device(DownloaderId(number));
        last = editions.add(owner, name(0), none(), 0);
        chunks(&mut editions, last, 4096);
        assert_eq!(editions.surplus(last), None);
    }
    let late = editions.add(Owner::Device(DownloaderId(99)), name(0), none(), 0);
    chunks(&mut editions, late, 1);
    let gone = editions.surplus(late).unwrap();
    assert!(gone != group && gone != last);
    editions.remove(gone).unwrap();
    assert_eq!(editions.surplus(late), None);
}
