//! The demo program, in a directory of its own.

use crate::TIMEOUT;
use crate::process::{now, program};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use tempfile::TempDir;

/// A running demo. It is killed when dropped.
pub struct Demo {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Demo {
    /// Starts it on free ports.
    pub fn start(directory: &TempDir) -> Demo {
        Demo::start_with(directory, &[])
    }

    /// Starts it on free ports, with more arguments.
    pub fn start_with(directory: &TempDir, more: &[&str]) -> Demo {
        let mut child = command(directory)
            .args(["--coaps-port", "0", "--http-port", "0", "--page-port", "0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = sync_channel(10_000);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Demo {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line that holds all of these.
    pub fn await_line(&mut self, parts: &[&str]) -> String {
        let deadline = now() + TIMEOUT;
        loop {
            let holds = |line: &&String| parts.iter().all(|part| line.contains(part));
            if let Some(line) = self.seen.iter().find(holds) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {parts:?} in:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line);
        }
    }

    /// Forgets the lines so far: the next ones are waited for.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// How many lines hold all of these, of those since it was started or has forgotten.
    pub fn count(&self, parts: &[&str]) -> usize {
        let holds = |line: &&String| parts.iter().all(|part| line.contains(part));
        self.seen.iter().filter(holds).count()
    }

    /// Sends it SIGINT, and returns whether it exited with success.
    pub fn interrupt(mut self) -> bool {
        // The shell's own `kill`: the program is in a package that not every machine has.
        let kill = format!("kill -INT {}", self.child.id());
        let sent = Command::new("/bin/sh")
            .args(["-c", &kill])
            .status()
            .unwrap();
        assert!(sent.success());
        let deadline = now() + TIMEOUT;
        while now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `coaps-gateway-demo demo`, in this directory.
pub fn command(directory: &TempDir) -> Command {
    let mut command = Command::new(program("coaps-gateway-demo"));
    command
        .arg("demo")
        .current_dir(directory.path())
        .env_clear()
        .stdin(Stdio::null());
    command
}
