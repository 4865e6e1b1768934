use super::*;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const SECOND: Duration = Duration::from_secs(1);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

/// Files by name. Their stamps are those of real files, because a stamp can't be made otherwise.
struct Files {
    directory: TempDir,
    now: HashMap<PathBuf, Option<Stamp>>,
    made: u32,
}

impl Files {
    fn new() -> Files {
        Files {
            directory: TempDir::new().unwrap(),
            now: HashMap::new(),
            made: 0,
        }
    }

    /// Gives a file a new stamp.
    fn change(&mut self, name: &str) {
        self.made += 1;
        let file = self.directory.path().join(self.made.to_string());
        fs::write(&file, "").unwrap();
        self.now.insert(name.into(), Stamp::of(&file));
    }

    fn watch(&mut self, count: usize) -> Watch {
        for index in 0..count {
            self.change(&index.to_string());
        }
        Watch::new(
            (0..count)
                .map(|index| {
                    let path = PathBuf::from(index.to_string());
                    let stamp = self.now[&path];
                    WatchedFile { path, stamp }
                })
                .collect(),
        )
    }

    fn check(&self, watch: &mut Watch, now: Instant) -> bool {
        watch.check(now, |file| self.now[&file.path])
    }
}

#[test]
fn unchanged_files_are_not_read() {
    let mut files = Files::new();
    let mut watch = files.watch(3);
    for second in 0..100 {
        assert!(!files.check(&mut watch, start() + SECOND * second));
    }
}

#[test]
fn a_change_is_read_when_two_checks_agree() {
    let (mut files, now) = (Files::new(), start());
    let mut watch = files.watch(3);
    files.change("1");
    assert!(!files.check(&mut watch, now), "it may be half written");
    files.change("1");
    assert!(!files.check(&mut watch, now + SECOND));
    assert!(files.check(&mut watch, now + 2 * SECOND));
}

#[test]
fn two_files_that_change_one_after_the_other_are_read_together() {
    let (mut files, now) = (Files::new(), start());
    let mut watch = files.watch(2);
    files.change("0");
    assert!(!files.check(&mut watch, now));
    files.change("1");
    assert!(
        !files.check(&mut watch, now + SECOND),
        "the key has come just now"
    );
    assert!(files.check(&mut watch, now + 2 * SECOND));
}

#[test]
fn a_file_that_keeps_changing_is_read_after_ten_seconds() {
    let (mut files, now) = (Files::new(), start());
    let mut watch = files.watch(1);
    let mut verdicts = Vec::new();
    for second in 0..12 {
        files.change("0");
        verdicts.push(files.check(&mut watch, now + SECOND * second));
    }
    assert_eq!(verdicts.iter().position(|read| *read), Some(10));
}

#[test]
fn a_file_that_goes_and_comes_back_as_it_was_is_not_read() {
    let (mut files, now) = (Files::new(), start());
    let mut watch = files.watch(1);
    let before = files.now.insert("0".into(), None).unwrap();
    assert!(!files.check(&mut watch, now));
    files.now.insert("0".into(), before);
    for second in 1..5 {
        assert!(!files.check(&mut watch, now + SECOND * second));
    }
    files.now.insert("0".into(), None);
    assert!(!files.check(&mut watch, now + 6 * SECOND));
    assert!(files.check(&mut watch, now + 7 * SECOND), "it stays away");
}

#[test]
fn of_many_files_each_is_checked_and_the_number_in_one_check_is_bounded() {
    let (mut files, now) = (Files::new(), start());
    let mut watch = files.watch(2_000);
    for changed in ["16", "700", "1999"] {
        files.change(changed);
        let mut seconds = 0..;
        let found = seconds.find(|second| {
            let checked = std::cell::Cell::new(0);
            let read = watch.check(now + SECOND * *second, |file| {
                checked.set(checked.get() + 1);
                files.now[&file.path]
            });
            assert!(
                checked.get() <= ALWAYS_CHECKED + IN_TURN + 1,
                "{}",
                checked.get()
            );
            read
        });
        assert!(found.unwrap() <= 6, "{changed}: {found:?}");
        watch.settle();
    }
}

#[test]
fn a_file_that_could_not_be_read_is_not_tried_again_until_it_changes() {
    let (mut files, now) = (Files::new(), start());
    let mut watch = files.watch(2);
    files.change("1");
    assert!(!files.check(&mut watch, now));
    assert!(files.check(&mut watch, now + SECOND));
    watch.settle();
    for second in 2..5 {
        assert!(!files.check(&mut watch, now + SECOND * second));
    }
    files.change("1");
    assert!(!files.check(&mut watch, now + 5 * SECOND));
    assert!(files.check(&mut watch, now + 6 * SECOND));
}

#[test]
fn without_files_nothing_is_read() {
    let mut watch = Watch::new(Vec::new());
    assert!(!watch.check(start(), |_| None));
}
