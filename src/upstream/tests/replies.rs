//! Interim replies, Retry-After, and no reply at all.

use super::super::http::interim::MAX_INTERIM;
use super::*;
use crate::upstream::{RetryAfter, RetryCause};
use std::time::Instant;

const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

in_both_versions! {
async fn a_few_interim_replies_are_passed_over_in_each_exchange(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    let few = usize::try_from(MAX_INTERIM).unwrap();
    let script = async {
        let mut connection = server.accept().await;
        for _ in 0..3 {
            connection.request().await.unwrap();
            let reply = [INTERIM.repeat(few).as_str(), EMPTY].concat();
            connection.send(reply).await;
        }
    };
    let exchanges = async {
        for _ in 0..3 {
            assert_eq!(thingsboard.send(telemetry("{}")).await, empty());
        }
    };
    both(exchanges, script).await;
}
}

in_both_versions! {
async fn interim_replies_without_end_end_the_call_and_the_connection(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        // Until the client hangs up; a kernel's buffers hold a few megabytes at most.
        let some = INTERIM.repeat(4096);
        let mut said = 0;
        while connection.try_send(&some).await {
            said += some.len();
            assert!(said < 100_000_000, "it is still being read");
        }
    };
    let (outcome, ()) = both(thingsboard.send(telemetry("{}")), script).await;
    assert!(is_unintelligible(&outcome), "{outcome:?}");
    // Slowly, it ends as well: long before its time is over.
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        for _ in 0..=MAX_INTERIM + 1 {
            connection.send(INTERIM).await;
            server.settle().await;
        }
        connection.request().await
    };
    let (outcome, more) = both(thingsboard.send(telemetry("{}")), script).await;
    assert!(is_unintelligible(&outcome), "{outcome:?}");
    assert_eq!(more, None, "it was closed");
}
}

in_both_versions! {
async fn retry_after_is_read_in_seconds_and_as_a_date(version) {
    let retry_after = |cause, seconds| Err(Error::RetryAfter(RetryAfter { cause, seconds }));
    let reply = |head: &str| format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
    let seconds = reply("429 \r\nRetry-After: 17");
    assert_eq!(
        answered_with(version, seconds).await,
        retry_after(RetryCause::RateLimited, 17)
    );
    let date = reply(
        "503 \r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\nRetry-After: Mon, 30 Nov 2026 12:10:00 GMT",
    );
    assert_eq!(
        answered_with(version, date).await,
        retry_after(RetryCause::NotServing, 600)
    );
    let unclear = reply("503 \r\nRetry-After: when it is back");
    assert_eq!(answered_with(version, unclear).await, Err(Error::Overloaded));
}
}

in_both_versions! {
async fn a_get_of_attributes_is_given_up_after_half_the_time(version) {
    let server = ScriptedServer::speaking(version).await;
    let timeout = Duration::from_secs(4);
    let thingsboard = within(&server, timeout);
    let get = Operation::GetAttributes {
        client_keys: None,
        shared_keys: None,
    };
    let get = request(get);
    assert_eq!(get.deadline(timeout), timeout / 2);
    assert_eq!(
        request(Operation::ReadAttributes).deadline(timeout),
        timeout / 2
    );
    assert_eq!(telemetry("{}").deadline(timeout), timeout);
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    let now = Instant::now;
    let began = now();
    let silence = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection.request().await
    };
    let (outcome, _) = both(thingsboard.send(get), silence).await;
    assert_eq!(outcome, Err(Error::Timeout));
    let took = now().duration_since(began);
    assert!(took >= timeout / 2 && took < timeout, "{took:?}");
}
}
