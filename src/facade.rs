//! What the other packages of this workspace use of the gateway: its process, a gateway within another process (the
//! demo), and the parts that benchmarks, fuzz targets and integration tests drive directly.
//!
//! Everything else is `pub(crate)`. Nothing here is a promise to anyone outside of the workspace: the package is not
//! published.

/// A small certificate authority for tests and trials.
pub mod authority {
    pub use crate::authority::{AuthorityFiles, CertificateFiles, MakeOptions, make};
}

/// Calls to ThingsBoard, between the core and the tasks that make them.
pub mod calls {
    pub use crate::calls::{Completion, RelayCall, Ticket};
}

/// The process.
pub mod cli {
    pub use crate::cli::main;
}

/// The configuration file.
pub mod config {
    pub use crate::config::{Config, log_settings};
}

/// The gateway's own certificate and key, and which client certificates are accepted.
pub mod credentials {
    pub use crate::credentials::{
        AuthorityPaths, ChangedPath, ClientPolicy, KnownClient, ServerCredentials, ServerIdentity,
        Validity, Verified,
    };
}

/// The registry: which certificate is which device.
pub mod device {
    pub use crate::device::{AccessToken, CertificateId, Device, Fingerprint, Registry};
}

/// DTLS sessions of many remote addresses over one socket.
pub mod dtls {
    pub use crate::dtls::{
        CipherSuites, Endpoint, Event, Exported, ExtendedMasterSecret, ImportError, Parameters,
        Path, SessionId, Settings, Versions,
    };
}

/// The whole gateway, and its sans-IO core.
pub mod gateway {
    pub use crate::gateway::core::Core;
    pub use crate::gateway::{Gateway, Parts, Settings, Tap};

    /// What goes through the gateway, for those who watch it.
    pub mod tap {
        pub use crate::gateway::tap::{Event, TapRecord};
    }
}

/// Log lines.
pub mod logging {
    pub use crate::logging::init;
}

/// CoAP resources as ThingsBoard's operations.
pub mod mapping {
    pub use crate::mapping::response::AnswerKind;

    /// The path of a request.
    pub mod path {
        pub use crate::mapping::path::resolve;
    }

    /// A request of a device.
    pub mod request {
        pub use crate::mapping::request::{Sizes, map};
    }
}

/// Firmware and software.
pub mod ota {
    pub use crate::ota::Settings;
}

/// The relay of a device, out of a store.
pub mod relay {
    pub use crate::relay::Harness;
}

/// What outlives the process.
pub mod state {
    pub use crate::state::settings::{KeySource, Settings};
}

/// One request to ThingsBoard.
pub mod upstream {
    pub use crate::upstream::{
        Acknowledgement, Answer, ClientCertificate, ConnectionStatus, Error, Expired, HttpVersion,
        Kinds, MqttCounters, Operation, Request, RequestLine, Settings, ThingsBoard, TlsFiles,
        Upstream,
    };

    /// One connection of the MQTT device API, without a socket and without a clock.
    pub mod mqtt {
        pub use crate::upstream::{MqttHarness as Harness, MqttReported as Reported};
    }
}
