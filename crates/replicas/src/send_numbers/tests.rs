use super::*;

/// The next number, as an association uses them.
fn take(numbers: &mut SendNumbers) -> Option<u64> {
    let number = match (numbers.next() < numbers.first_end(), numbers.spare()) {
        (true, _) => numbers.next(),
        (false, spare) => spare?.0,
    };
    numbers.used(number + 1);
    Some(number)
}

fn taken(numbers: &mut SendNumbers) -> Vec<u64> {
    std::iter::from_fn(|| take(numbers)).collect()
}

#[test]
fn a_new_session_stops_where_the_store_gives_out_numbers() {
    let mut numbers = SendNumbers::of_new_session(5);
    assert_eq!(take(&mut numbers), Some(5));
    numbers.stop_at(8);
    numbers.stop_at(20);
    assert_eq!(taken(&mut numbers), [6, 7]);
}

#[test]
fn blocks_follow_one_another_and_gaps_are_skipped() {
    let mut numbers = SendNumbers::of_block(0, 2);
    assert!(numbers.are_low(4));
    numbers.add(2, 4);
    assert!(!numbers.are_low(4));
    numbers.add(10, 12);
    numbers.add(12, 13);
    assert_eq!(numbers.end(), 13);
    assert_eq!(taken(&mut numbers), [0, 1, 2, 3, 10, 11, 12]);
    numbers.add(13, 14);
    assert_eq!(taken(&mut numbers), [13]);
}

#[test]
fn a_block_that_does_not_rise_is_not_used() {
    let mut numbers = SendNumbers::of_block(10, 12);
    numbers.add(4, 6);
    numbers.add(11, 14);
    numbers.add(12, 12);
    assert_eq!(taken(&mut numbers), [10, 11]);
    let mut numbers = SendNumbers::of_block(0, 1);
    numbers.add(5, 7);
    // A third one that is apart has no place.
    numbers.add(9, 11);
    assert_eq!(taken(&mut numbers), [0, 5, 6]);
}

#[test]
fn numbers_end_with_48_bits() {
    let mut numbers = SendNumbers::of_block(END - 2, u64::MAX);
    assert_eq!(taken(&mut numbers), [END - 2, END - 1]);
    let mut numbers = SendNumbers::of_new_session(END);
    assert_eq!(take(&mut numbers), None);
}
