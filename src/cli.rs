//! The command line: one function for each command.
//!
//! Exit codes: 0: done. 1: failed, with `error: …` on standard error. 2: the command line can't be parsed.

mod certs;
mod check;
mod device;
mod dumpable;
mod fingerprint;
mod healthcheck;
mod limits;
mod parse;
mod serve;

use crate::authority::KeyKind;
use crate::config::{Config, Mistakes, Warning};
use clap::{Args, Parser, Subcommand};
use rustls_pki_types::UnixTime;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Terminates CoAP over DTLS for devices with X.509 certificates and forwards to ThingsBoard's HTTP device API.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
To begin:
  coaps-gateway certs --out certs --host NAME --device meter-17  make certificates for a trial
  coaps-gateway device add meter-17 ...                          register it; see device add --help
  coaps-gateway check                                            find every mistake in the configuration
  coaps-gateway run                                              start the gateway")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    #[command(after_help = ENVIRONMENT, after_long_help = every_key())]
    Run(ConfigFile),
    /// Report every mistake in configuration, certificates and registry at once
    #[command(after_help = ENVIRONMENT, after_long_help = every_key())]
    Check(ConfigFile),
    /// Check whether the running gateway is ready: exit code 0 if it is
    #[command(after_help = "\
Requests /readyz at listen.admin and prints the response. Of the configuration only listen.admin is read, so the
environment must be the gateway's. For a container's health check:
  HEALTHCHECK CMD [\"coaps-gateway\", \"healthcheck\"]")]
    Healthcheck(ConfigFile),
    /// Print the fingerprints of certificates: SHA-256, and ThingsBoard's SHA3-256 credentials id
    #[command(after_help = "\
Either can be the `fingerprint` of a device in the registry (config/devices.toml). SHA-256 is what
`openssl x509 -noout -fingerprint -sha256` prints; the other is what ThingsBoard shows as
credentials id of a device with X.509 credentials (without the `sha3:`).

Example:
  coaps-gateway fingerprint certs/meter-17.pem")]
    Fingerprint(FingerprintArgs),
    /// Make a small CA with certificates for the gateway and for devices, for tests and trials
    #[command(after_help = "\
Makes ca.pem, server.pem and NAME.pem for each device, and their keys (ca.key, …; PKCS#8, readable
for their owner alone; on P-256 without the options below). Existing files are kept and no key is ever overwritten: run it
again with another --device to add one under the same CA.

Example:
  coaps-gateway certs --out certs --host gateway.example --device meter-17 --device meter-18

Then paste the lines it prints into config/devices.toml, with each device's access token.")]
    Certs(CertsArgs),
    /// List, add and remove devices in the registry, which keeps its comments and order
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "\
The registry is the file that devices.file of the configuration names (config/devices.toml).
It is replaced in one step, keeps its mode and owner, and is never written with a mistake.

Examples:
  coaps-gateway device list
  coaps-gateway device add meter-17 --certificate meter-17.pem --token - < meter-17.token
  coaps-gateway device add meter-18 --new-certificate --token-file meter-18.token
  coaps-gateway device remove meter-17")]
    Device(device::DeviceArgs),
}

const ENVIRONMENT: &str = "\
Every key of the file can be set from the environment, which takes precedence:
  COAPS_GATEWAY__UPSTREAM__URL=https://thingsboard.example coaps-gateway run
  COAPS_GATEWAY__DTLS__VERSIONS=1.2,1.3
Without --config, config/gateway.toml may be missing: environment and defaults are used then.
Paths in the file are relative to the working directory. --help shows every key.";

/// Both files, as they come with the gateway.
fn every_key() -> String {
    format!(
        "config/gateway.toml:\n\n{}\nconfig/devices.toml:\n\n{}",
        crate::config::gateway_toml(),
        include_str!("../config/devices.toml")
    )
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file [default: config/gateway.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct FingerprintArgs {
    /// Certificate files, PEM (all certificates in each) or DER
    #[arg(required = true, value_name = "CERT.pem")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct CertsArgs {
    /// The directory for certificates and keys, made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The DNS name or IP address by which devices reach the gateway
    #[arg(long, value_name = "NAME")]
    host: String,
    /// A device to make a certificate for; can be given again and again
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// The devices' keys: p256, p384, p521, rsa2048, rsa3072 or ed25519; all but the first two need DTLS 1.2
    #[arg(long, value_name = "KIND", default_value_t)]
    key_type: KeyKind,
    /// The key of server.pem: p256, p384, or p521, which needs DTLS 1.2
    #[arg(long, value_name = "KIND", default_value_t)]
    server_key_type: KeyKind,
    /// Make server-rsa.pem as well, with an RSA key of 2048 bits, for server.rsa_certificate
    #[arg(long)]
    rsa_server: bool,
    /// Issue by intermediate.pem, an authority below the CA, which is in each file behind the certificate
    #[arg(long)]
    intermediate: bool,
}

type Outcome = Result<(), Failed>;

/// A command failed. The message is printed at the end; `None`: all messages are printed already.
#[derive(Debug)]
struct Failed(Option<String>);

impl<E: std::fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Failed(Some(error.to_string()))
    }
}

/// Parses the process's arguments and runs the command.
pub fn main() -> ExitCode {
    let command = parse::parse().command;
    dumpable::off();
    let outcome = match command {
        Command::Run(args) => run(&args),
        Command::Check(args) => check::check(args.config.as_deref(), &mut std::io::stdout().lock()),
        Command::Healthcheck(args) => {
            healthcheck::healthcheck(args.config.as_deref(), &mut std::io::stdout().lock())
        }
        Command::Fingerprint(args) => {
            fingerprint::fingerprint(&args.files, &mut std::io::stdout().lock())
        }
        Command::Certs(args) => certs::certs(args, &mut std::io::stdout().lock()),
        Command::Device(args) => device::device(args, &mut std::io::stdout().lock()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            if let Some(message) = message {
                print_error(&message);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &ConfigFile) -> Outcome {
    let (runtime, sighups) = serve::start_runtime()?;
    let (config, warnings) = configure(args.config.as_deref())?;
    let _log = crate::logging::init(&config.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    serve::run(runtime, sighups, config)
}

/// The configuration and its warnings. Prints every mistake.
fn configure(file: Option<&std::path::Path>) -> Result<(Config, Vec<Warning>), Failed> {
    Config::load(file, std::env::vars_os(), now()).map_err(print_mistakes)
}

fn print_mistakes(mistakes: Mistakes) -> Failed {
    for mistake in &mistakes.0 {
        print_error(&mistake.to_string());
    }
    Failed(None)
}

/// Prints one line on standard error, if that is not closed.
fn print_error(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {message}");
}

/// Prints one line on standard error, if that is not closed.
fn print_warning(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {message}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command starts here; what it calls takes the time as a parameter"
)]
fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is not set; every certificate is then not yet valid, and the messages say so.
    UnixTime::since_unix_epoch(since.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_and_every_argument_has_a_help_text() {
        let mut arguments = 0;
        let all = CommandLine::command();
        let subcommands = all.get_subcommands();
        for command in subcommands.flat_map(|one| std::iter::once(one).chain(one.get_subcommands()))
        {
            assert!(
                command.get_about().is_some() && command.get_after_help().is_some(),
                "{}",
                command.get_name()
            );
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
                arguments += 1;
            }
        }
        assert!(arguments >= 18, "{arguments}");
    }
}
