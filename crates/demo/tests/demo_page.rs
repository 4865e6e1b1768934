//! The demo's page in a real browser. With `PICTURE=docs/demo.png` it also makes the README's picture; the path is
//! relative to the workspace's root.
//!
//! Behind the feature `interop`, like `tests/interop.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic what is wrong; clippy.toml's exception knows #[test] functions only"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use test_support::browser::Browser;
use test_support::demo::Demo;
use test_support::process::run;

const NO: &[String] = &[];

/// A demo, and its page in a browser.
fn open(directory: &tempfile::TempDir) -> (Demo, Browser) {
    let mut demo = Demo::start(directory);
    let line = demo.await_line(&["to look at", "http://"]);
    let link = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let mut browser = Browser::open(link.unwrap(), 1280, 900);
    browser.await_true("document.getElementById('connection').textContent === 'connected'");
    (demo, browser)
}

/// Waits for a line of the exchanges that contains all of these, and returns it.
fn await_exchange(browser: &mut Browser, parts: &[&str]) -> String {
    let parts = serde_json::json!(parts);
    let script = format!(
        "[...document.querySelectorAll('#lines > li')].map((item) => item.innerText)\
         .find((text) => {parts}.every((part) => text.includes(part))) || false"
    );
    browser.await_true(&script).as_str().unwrap().to_owned()
}

fn switch(browser: &mut Browser, name: &str) {
    browser.evaluate(&format!("document.getElementById('{name}').click()"));
}

#[test]
fn the_device_the_actions_and_the_switches_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let (mut demo, mut browser) = open(&directory);

    // Telemetry, in the chart and as exchanges: device, gateway, ThingsBoard.
    browser.await_true("document.querySelector('#chart polyline') !== null");
    browser.await_true(
        "document.getElementById('chart-text').textContent.includes('temperature · demo-device')",
    );
    await_exchange(
        &mut browser,
        &[
            "demo-device ─▶",
            "CON 0.02 POST",
            "api/v1/telemetry",
            "Message ID",
            "Token",
            "datagram",
        ],
    );
    await_exchange(&mut browser, &["POST /api/v1/{token}/telemetry", ": 200"]);
    await_exchange(
        &mut browser,
        &[
            "demo-device ◀─",
            "ACK 2.01 Created",
            "piggybacked response",
            " ms",
        ],
    );

    // A click shows the parts of the message.
    browser.evaluate("[...document.querySelectorAll('summary')].find((line) => line.innerText.includes('0.02 POST')).click()");
    let parts =
        browser.await_true("(document.querySelector('details[open] table') || {}).innerText");
    for part in [
        "Uri-Path",
        "telemetry",
        "RFC 7252 §5.10.1",
        "Message ID",
        "RFC 7252 §5.3.1",
    ] {
        assert!(parts.as_str().unwrap().contains(part), "{part}: {parts}");
    }

    // An attribute: the device is notified of it, and posts each second.
    browser.evaluate("document.querySelector('#attribute button').click()");
    await_exchange(
        &mut browser,
        &[
            "demo-device ◀─",
            "CON 2.05 Content",
            "notification",
            r#"{"interval":1}"#,
        ],
    );
    browser.await_true("document.getElementById('attributes').innerText.includes('interval = 1')");
    demo.await_line(&["device ◀─CoAPs─ gateway", r#"attributes {"interval":1}"#]);

    // A command, by keyboard alone; its reply is shown.
    browser.evaluate("document.getElementById('method').focus()");
    browser.press("Enter", 13, "\r");
    browser.await_true(r#"document.getElementById('command-status').textContent.includes('Reply: {"blinked":true}')"#);
    await_exchange(&mut browser, &["notification", r#""method":"blink""#]);
    await_exchange(&mut browser, &["POST /api/v1/{token}/rpc/", ": 200"]);
    demo.await_line(&["device ◀─CoAPs─ gateway", "command", "blink"]);

    if picture_file().is_some() {
        let values = "Number((/(\\d+) values/.exec(document.getElementById('chart-text').textContent) || [0, 0])[1]) >= 25";
        browser.await_true(values);
    }

    // Datagrams are lost: one Message ID is seen twice.
    switch(&mut browser, "loss");
    await_exchange(&mut browser, &["lost on the link", "to a device"]);
    let again = await_exchange(
        &mut browser,
        &["demo-device ─▶", "retransmission", "Message ID"],
    );
    let message_id = again.split("Message ID ").nth(1).unwrap();
    let message_id = message_id.split(' ').next().unwrap();
    let seen = format!(
        "[...document.querySelectorAll('#lines > li')].filter((item) => item.innerText.includes('demo-device ─▶') \
         && item.innerText.includes('Message ID {message_id} ')).length >= 2"
    );
    assert_eq!(browser.evaluate(&seen), true, "{again}");
    picture(&mut browser);
    switch(&mut browser, "loss");
    // The device may be at its last retransmission, which waits for up to 48 seconds.
    browser.evaluate("document.getElementById('clear').click()");
    let answered = "document.getElementById('lines').innerText.includes('2.01 Created')";
    browser.await_true_within(Duration::from_secs(110), answered);

    // ThingsBoard is slow: the acknowledgement is empty, and the response separate.
    switch(&mut browser, "slow");
    await_exchange(&mut browser, &["ACK 0.00 Empty", "empty acknowledgement"]);
    await_exchange(
        &mut browser,
        &["CON 2.01 Created", "separate response", "2."],
    );
    switch(&mut browser, "slow");

    // ThingsBoard is down, then up again.
    switch(&mut browser, "down");
    await_exchange(&mut browser, &["5.03 Service Unavailable", "Max-Age"]);
    await_exchange(
        &mut browser,
        &[
            "POST /api/v1/{token}/telemetry",
            "ThingsBoard can't be reached",
        ],
    );
    switch(&mut browser, "down");
    browser.evaluate("document.getElementById('clear').click()");
    await_exchange(&mut browser, &["2.01 Created"]);

    // An attribute is deleted by the button that says so.
    browser.evaluate("document.querySelector('[aria-label=\"Delete interval\"]').click()");
    browser.await_true("!document.getElementById('attributes').innerText.includes('interval')");

    assert_eq!(browser.errors(), NO);
}

#[test]
fn a_pasted_client_is_shown_on_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let (_demo, mut browser) = open(&directory);
    let first = "document.querySelector('#commands code').textContent";
    let line = browser.await_true(first).as_str().unwrap().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(directory.path());
    let output = run(&mut shell, Duration::from_secs(60));
    assert!(output.status.success(), "{line}");
    await_exchange(
        &mut browser,
        &["my-device ─▶", "POST", r#"{"temperature":25}"#],
    );
    let series = "[...document.getElementById('series').options].some((one) => one.value === 'temperature · my-device')";
    browser.await_true(series);

    // The copy button confirms.
    browser.evaluate("document.querySelector('#commands button').click()");
    browser.await_true("document.getElementById('copied').textContent !== ''");
    assert_eq!(browser.errors(), NO);
}

#[test]
fn it_can_be_read_on_a_phone_by_keyboard_and_by_a_screen_reader_in_light_and_dark() {
    let directory = tempfile::tempdir().unwrap();
    let (_demo, mut browser) = open(&directory);
    await_exchange(&mut browser, &["2.01 Created"]);
    for width in [360, 800, 1280] {
        browser.resize(width, 800);
        let wide = "document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(
            browser.evaluate(wide),
            true,
            "it scrolls sideways at {width} pixels"
        );
        let outside = "[...document.querySelectorAll('section *')].filter((one) => one.getClientRects().length && \
            getComputedStyle(one).position !== 'absolute' && one.getBoundingClientRect().right > \
            one.closest('section').getBoundingClientRect().right).map((one) => one.outerHTML)";
        assert_eq!(
            browser.evaluate(outside),
            serde_json::json!([]),
            "at {width} pixels"
        );
    }

    // Each control has a name to be read out, and each is reached by the Tab key.
    let nameless = "[...document.querySelectorAll('input, select, button, svg')].filter((one) => \
        !(one.labels && one.labels.length) && !one.getAttribute('aria-label') && \
        !one.getAttribute('aria-labelledby') && !one.textContent.trim()).map((one) => one.outerHTML)";
    assert_eq!(browser.evaluate(nameless), serde_json::json!([]));
    browser.evaluate("document.body.focus(); window.reached = new Set();");
    for _ in 0..40 {
        browser.press("Tab", 9, "");
        browser.evaluate(
            "window.reached.add(document.activeElement.id || document.activeElement.localName); 0",
        );
    }
    for id in [
        "loss", "slow", "down", "method", "key", "pause", "shown", "summary",
    ] {
        let reached = format!("window.reached.has('{id}')");
        assert_eq!(
            browser.evaluate(&reached),
            true,
            "{id} is not reached by keyboard"
        );
    }

    let mut colours = Vec::new();
    for scheme in ["light", "dark"] {
        browser.set_color_scheme(scheme);
        let script = "[document.body, document.querySelector('section'), document.querySelector('.facts')]\
            .map((one) => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor])";
        colours.push(browser.evaluate(script));
    }
    assert_ne!(colours[0], colours[1], "dark is not dark");
    assert_eq!(browser.errors(), NO);
}

/// The file of `PICTURE`, if that is set. Cargo runs tests in their package's directory, so a relative path is joined
/// to the workspace's root.
fn picture_file() -> Option<PathBuf> {
    let file = std::env::var_os("PICTURE")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Some(root.join(file))
}

/// Takes a screenshot of the page, and writes it to the file of `PICTURE` if that is set.
fn picture(browser: &mut Browser) {
    browser.evaluate(
        "document.querySelectorAll('details[open]').forEach((one) => { one.open = false; })",
    );
    browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
    let png = browser.screenshot();
    assert!(
        png.starts_with(b"\x89PNG") && png.len() < 300_000,
        "{} bytes",
        png.len()
    );
    if let Some(file) = picture_file() {
        std::fs::write(file, png).unwrap();
    }
}
