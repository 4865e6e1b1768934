//! The commands to paste into a terminal, printed there and shown on the page. `tests/demo_commands.rs` runs each.

use super::CLIENT;
use std::net::SocketAddr;
use std::path::Path;

/// Command lines for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commands {
    pub(super) purpose: &'static str,
    pub(super) lines: Vec<String>,
}

pub(super) fn commands(directory: &Path, coaps: SocketAddr, http: SocketAddr) -> Vec<Commands> {
    let d = directory.display();
    let client =
        format!("coap-client-openssl -c {d}/{CLIENT}.pem -j {d}/{CLIENT}.key -C {d}/ca.pem");
    let devices = format!("http://{http}/simulator/devices/{CLIENT}");
    let api = format!("coaps://{coaps}/api/v1");
    vec![
        Commands {
            purpose: "telemetry, as ThingsBoard's CoAP API for X.509 devices has it",
            lines: vec![format!(
                "{client} -m post -t 50 -e '{{\"temperature\":25}}' {api}/telemetry"
            )],
        },
        Commands {
            purpose: "the form with a token works too: the token is ignored, the certificate counts",
            lines: vec![format!(
                "{client} -m post -t 50 -e '{{\"humidity\":40}}' {api}/ANY_TOKEN/telemetry"
            )],
        },
        Commands {
            purpose: "attributes",
            lines: vec![format!(
                "{client} -m get '{api}/attributes?sharedKeys=interval'"
            )],
        },
        Commands {
            purpose: "observe attributes, or commands, for a minute; meanwhile, in another terminal, change an attribute, or send a command",
            lines: vec![
                format!("{client} -m get -s 60 -B 60 {api}/attributes"),
                format!("{client} -m get -s 60 -B 60 {api}/rpc"),
                format!("curl {devices}/attributes/shared -d '{{\"interval\":7}}'"),
                format!(
                    "curl {devices}/rpc -d '{{\"method\":\"blink\",\"params\":{{}},\"oneway\":true}}'"
                ),
            ],
        },
        Commands {
            purpose: "a request to the rule chain",
            lines: vec![format!(
                "{client} -m post -t 50 -e '{{\"method\":\"getTime\",\"params\":{{}}}}' {api}/rpc"
            )],
        },
        Commands {
            purpose: "firmware, block by block",
            lines: vec![format!(
                "{client} -m get -b 256 -o firmware.bin coaps://{coaps}/fw && sha256sum firmware.bin"
            )],
        },
        Commands {
            purpose: "the latest requests at ThingsBoard",
            lines: vec![format!("curl 'http://{http}/simulator/arrivals?limit=3'")],
        },
    ]
}
