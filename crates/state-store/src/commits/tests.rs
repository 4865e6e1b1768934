use super::*;
use std::fs;

#[test]
fn the_last_number_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("commits");
    assert_eq!(read(&path).unwrap(), 0);
    let commits = Commits::open(&path).unwrap();
    assert_eq!(read(&path).unwrap(), 0);
    for number in [1, 77, 300, u64::MAX] {
        commits.write(number);
        assert_eq!(read(&path).unwrap(), number);
    }
}

#[test]
fn a_file_that_was_not_written_in_full_has_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("commits");
    Commits::open(&path).unwrap().write(0x0102_0304_0506_0708);
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(read(&path).unwrap(), 0, "{end}");
    }
    fs::write(&path, [0; 16]).unwrap();
    assert_eq!(read(&path).unwrap(), 0);
    fs::write(&path, [0; 1000]).unwrap();
    assert_eq!(read(&path).unwrap(), 0);
}
