//! The server's configuration out of a test's settings.

use crate::credentials;
use crate::failure::Failure;
use crate::options::Options;
use dtls_server::config::{ClientCertificate, Config};
use dtls_server::crypto::key_exchange::NamedGroup;
use std::time::Duration;

/// The longest timeout of the runner's schedule.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn build(options: &Options, speaks_dtls13: bool) -> Result<Config, Failure> {
    let mut builder = Config::builder()
        .identity(credentials::load(options)?)
        .client_certificate(
            match (options.require_certificate, options.request_certificate) {
                (true, _) => ClientCertificate::Required,
                (false, true) => ClientCertificate::Requested,
                (false, false) => ClientCertificate::NotRequested,
            },
        )
        .connection_id_length(None)
        .session_tickets(!options.no_ticket)
        .speaks_dtls13(speaks_dtls13)
        .timeouts(options.first_timeout, LONGEST_TIMEOUT);
    if let Some(mtu) = options.mtu {
        builder = builder.mtu(mtu);
    }
    if !options.groups.is_empty() {
        let groups: Option<Vec<NamedGroup>> = options
            .groups
            .iter()
            .map(|&number| NamedGroup::from_number(number))
            .collect();
        let groups = groups.ok_or_else(|| Failure::unimplemented("another group"))?;
        builder = builder.groups(&groups);
    }
    builder
        .build()
        .map_err(|error| Failure::unimplemented(error.to_string()))
}
