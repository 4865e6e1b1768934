//! Panics as log lines. Rust's own hook writes each one straight to standard error, and blocks while nothing reads it.
//!
//! A panic of the DTLS engine is caught and costs one session (`dtls::dtls13::engine`); one elsewhere ends its thread or its task.
//! An attacker may cause either again and again, so there is one line a second at most, with the number of panics that
//! were not logged before it. Like all lines it goes through a queue that drops lines when it is full.

use std::panic::{self, PanicHookInfo};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::error;

/// Logs panics of the whole process from now on.
pub(super) fn log() {
    panic::set_hook(Box::new(write));
}

/// Admits one line a second.
struct OncePerSecond {
    /// One more than the second of the last line.
    last: AtomicU64,
    not_logged: AtomicU64,
}

static LINES: OncePerSecond = OncePerSecond {
    last: AtomicU64::new(0),
    not_logged: AtomicU64::new(0),
};

impl OncePerSecond {
    /// `Some` for the first panic of a second: how many were not logged since the last line.
    fn admits(&self, second: u64) -> Option<u64> {
        let last = self.last.load(Ordering::Relaxed);
        let this = second.saturating_add(1);
        let is_first = last < this
            && (self.last)
                .compare_exchange(last, this, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_first {
            return Some(self.not_logged.swap(0, Ordering::Relaxed));
        }
        self.not_logged.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a panic may happen anywhere, and has no clock"
)]
fn second() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs()
}

fn write(info: &PanicHookInfo<'_>) {
    let Some(not_logged) = LINES.admits(second()) else {
        return;
    };
    // A formatted message may hold a peer's bytes or a secret. A literal from the source holds neither.
    let message = info.payload().downcast_ref::<&'static str>();
    let message = message.copied().unwrap_or("(with values, not shown)");
    let place = info.location().map(ToString::to_string);
    let thread = std::thread::current();
    error!(
        thread = thread.name().unwrap_or("-"),
        place = place.as_deref().unwrap_or("-"),
        not_logged,
        "a panic: {message}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn there_is_one_line_a_second_and_it_counts_the_others() {
        let lines = OncePerSecond {
            last: AtomicU64::new(0),
            not_logged: AtomicU64::new(0),
        };
        assert_eq!(lines.admits(0), Some(0));
        for _ in 0..1000 {
            assert_eq!(lines.admits(0), None);
        }
        assert_eq!(lines.admits(7), Some(1000));
        assert_eq!(lines.admits(7), None);
        assert_eq!(lines.admits(8), Some(1));
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_a_line_of_the_log_that_shows_no_values() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        // Panics of other tests go to the former hook.
        let (before, own) = (panic::take_hook(), std::thread::current().id());
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == own {
                write(info);
            } else {
                before(info);
            }
        }));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..10 {
                let secret = "token-1";
                assert!(panic::catch_unwind(|| panic!("with {secret}")).is_err());
            }
        });
        let _ = panic::take_hook();
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(
            lines.contains("a panic: (with values, not shown)"),
            "{lines}"
        );
        assert!(lines.contains("panics.rs:"), "{lines}");
        assert!(!lines.contains("token-1"), "{lines}");
        assert!(lines.lines().count() <= 2, "ten in a second: {lines}");
    }
}
