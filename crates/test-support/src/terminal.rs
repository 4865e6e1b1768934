//! A terminal in which a program goes on, and what it shows there.

use crate::PATIENCE;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

/// The program, until the test has seen enough.
pub struct Terminal {
    child: Child,
    shown: Receiver<String>,
    so_far: String,
}

impl Terminal {
    /// Runs a command; what it shows comes at once, as in a terminal, and not when a pipe's buffer is full.
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
        let (sender, shown) = sync_channel(1000);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut piece = Vec::new();
            // What is shown ends with a JSON object, not with a line.
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
            shown,
            so_far: String::new(),
        }
    }

    /// Waits until it shows this.
    pub fn await_shown(&mut self, text: &str) {
        while !self.so_far.contains(text) {
            let Ok(more) = self.shown.recv_timeout(PATIENCE) else {
                panic!("no {text} in {:?}", self.so_far);
            };
            self.so_far += &more;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
