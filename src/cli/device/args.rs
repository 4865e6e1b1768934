//! The arguments of `device`.

use super::super::ConfigFile;
use super::token::TokenArgs;
use crate::authority::KeyKind;
use crate::device::Fingerprint;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `device`
#[derive(Debug, Args)]
pub(in crate::cli) struct DeviceArgs {
    #[command(subcommand)]
    pub(super) command: DeviceCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Show every device: its name, where its token is (never the token) and its fingerprints
    #[command(after_help = "\
Examples:
  coaps-gateway device list
  coaps-gateway device list --json | jq -r '.[].name'

With --json: a list of {name, line, fingerprints, certificates, token: {in, named}}; `in` is
\"registry\", \"file\" or \"variable\", `named` the path or name if it can be read here. A device whose
certificate is given as a file has two fingerprints: SHA-256 and ThingsBoard's.")]
    List(ListArgs),
    /// Register a device: a name, a certificate and its access token in ThingsBoard
    #[command(after_help = "\
A token on the command line shows in `ps` and in the shell's history. Better, from best to worst:
  --token-file FILE   the registry names the file; the gateway reads it at its start
  --token-env NAME    the registry names the variable; the gateway must have it in its environment
  --token -           read from standard input, one line, and written into the registry

Examples:
  coaps-gateway device add meter-17 --certificate meter-17.pem --token - < meter-17.token
  coaps-gateway device add meter-18 --fingerprint AB:CD:... --token-file /run/secrets/meter-18
  coaps-gateway device add meter-19 --new-certificate --token A1_TEST_TOKEN

The entry is appended to the registry; nothing else in it changes. A name or certificate that
another device has is refused, and so is a registry with mistakes: `coaps-gateway check` finds them.
A running gateway reloads it within seconds.")]
    Add(AddArgs),
    /// Remove a device from the registry
    #[command(after_help = "\
Its [[device]] entry is removed, with comments inside it. Comments above and below stay, and so do
its certificate, its key and its token in ThingsBoard.

Example:
  coaps-gateway device remove meter-17

A running gateway reloads it within seconds: the next request gets 4.01, and observations end.")]
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// For programs: a JSON list instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Any name that no other device has; the log uses it
    pub(super) name: String,
    #[command(flatten)]
    pub(super) identity: IdentityArgs,
    #[command(flatten)]
    pub(super) token: TokenArgs,
    /// Where `coaps-gateway certs --out DIR` made the CA that signs --new-certificate
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub(super) certs: PathBuf,
    /// The key of --new-certificate: p256, p384, p521, rsa2048, rsa3072 or ed25519
    #[arg(long, value_name = "KIND", default_value_t)]
    pub(super) key_type: KeyKind,
    #[command(flatten)]
    pub(super) config: ConfigFile,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct IdentityArgs {
    /// The device's certificate, PEM or DER; its SHA-256 fingerprint is written
    #[arg(long, value_name = "FILE")]
    pub(super) certificate: Option<PathBuf>,
    /// Its fingerprint: SHA-256 (AB:CD:… or plain hex), or ThingsBoard's credentials id (sha3:…)
    #[arg(long, value_name = "FINGERPRINT")]
    pub(super) fingerprint: Option<Fingerprint>,
    /// For trials: make NAME.pem and NAME.key, signed by the CA; nothing is overwritten
    #[arg(long)]
    pub(super) new_certificate: bool,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The device's name, as `coaps-gateway device list` shows it
    pub(super) name: String,
    #[command(flatten)]
    pub(super) config: ConfigFile,
}
