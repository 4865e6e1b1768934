//! A program whose output is read while it runs.

use crate::TIMEOUT;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

/// A running program. It is killed when dropped.
pub struct Terminal {
    child: Child,
    output: Receiver<String>,
    so_far: String,
}

impl Terminal {
    /// Runs a command with unbuffered output, as in a terminal.
    pub fn run(command: &Command) -> Terminal {
        let mut at_once = Command::new("stdbuf");
        at_once
            .arg("-o0")
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            at_once.current_dir(directory);
        }
        let mut child = at_once
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("stdbuf (Debian: coreutils): {error}"));
        let (sender, output) = sync_channel(1000);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut piece = Vec::new();
            // The output ends with a JSON object, not with a line break.
            while stdout
                .read_until(b'}', &mut piece)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&piece).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
                piece.clear();
            }
        });
        Terminal {
            child,
            output,
            so_far: String::new(),
        }
    }

    /// Waits until the output contains this.
    pub fn await_output(&mut self, text: &str) {
        while !self.so_far.contains(text) {
            let Ok(more) = self.output.recv_timeout(TIMEOUT) else {
                panic!("no {text} in {:?}", self.so_far);
            };
            self.so_far += &more;
        }
    }

    /// Sends the program a signal, as `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        // stdbuf has become the program. `kill` is built into the shell; the standard library can't send signals.
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
