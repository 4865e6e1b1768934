//! Clients that are written with a CoAP library and its DTLS: Californium with Scandium (Java), go-coap with pion (Go).
//!
//! Their sources are in `tests/interop`, and `tests/interop/build` builds them. They have the same options, take the same
//! commands from their standard input, and print the same lines.

use crate::TIMEOUT;
use crate::certificates::Identity;
use crate::world::World;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    Californium,
    Pion,
}

pub const LIBRARIES: [Library; 2] = [Library::Californium, Library::Pion];

impl Library {
    fn command(self) -> Command {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop");
        let (program, file) = match self {
            Library::Californium => (None, built.join("californium/client.jar")),
            Library::Pion => (Some(built.join("pion/client")), built.join("pion/client")),
        };
        assert!(
            file.exists(),
            "there is no {}: tests/interop/build builds it",
            file.display()
        );
        let Some(program) = program else {
            let mut java = Command::new("java");
            // They make it start in half the time.
            java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
            java.arg("-Djava.net.preferIPv4Stack=true");
            java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off");
            java.arg("-jar").arg(file);
            return java;
        };
        Command::new(program)
    }

    /// Starts a client with meter-17's certificate that reaches the gateway through this address.
    pub fn start(self, world: &World, gateway: SocketAddr, arguments: &[&str]) -> Client {
        self.start_with(world, gateway, &world.meter, arguments)
    }

    pub fn start_with(
        self,
        world: &World,
        gateway: SocketAddr,
        identity: &Identity,
        arguments: &[&str],
    ) -> Client {
        let (certificate, key) = identity.write(world.path());
        let mut command = self.command();
        command
            .args(["--server", &format!("coaps://localhost:{}", gateway.port())])
            .arg("--trust-anchors")
            .arg(world.path().join("ca.pem"))
            .arg("--certificate")
            .arg(certificate)
            .arg("--key")
            .arg(key)
            .args(arguments);
        Client::run(&mut command)
    }
}

/// A running client. It is killed when dropped.
pub struct Client {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
    /// The lines that no one has waited for yet, oldest first.
    unread: Vec<String>,
}

impl Client {
    pub(crate) fn run(command: &mut Command) -> Client {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                let program = command.get_program();
                panic!("{program:?}: {error}; `tests/interop/run --install` installs it")
            });
        let commands = child.stdin.take().unwrap();
        let (sender, lines) = sync_channel(1000);
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Client {
            child,
            commands,
            lines,
            unread: Vec::new(),
        }
    }

    /// Gives it a command: `post PATH PAYLOAD`, `post-file PATH FILE`, `get PATH`, `observe PATH`, `resume`.
    pub fn send(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    /// Waits for a line that begins with this, and returns the rest of it. Other lines are kept for later.
    pub fn await_line(&mut self, start: &str) -> String {
        loop {
            let found = self.unread.iter().position(|line| line.starts_with(start));
            if let Some(found) = found {
                return self.unread.remove(found)[start.len()..].to_owned();
            }
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) => self.unread.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no {start} in {:?}", self.unread),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {start}: {:?}", self.unread)
                }
            }
        }
    }

    /// Makes a request, and returns the response: its code and payload, as in `2.05 {}`.
    pub fn request(&mut self, command: &str) -> String {
        self.send(command);
        self.await_line("response ").trim_end().to_owned()
    }

    /// Observes a resource, and returns the first notification.
    pub fn observe(&mut self, path: &str) -> String {
        self.send(&format!("observe {path}"));
        self.await_line("notification ").trim_end().to_owned()
    }

    /// The lines so far that no one has waited for.
    pub fn unread(&mut self) -> &[String] {
        self.unread.extend(self.lines.try_iter());
        &self.unread
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
