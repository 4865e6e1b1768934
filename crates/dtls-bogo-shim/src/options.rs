//! The runner's settings of a test.

mod parse;

pub(crate) use parse::parse;

use crate::failure::Failure;
use dtls_server::alert::AlertDescription;
use std::path::PathBuf;
use std::time::Duration;

const DTLS_1_2: u16 = 0xfefd;
const DTLS_1_3: u16 = 0xfefc;

/// What the runner wants of this program.
pub(crate) enum Command {
    /// It asks once whether there is a second program, for split handshakes.
    ReportNoHandshaker,
    Run(Box<Plan>),
}

/// The settings of the first connection, and of those that follow it.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) initial: Options,
    pub(crate) resumed: Options,
}

/// The settings of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) ipv6: bool,
    pub(crate) shim_id: u64,
    pub(crate) dtls: bool,
    pub(crate) server: bool,
    pub(crate) resume_count: usize,

    /// How many credentials there are besides the default one.
    pub(crate) credentials: usize,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) expected_credential: Option<i32>,
    /// What the server signs with, best first. Empty: everything that its key can.
    pub(crate) signing_schemes: Vec<u16>,

    pub(crate) min_version: Option<u16>,
    pub(crate) max_version: Option<u16>,
    pub(crate) no_tls12: bool,
    pub(crate) no_tls13: bool,
    pub(crate) expected_version: Option<u16>,

    pub(crate) request_certificate: bool,
    pub(crate) require_certificate: bool,
    pub(crate) refuse_certificate: bool,
    /// The alert to a client that is refused.
    pub(crate) refusal: AlertDescription,
    pub(crate) expected_certificate: Option<PathBuf>,

    pub(crate) groups: Vec<u16>,
    pub(crate) expected_suite: Option<u16>,
    pub(crate) expect_extended_master_secret: bool,
    pub(crate) expect_session_id: bool,
    pub(crate) expect_session_miss: bool,
    /// There are no tickets.
    pub(crate) no_ticket: bool,
    /// They are announced, and empty.
    pub(crate) skip_ticket: bool,

    pub(crate) mtu: Option<usize>,
    pub(crate) first_timeout: Duration,

    pub(crate) write_first: bool,
    pub(crate) first_data: String,
    pub(crate) first_data_count: usize,
    pub(crate) close_first: bool,
    pub(crate) check_close_notify: bool,

    /// Not the runner's: hellos need no cookie.
    pub(crate) no_cookie: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 0,
            ipv6: false,
            shim_id: 0,
            dtls: false,
            server: false,
            resume_count: 0,
            credentials: 0,
            certificate: None,
            key: None,
            expected_credential: None,
            signing_schemes: Vec::new(),
            min_version: None,
            max_version: None,
            no_tls12: false,
            no_tls13: false,
            expected_version: None,
            request_certificate: false,
            require_certificate: false,
            refuse_certificate: false,
            refusal: AlertDescription::HANDSHAKE_FAILURE,
            expected_certificate: None,
            groups: Vec::new(),
            expected_suite: None,
            expect_extended_master_secret: false,
            expect_session_id: false,
            expect_session_miss: false,
            no_ticket: false,
            skip_ticket: false,
            mtu: None,
            // The runner's schedule starts here.
            first_timeout: Duration::from_millis(400),
            write_first: false,
            first_data: "hello".to_owned(),
            first_data_count: 1,
            close_first: false,
            check_close_notify: false,
            no_cookie: false,
        }
    }
}

impl Options {
    /// Whether this program can serve the test at all.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.dtls {
            return Err(Failure::unimplemented("TLS and QUIC"));
        }
        if !self.server {
            return Err(Failure::unimplemented("a client"));
        }
        if !self.allows_dtls12() {
            return Err(Failure::unimplemented("other versions than DTLS 1.2"));
        }
        Ok(())
    }

    /// Whether the server may speak DTLS 1.2, and is expected to.
    fn allows_dtls12(&self) -> bool {
        !self.no_tls12
            && self.allows(DTLS_1_2)
            && self
                .expected_version
                .is_none_or(|expected| expected == DTLS_1_2)
    }

    /// Whether the server may speak DTLS 1.3.
    pub(crate) fn allows_dtls13(&self) -> bool {
        !self.no_tls13 && self.allows(DTLS_1_3)
    }

    /// Versions of DTLS count down.
    fn allows(&self, version: u16) -> bool {
        self.max_version.is_none_or(|max| version >= max)
            && self.min_version.is_none_or(|min| version <= min)
    }
}

#[cfg(test)]
mod tests;
