//! What the demo says.

use crate::simulator::Arrival;
use std::net::SocketAddr;
use std::path::Path;

/// Who is where.
pub(super) fn opening(directory: &Path, kept: bool, coaps: SocketAddr, http: SocketAddr) -> String {
    let certificates = directory.display();
    let age = if kept {
        "kept from an earlier run"
    } else {
        "made now, kept for the next run"
    };
    format!(
        "\
coaps-gateway demo: a device with a certificate, the gateway, and a ThingsBoard, all on this machine.

  certificates   {certificates}/   {age}
  gateway        coaps://{coaps}
  ThingsBoard    http://{http}   (a simulator, in memory; it asks for no password)
"
    )
}

/// What to paste into another terminal. Each line was run as it stands.
pub(super) fn commands(directory: &Path, coaps: SocketAddr, http: SocketAddr) -> String {
    let d = directory.display();
    let client =
        format!("coap-client-openssl -c {d}/demo-device.pem -j {d}/demo-device.key -C {d}/ca.pem");
    format!(
        "\
Try it yourself, in another terminal in this directory (Debian: apt install libcoap3-bin;
coap-client-gnutls takes the same arguments):

  # telemetry, as ThingsBoard's CoAP API for X.509 devices has it
  {client} -m post -t 50 -e '{{\"temperature\":25}}' coaps://{coaps}/api/v1/telemetry

  # the form with a token works too: the token is not looked at, the certificate counts
  {client} -m post -t 50 -e '{{\"humidity\":40}}' coaps://{coaps}/api/v1/ANY_TOKEN/telemetry

  # attributes
  {client} -m get 'coaps://{coaps}/api/v1/attributes?sharedKeys=interval'

  # observe what changes, for a minute; then, elsewhere, change it, and send a command to who observes rpc
  {client} -m get -s 60 -B 60 coaps://{coaps}/api/v1/attributes
  {client} -m get -s 60 -B 60 coaps://{coaps}/api/v1/rpc
  curl http://{http}/simulator/devices/demo-device/attributes/shared -d '{{\"interval\":7}}'
  curl http://{http}/simulator/devices/demo-device/rpc -d '{{\"method\":\"blink\",\"params\":{{}},\"oneway\":true}}'

  # a question to the rule chain
  {client} -m post -t 50 -e '{{\"method\":\"getTime\",\"params\":{{}}}}' coaps://{coaps}/api/v1/rpc

  # firmware, block by block
  {client} -m get -b 256 -o firmware.bin coaps://{coaps}/fw && sha256sum firmware.bin

  # what has arrived at ThingsBoard
  curl 'http://{http}/simulator/arrivals?limit=3'

Ctrl-C ends the demo. Every few seconds the device posts:
"
    )
}

/// One request that arrived at the simulator.
pub(super) fn arrival(arrival: &Arrival) -> String {
    let from = arrival.device.as_deref().unwrap_or("an unknown token");
    let from = printable(from.as_bytes());
    let answer = match (arrival.answer, arrival.fault) {
        (Some(status), _) => status.to_string(),
        (None, Some(fault)) => format!("({fault})"),
        (None, None) => "(waiting)".to_owned(),
    };
    let query = arrival.query.as_deref().map(|query| format!("?{query}"));
    format!(
        "  gateway ─HTTP─▶ ThingsBoard   {} {}{} {}   from {from}: {answer}",
        arrival.method,
        arrival.path,
        query.unwrap_or_default(),
        printable(&arrival.body),
    )
}

/// A body, short and harmless to a terminal.
fn printable(body: &[u8]) -> String {
    const SHOWN: usize = 120;
    let text = String::from_utf8_lossy(body);
    let mut characters = text.chars().map(|c| if c.is_control() { '·' } else { c });
    let shown: String = characters.by_ref().take(SHOWN).collect();
    let cut = if characters.next().is_some() {
        "…"
    } else {
        ""
    };
    format!("{shown}{cut}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_can_not_steer_the_terminal_nor_fill_it() {
        assert_eq!(printable(b"\x1b[2Jhello\n"), "·[2Jhello·");
        assert_eq!(printable(&[b'x'; 5000]).chars().count(), 121);
    }
}
