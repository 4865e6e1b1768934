//! Posts on an open connection, which no task waits for.

use super::super::link::Message as LinkMessage;
use super::*;
use tokio::time::timeout;

type Outcomes = mpsc::Receiver<(usize, Result<Answer, Error>)>;

/// Reports go there, with the number of the post.
fn outcomes() -> (impl Fn(usize) -> Report, Outcomes) {
    let (sender, outcomes) = mpsc::channel(200);
    let report = move |number| -> Report {
        let sender = sender.clone();
        Box::new(move |outcome| sender.try_send((number, outcome)).unwrap())
    };
    (report, outcomes)
}

async fn next(outcomes: &mut Outcomes) -> (usize, Result<Answer, Error>) {
    let next = timeout(Duration::from_secs(10), outcomes.recv());
    next.await.expect("an outcome").unwrap()
}

fn telemetry(device: &Arc<Device>, text: String) -> Request {
    let (device, operation) = (device.clone(), Operation::PostTelemetry(text.into()));
    Request::Device { device, operation }
}

#[tokio::test]
async fn they_are_sent_in_their_order_once_there_is_a_connection() {
    let broker = Broker::new().await;
    let gateway = gateway(&settings(&broker));
    let (report, mut outcomes) = outcomes();
    let (device, upstream) = (device(1), gateway.upstream.clone());
    let post =
        |number: usize, text| upstream.try_post(telemetry(&device, text), |_| Some(report(number)));
    // Half of them before there is a connection.
    for number in 1..=50 {
        post(number, format!("{{n:{number}}}")).unwrap();
    }
    broker.wait(|script| script.published.len() == 50).await;
    for number in 51..=100 {
        post(number, format!("{{n:{number}}}")).unwrap();
    }
    // Refused before it is sent, and the others are not.
    post(101, "[]".to_owned()).unwrap();
    let mut reported = Vec::new();
    for _ in 0..101 {
        let (number, outcome) = next(&mut outcomes).await;
        let expected = match number {
            101 => rejected(Rejection::BadRequest),
            _ => Ok(Bytes::new()),
        };
        assert_eq!(outcome.map(|answer| answer.body), expected, "{number}");
        reported.push(number);
    }
    reported.retain(|number| *number != 101);
    assert!(reported.is_sorted(), "{reported:?}");
    let published = broker.script(|script| std::mem::take(&mut script.published));
    let bodies = published
        .iter()
        .map(|(_, body)| String::from_utf8_lossy(body));
    assert!(bodies.eq((1..=100).map(|number| format!("{{n:{number}}}"))));
    let counters = gateway.upstream.counters();
    assert_eq!((counters.requests, counters.refused("body")), (0, 1));
    // Long bodies are read in a task.
    let long = format!("{{a:{}}}", "1".repeat(17_000));
    assert!(post(102, long).is_err());
}

#[tokio::test]
async fn they_take_a_place_until_their_outcome_is_reported() {
    let broker = Broker::new().await;
    let gateway = gateway(&Settings {
        max_in_flight: 1,
        ..settings(&broker)
    });
    let (device, upstream) = (device(1), gateway.upstream.clone());
    gateway.post(&device).await.unwrap();
    broker.script(|script| script.puback.insert("v2/t/j".to_owned(), None));
    let (report, mut outcomes) = outcomes();
    let post = |number| {
        upstream.try_post(telemetry(&device, "{}".to_owned()), |_| {
            Some(report(number))
        })
    };
    post(1).unwrap();
    assert!(post(2).is_err(), "no place");
    // What was written is not sent again.
    broker.wait(|script| script.published.len() == 2).await;
    broker.script(|script| script.puback.clear());
    broker.instruct(broker::Instruction::CloseAll);
    assert_eq!(next(&mut outcomes).await, (1, Err(Error::Unreachable)));
    gateway.post(&device).await.unwrap();
    post(3).unwrap();
    assert_eq!(next(&mut outcomes).await.0, 3);
    assert_eq!(broker.script(|script| script.published.len()), 4);
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_their_deadline_passes_or_they_are_refused() {
    let (report, mut outcomes) = outcomes();
    let places = Arc::new(Semaphore::new(2));
    let place = || Place::new(places.clone().try_acquire_owned().unwrap());
    let deadline = now() + Duration::from_secs(5);
    let request = |number| LinkRequest {
        waiter: Waiter::reporting(report(number), place(), 2, Arc::default()),
        message: LinkMessage::Unchecked(Operation::PostTelemetry("{}".into())),
        deadline,
    };
    for (number, is_refused) in [(1, true), (2, false)] {
        let link = Link::new();
        assert!(link.if_open().is_none());
        link.set_up(true);
        link.if_open().unwrap().push(request(number), deadline);
        // It ends before its task has taken the request.
        link.set_up(false);
        link.give_back(Vec::new());
        let expected = match is_refused {
            true => Error::Overloaded,
            false => Error::Timeout,
        };
        if is_refused {
            assert_eq!(link.refuse_requests(&Error::Overloaded), 1);
        }
        assert_eq!(next(&mut outcomes).await, (number, Err(expected)));
        assert_eq!(now() >= deadline, !is_refused);
    }
}
