//! What the demo says.

use super::commands::Commands;
use std::net::SocketAddr;
use std::path::Path;
use thingsboard_simulator::Arrival;

/// Who is where.
pub(super) fn opening(
    directory: &Path,
    kept: bool,
    coaps: SocketAddr,
    http: SocketAddr,
    page: SocketAddr,
) -> String {
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

  to look at     http://{page}   (open it in a browser on this machine)
"
    )
}

/// What to paste into another terminal.
pub(super) fn invitation(commands: &[Commands]) -> String {
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

/// One request that arrived at the simulator.
pub(super) fn arrival(arrival: &Arrival) -> String {
    let from = arrival.device.as_deref().unwrap_or("an unknown token");
    let from = printable(from.as_bytes());
    let answer = match (arrival.status, arrival.fault) {
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
    fn a_body_can_not_steer_the_terminal_nor_fill_it() {
        assert_eq!(printable(b"\x1b[2Jhello\n"), "·[2Jhello·");
        assert_eq!(printable(&[b'x'; 5000]).chars().count(), 121);
    }
}
