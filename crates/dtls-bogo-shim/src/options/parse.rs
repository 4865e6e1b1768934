//! Reads the runner's flags. A flag that is not known makes the test one that is not implemented.

use super::{Command, Options, Plan};
use crate::failure::Failure;
use dtls_server::alert::AlertDescription;
use std::str::FromStr;
use std::time::Duration;

/// Which connections a flag is for.
enum Scope {
    All,
    First,
    Resumed,
    Other,
}

/// Prefixes of flags.
const SCOPES: [(&str, Scope); 5] = [
    ("-on-shim", Scope::All),
    ("-on-initial", Scope::First),
    ("-on-resume", Scope::Resumed),
    ("-on-retry", Scope::Other),
    ("-on-handshaker", Scope::Other),
];

pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut arguments = arguments;
    let mut plan = Plan::default();
    while let Some(argument) = arguments.next() {
        if argument == "-is-handshaker-supported" {
            return Ok(Command::ReportNoHandshaker);
        }
        let (scope, flag) = scope(&argument);
        // A flag's value is read once, for one connection or for all.
        let mut value = None;
        let mut read = |flag: &str| {
            if value.is_none() {
                value = arguments.next();
            }
            value
                .clone()
                .ok_or_else(|| Failure::failed(format!("{flag} needs a value")))
        };
        match scope {
            Scope::All => {
                apply(&mut plan.initial, flag, &mut read)?;
                apply(&mut plan.resumed, flag, &mut read)?;
            }
            Scope::First => apply(&mut plan.initial, flag, &mut read)?,
            Scope::Resumed => apply(&mut plan.resumed, flag, &mut read)?,
            // It is not known whether it has a value.
            Scope::Other => return Err(Failure::unimplemented(argument.clone())),
        }
    }
    Ok(Command::Run(Box::new(plan)))
}

fn scope(argument: &str) -> (Scope, &str) {
    for (prefix, scope) in SCOPES {
        if let Some(flag) = argument.strip_prefix(prefix)
            && flag.starts_with('-')
        {
            return (scope, flag);
        }
    }
    (Scope::All, argument)
}

fn apply(
    options: &mut Options,
    flag: &str,
    value: &mut dyn FnMut(&str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    match flag {
        "-port" => options.port = number(flag, value)?,
        "-ipv6" => options.ipv6 = true,
        "-shim-id" => options.shim_id = number(flag, value)?,
        "-dtls" => options.dtls = true,
        "-server" => options.server = true,
        "-resume-count" => options.resume_count = number(flag, value)?,

        "-new-x509-credential" => options.credentials = options.credentials.saturating_add(1),
        "-cert-file" => options.certificate = Some(value(flag)?.into()),
        "-key-file" => options.key = Some(value(flag)?.into()),
        "-expect-selected-credential" => options.expected_credential = Some(number(flag, value)?),
        "-signing-prefs" => options.signing_schemes.push(number(flag, value)?),

        "-min-version" => options.min_version = Some(number(flag, value)?),
        "-max-version" => options.max_version = Some(number(flag, value)?),
        "-no-tls12" => options.no_tls12 = true,
        "-no-tls13" => options.no_tls13 = true,
        "-expect-version" => options.expected_version = Some(number(flag, value)?),

        "-verify-peer" => options.request_certificate = true,
        "-require-any-client-certificate" => options.require_certificate = true,
        "-verify-fail" => options.refuse_certificate = true,
        // The alert that BoringSSL's own callback has.
        "-use-custom-verify-callback" => options.refusal = AlertDescription::CERTIFICATE_UNKNOWN,
        "-expect-peer-cert-file" => options.expected_certificate = Some(value(flag)?.into()),

        "-curves" => options.groups.push(number(flag, value)?),
        "-expect-cipher" => options.expected_suite = Some(number(flag, value)?),
        "-expect-extended-master-secret" => options.expect_extended_master_secret = true,
        "-expect-session-id" => options.expect_session_id = true,
        "-expect-session-miss" => options.expect_session_miss = true,
        "-no-ticket" => options.no_ticket = true,
        "-skip-ticket" => options.skip_ticket = true,

        "-mtu" => options.mtu = Some(number(flag, value)?),
        "-initial-timeout-duration-ms" => {
            options.first_timeout = Duration::from_millis(number(flag, value)?);
        }

        "-shim-writes-first" => options.write_first = true,
        "-shim-initial-write" => options.first_data = value(flag)?,
        "-repeat-shim-initial-write" => options.first_data_count = number(flag, value)?,
        "-shim-shuts-down" => options.close_first = true,
        "-check-close-notify" => options.check_close_notify = true,

        "-no-cookie" => options.no_cookie = true,

        _ => return ignore(flag, value),
    }
    Ok(())
}

/// What a server without these features does anyway, what a sans-IO server has no call for, and what the server does not
/// reveal, so that only the runner's own side checks it.
fn ignore(
    flag: &str,
    value: &mut dyn FnMut(&str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    match flag {
        "-async"
        | "-decline-alpn"
        | "-expect-no-session"
        | "-expect-no-session-id"
        | "-expect-no-hrr"
        | "-expect-secure-renegotiation"
        | "-expect-verify-result"
        | "-handshake-twice"
        | "-implicit-handshake"
        | "-no-op-extra-handshake"
        | "-no-server-name-ack"
        | "-no-tls1"
        | "-no-tls11"
        | "-renegotiate-freely"
        | "-use-early-callback"
        | "-use-ticket-aead-callback"
        | "-use-ticket-callback" => Ok(()),
        "-expect-curve-id"
        | "-expect-peer-signature-algorithm"
        | "-expect-server-name"
        | "-trust-cert" => value(flag).map(|_| ()),
        _ => Err(Failure::unimplemented(flag)),
    }
}

fn number<N: FromStr>(
    flag: &str,
    value: &mut dyn FnMut(&str) -> Result<String, Failure>,
) -> Result<N, Failure> {
    let value = value(flag)?;
    value
        .parse()
        .map_err(|_| Failure::failed(format!("{flag} can't be {value:?}")))
}
