//! A program under test. Its log is read while it runs, and it is killed when dropped.

use crate::TIMEOUT;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The lines a process has written to stderr so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    /// Ignores poisoning: a test that fails while it holds the lock still shows the log.
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running program.
pub struct Process {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the gateway's binary with these arguments and an empty environment.
    pub fn start(arguments: &[&str]) -> Process {
        let mut child = Command::new(program("coaps-gateway"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let (stderr, into) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                into.lines().push(line);
                into.grown.notify_all();
            }
            into.grown.notify_all();
        });
        Process {
            child,
            log,
            reader: Some(reader),
        }
    }

    /// All that has been logged.
    pub fn log(&self) -> String {
        self.log.lines().join("\n")
    }

    /// Waits until `wanted` returns something for a line, and returns that.
    pub fn await_line<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = now() + TIMEOUT;
        let mut lines = self.log.lines();
        loop {
            if let Some(found) = lines.iter().find_map(|line| wanted(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(now());
            let ended = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            assert!(
                !ended && !left.is_zero(),
                "no line with {what} in this log:\n{}",
                lines.join("\n")
            );
            // Short, because the process may end between the check and the wait.
            lines = self
                .log
                .grown
                .wait_timeout(lines, left.min(Duration::from_millis(100)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the log line with this message, and reads the address in it.
    pub fn await_address(&self, message: &str) -> SocketAddr {
        self.await_line(message, |line| {
            let line = plain(line);
            line.contains(message)
                .then(|| field(&line, "address")?.parse().ok())?
        })
    }

    fn status(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        status.expect("the process lives")
    }

    /// Whether it has a handler for SIGHUP.
    pub fn handles_sighup(&self) -> bool {
        let status = self.status();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        caught.expect("a set of signals") & 1 == 1
    }

    /// Its resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        let status = self.status();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no resident memory, so it has ended: {status}"))
    }

    /// Sends it a signal. It must be running.
    pub fn signal(&mut self, name: &str) {
        let ended = self.child.try_wait().unwrap();
        assert_eq!(ended, None, "the process has ended early");
        // `kill` is built into the shell; the standard library can't send signals.
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it exits with success.
    pub fn await_end(&mut self) {
        let status = wait(&mut self.child, TIMEOUT);
        let status = status.expect("the process ends on a signal");
        assert!(status.success(), "{status}");
        // The log is complete when its stderr is closed.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    /// Sends it SIGTERM, and waits until it exits with success.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        self.await_end();
    }

    /// Kills it, and returns its log.
    pub fn stop(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.log()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A field of a log line, in either format.
pub fn field(line: &str, name: &str) -> Option<String> {
    let Ok(json) = serde_json::from_str::<Value>(line) else {
        let (_, value) = line.split_once(&format!("{name}="))?;
        return value
            .split_whitespace()
            .next()
            .map(|value| value.trim_matches('"').to_owned());
    };
    let value = json
        .get("fields")
        .and_then(|fields| fields.get(name))
        .or_else(|| json.get(name))?;
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

/// Removes ANSI colours.
fn plain(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        text + piece.split_once('m').map_or("", |(_, rest)| rest)
    })
}

/// Runs another program to its end, or kills it at the deadline.
pub fn run(command: &mut Command, deadline: Duration) -> Output {
    let name = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{name:?} can't be run ({error}); `tests/interop/run --install` installs it")
        });
    let (stdout, stderr) = (
        drain(child.stdout.take().unwrap()),
        drain(child.stderr.take().unwrap()),
    );
    let status = wait(&mut child, deadline);
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let status = status.unwrap_or_else(|| {
        let text = [stdout.as_slice(), stderr.as_slice()]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        panic!("{name:?} did not end in {deadline:?}:\n{}", text.join("\n"))
    });
    Output {
        status,
        stdout,
        stderr,
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for the end of the child. Kills it and returns `None` when it takes too long.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let deadline = now() + timeout;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "these tests run real processes in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// A binary of the workspace, which cargo builds into the directory above the tests'.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let directory = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = directory.join(name);
    assert!(path.exists(), "{} does not exist", path.display());
    path
}
