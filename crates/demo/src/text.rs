//! The demo's text in the terminal.

use super::commands::Commands;
use coap::Code;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use thingsboard_simulator::Arrival;

/// Prints one paragraph on standard output, at once. A closed pipe is an error, and ends the demo.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// The addresses of everything.
pub(super) fn opening(
    directory: &Path,
    kept: bool,
    coaps: SocketAddr,
    http: SocketAddr,
    mqtt: Option<SocketAddr>,
    page: SocketAddr,
) -> String {
    let certificates = directory.display();
    let age = if kept {
        "kept from an earlier run"
    } else {
        "made now, kept for the next run"
    };
    let mqtt =
        mqtt.map(|mqtt| format!("                 mqtt://{mqtt}   (the gateway uses this)\n"));
    let mqtt = mqtt.unwrap_or_default();
    format!(
        "\
coaps-gateway demo: a device with a certificate, the gateway, and a ThingsBoard, all on this machine.

  certificates   {certificates}/   {age}
  gateway        coaps://{coaps}
  ThingsBoard    http://{http}   (a simulator, in memory; it needs no password)
{mqtt}
  to look at     http://{page}   (open it in a browser on this machine)
"
    )
}

/// The commands to paste into another terminal.
pub(super) fn commands(commands: &[Commands]) -> String {
    let mut text = "\
Try it yourself, in another terminal in this directory (Debian: apt install libcoap3-bin;
coap-client-gnutls takes the same arguments):
"
    .to_owned();
    for Commands { purpose, lines } in commands {
        text += &format!("\n  # {purpose}\n");
        for line in lines {
            text += &format!("  {line}\n");
        }
    }
    text + "\nCtrl-C ends the demo. Every few seconds the device posts:\n"
}

/// One request that arrived at the simulator, or over MQTT one PUBLISH.
pub(super) fn arrival(arrival: &Arrival) -> String {
    let is_mqtt = arrival.method == "PUBLISH";
    let from = arrival.device.as_deref().unwrap_or("an unknown token");
    let from = printable(from.as_bytes());
    let answer = match (arrival.status, arrival.fault) {
        (Some(code), _) if is_mqtt => format!("PUBACK {code:#04x}"),
        (Some(status), _) => status.to_string(),
        (None, Some(fault)) => format!("({fault})"),
        (None, None) => "(waiting)".to_owned(),
    };
    let query = arrival.query.as_deref().map(|query| format!("?{query}"));
    format!(
        "  gateway ─{}─▶ ThingsBoard   {} {}{} {}   from {from}: {answer}",
        if is_mqtt { "MQTT" } else { "HTTP" },
        arrival.method,
        arrival.path,
        query.unwrap_or_default(),
        printable(&arrival.body),
    )
}

/// The device has a session.
pub(super) fn connected(version: &str) -> String {
    format!("  device ─DTLS {version}─▶ gateway     session established with its certificate")
}

/// The device has no session, or no longer one.
pub(super) fn disconnected(failure: &impl Display) -> String {
    format!("  device: {failure}; it connects again\n")
}

/// A response to a request of the device.
pub(super) fn response(request: &str, code: Code, after: Duration, transmissions: u32) -> String {
    let again = match transmissions {
        1 => String::new(),
        times => format!(", sent {times} times"),
    };
    let after = after.as_millis();
    format!("  device ─CoAPs─▶ gateway       {request}   {code} in {after} ms{again}\n")
}

/// A notification to the device: `what` is "attributes" or "command".
pub(super) fn notification(what: &str, payload: &str) -> String {
    format!("  device ◀─CoAPs─ gateway       {what} {payload}\n")
}

/// The gateway has ended an observation of the device.
pub(super) fn observation_ended() -> String {
    "  device ◀─CoAPs─ gateway       the observation has ended\n".to_owned()
}

/// The gateway is to be restarted.
pub(super) const STOPPING: &str = "  gateway stops: its process would end here\n";

/// It has started again, and goes on with so many sessions.
pub(super) fn started_again(sessions: u64) -> String {
    let sessions = match sessions {
        1 => "1 stored session goes on".to_owned(),
        _ => format!("{sessions} stored sessions go on"),
    };
    format!("  gateway starts: {sessions}, without a handshake\n")
}

/// A body, shortened and without control characters.
pub(super) fn printable(body: &[u8]) -> String {
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
    fn a_body_is_shortened_and_its_control_characters_are_replaced() {
        assert_eq!(printable(b"\x1b[2Jhello\n"), "·[2Jhello·");
        assert_eq!(printable(&[b'x'; 5000]).chars().count(), 121);
    }
}
