use super::*;
use crate::logging::log_lines;
use crate::state::report::NotRestored;
use state_store::{DiskError, Reason};
use std::path::PathBuf;

/// The only line that this logs, from its level on.
fn line(work: impl Fn()) -> String {
    let lines = log_lines::of(work);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (_, line) = lines[0].split_once("Z ").unwrap();
    let (level, message) = line.trim().split_once(' ').unwrap();
    let (_, message) = message.split_once(": ").unwrap();
    format!("{level} {message}")
}

#[test]
fn what_is_set_aside_is_named_with_the_reason() {
    let directory = Path::new("/var/lib/gateway");
    assert!(log_lines::of(|| opened(directory, false, None)).is_empty());
    assert_eq!(
        line(|| opened(directory, true, None)),
        "INFO a key for stored sessions was made directory=/var/lib/gateway"
    );
    let aside = SetAside {
        path: PathBuf::from("/var/lib/gateway/state.sqlite3.set-aside-1"),
        reason: Reason::OtherKey,
    };
    let line = line(|| opened(directory, false, Some(&aside)));
    for part in [
        "WARN ",
        "It is set aside: it was written with another key",
        "path=/var/lib/gateway/state.sqlite3.set-aside-1",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn sessions_that_do_not_go_on_are_counted_by_reason() {
    let took = Duration::from_millis(120);
    let mut restored = Restored::default();
    restored.sessions = 3;
    let all = line(|| super::restored(&restored, took));
    assert_eq!(
        all,
        "INFO stored sessions restored sessions=3 milliseconds=120"
    );
    restored.count_not(NotRestored::Idle);
    restored.count_not(NotRestored::NotRegistered);
    restored.count_not(NotRestored::NotRegistered);
    let some = line(|| super::restored(&restored, took));
    assert!(
        some.contains("no longer hold: idle 1, not_registered 2 sessions=3 stored=6"),
        "{some}"
    );
}

#[test]
fn a_disk_that_fails_is_a_warning_and_that_it_works_again_is_none() {
    let failing = line(|| event(&Event::Failing(DiskError::Full)));
    assert!(failing.starts_with("WARN sessions can't be stored now: no space is left"));
    let again = line(|| event(&Event::WorksAgain { failed: 7 }));
    assert_eq!(again, "INFO sessions are stored again failed=7");
    let stop = line(|| stopped(2, Ok(())));
    assert!(
        stop.starts_with("INFO sessions are stored, and go on"),
        "{stop}"
    );
    let lost = line(|| {
        stopped(
            2,
            Err(StopError {
                pending: 1,
                error: DiskError::Full,
            }),
        )
    });
    assert!(
        lost.starts_with("ERROR not all sessions are stored"),
        "{lost}"
    );
    let error = line(|| not_opened(Path::new("/var/lib/gateway"), &DiskError::Full));
    assert!(error.starts_with("ERROR no session is stored"), "{error}");
}
