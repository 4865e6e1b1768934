use super::*;

const KIB: usize = 1024;

fn fill(cache: &mut Cache, edition: u64, numbers: std::ops::Range<u64>, is_own: bool) {
    for number in numbers {
        cache.reserve().unwrap();
        let edition = EditionId(edition);
        cache.insert(Key { edition, number }, Bytes::from(vec![7; KIB]), is_own);
        assert!(cache.load() <= cache.capacity);
    }
}

fn chunks_of(cache: &Cache, edition: u64) -> usize {
    let all = Cache::range(EditionId(edition), 0);
    cache.chunks.range(all).count()
}

#[test]
fn what_is_one_device_s_alone_takes_no_more_than_half_from_the_others() {
    let mut cache = Cache::new(64 * KIB, KIB);
    fill(&mut cache, 1, 0..64, false);
    fill(&mut cache, 2, 0..200, true);
    assert_eq!((chunks_of(&cache, 1), chunks_of(&cache, 2)), (32, 32));
    // Those who come later find room as well, and take it from whoever holds most.
    for edition in 3..40 {
        fill(&mut cache, edition, 0..2, true);
        assert_eq!(chunks_of(&cache, edition), 2, "{edition}");
    }
    assert_eq!(chunks_of(&cache, 1), 32);
    // The pools add up, and nothing is left of who has gone.
    assert_eq!(cache.own.stored, 32 * KIB);
    for edition in 1..40 {
        cache.remove_edition(EditionId(edition));
    }
    assert!(cache.holders.is_empty() && cache.own.by_age.is_empty());
    assert!(cache.shared.by_size.is_empty() && cache.load() == 0);
}

#[test]
fn the_largest_of_those_that_many_share_gives_way() {
    let mut cache = Cache::new(16 * KIB, KIB);
    fill(&mut cache, 1, 0..12, false);
    fill(&mut cache, 2, 0..4, true);
    cache.share(EditionId(2));
    fill(&mut cache, 3, 0..4, false);
    let counts = [1, 2, 3].map(|edition| chunks_of(&cache, edition));
    assert_eq!(counts, [8, 4, 4]);
    assert_eq!(cache.own_bytes(), 0);
}

#[test]
fn of_one_edition_the_chunk_that_was_not_used_for_longest_goes() {
    let mut cache = Cache::new(4 * KIB, KIB);
    fill(&mut cache, 1, 0..4, false);
    let edition = EditionId(1);
    cache.get(Key { edition, number: 0 }).unwrap();
    fill(&mut cache, 1, 9..10, false);
    assert!(cache.peek(Key { edition, number: 0 }).is_some());
    assert!(cache.peek(Key { edition, number: 1 }).is_none());
}
