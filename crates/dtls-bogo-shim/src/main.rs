//! Runs [`dtls_server`] under the test runner of BoringSSL ("bogo"), whose client breaks the protocol in a thousand named ways.
//!
//! The runner starts this program once for each test, with the test's settings as flags, and exchanges datagrams with it over
//! a loopback TCP connection for each DTLS connection ([`link`]). The clock is the runner's, too.
//!
//! Exit codes: 0, all went as the test expects; 1, it did not, or the connection failed, and standard error has the reason;
//! 89, the test needs what this program or the server does not have.
//!
//! The script `run` beside `Cargo.toml` calls a runner that a person has built. What does not run, and why, is in
//! `config.json`; what has to pass, in `must-pass.txt`.

mod connection;
mod credentials;
mod failure;
mod link;
mod options;
mod server;

use failure::Failure;
use link::Link;
use options::{Command, Options};
use server::{Server, Sessions};
use std::io::Write;
use std::process::ExitCode;

const FAILED: u8 = 1;
/// The runner skips a test whose shim ends with this.
const UNIMPLEMENTED: u8 = 89;

fn main() -> ExitCode {
    let Err(failure) = run(std::env::args().skip(1)) else {
        return ExitCode::SUCCESS;
    };
    // The runner reads it. Where there is no standard error, the exit code is all that is left.
    let _ = writeln!(std::io::stderr(), "{failure}");
    match failure {
        Failure::Unimplemented(_) => ExitCode::from(UNIMPLEMENTED),
        Failure::Failed(_) => ExitCode::from(FAILED),
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let plan = match options::parse(arguments)? {
        Command::ReportNoHandshaker => {
            writeln!(std::io::stdout(), "No")?;
            return Ok(());
        }
        Command::Run(plan) => plan,
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "where the clock begins is of no importance"
    )]
    let mut sessions = Sessions::new(std::time::Instant::now())?;
    for connection in 0..=plan.initial.resume_count {
        let options = match connection {
            0 => &plan.initial,
            _ => &plan.resumed,
        };
        connect(options, &mut sessions, connection > 0)?;
    }
    Ok(())
}

fn connect(options: &Options, sessions: &mut Sessions, is_resumption: bool) -> Result<(), Failure> {
    options.check()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "where the runner's clock begins is of no importance"
    )]
    let now = std::time::Instant::now();
    let server = Server::new(options, sessions, now)?;
    let mut link = Link::open(options.port, options.ipv6, options.shim_id)?;
    let outcome = connection::run(options, server, &mut link, now, is_resumption);
    link.close();
    outcome
}
