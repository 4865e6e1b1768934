//! How many connections there are, and what a server can't make us do.

use super::*;

async fn serve(listener: &Listener, connections: usize) -> Vec<Frames> {
    let mut servers = Vec::new();
    for _ in 0..connections {
        servers.push(listener.accept(&[(MAX_CONCURRENT_STREAMS, 100)]).await);
    }
    servers
}

#[tokio::test]
async fn a_thousand_calls_at_start_are_ten_connections() {
    let listener = Listener::start().await;
    let thingsboard = Arc::new(to(&listener));
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let thingsboard = thingsboard.clone();
            tokio::spawn(async move { thingsboard.send(telemetry("{}")).await })
        })
        .collect();
    let script = async {
        for server in &mut serve(&listener, 10).await {
            let mut streams = Vec::new();
            for _ in 0..100 {
                streams.push(server.request().await.0);
            }
            for stream in streams {
                server.reply(stream, "").await;
            }
        }
    };
    let outcomes = async {
        for call in calls {
            assert_eq!(call.await.unwrap(), empty());
        }
    };
    both(outcomes, script).await;
    assert!(!listener.has_another().await);
}

#[tokio::test]
async fn a_server_that_allows_one_stream_gets_a_connection_for_each_call() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let mut server = listener.accept(&[(MAX_CONCURRENT_STREAMS, 1)]).await;
            let (stream, _) = server.request().await;
            servers.push((server, stream));
        }
        for (server, stream) in &mut servers {
            server.reply(*stream, "").await;
        }
        servers
    };
    let call = || thingsboard.send(telemetry("{}"));
    let calls = async { tokio::join!(call(), call(), call()) };
    let (outcomes, _servers) = both(calls, script).await;
    assert_eq!(outcomes, (empty(), empty(), empty()));
}

#[tokio::test]
async fn a_server_that_allows_no_streams_is_not_waited_for() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let refusing = async {
        let mut server = listener.accept(&[(MAX_CONCURRENT_STREAMS, 0)]).await;
        assert!(server.is_closed().await);
    };
    let (outcome, ()) = both(thingsboard.send(telemetry("{}")), refusing).await;
    assert_eq!(outcome, Err(Error::Unreachable));
    // If it says so later, another connection is opened.
    let script = async {
        let mut first = listener.accept(&[]).await;
        let (stream, _) = first.request().await;
        first.settings(&[(MAX_CONCURRENT_STREAMS, 0)]).await;
        first.reply(stream, "").await;
        first
    };
    let (outcome, first) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, empty());
    let script = async {
        let mut second = listener.accept(&[]).await;
        let (stream, _) = second.request().await;
        second.reply(stream, "").await;
        second
    };
    let (outcome, _second) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!(outcome, empty());
    drop(first);
}

#[tokio::test]
async fn streams_that_are_reset_without_end_cost_nothing_else() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        for _ in 0..3000 {
            let (stream, _) = server.request().await;
            server.reset(stream, 2).await;
        }
        let (stream, _) = server.request().await;
        server.reply(stream, "").await;
        server
    };
    let calls = async {
        for _ in 0..3000 {
            let outcome = thingsboard.send(telemetry("{}")).await;
            assert_eq!(outcome, Err(Error::Unreachable));
        }
        thingsboard.send(telemetry("{}")).await
    };
    let (outcome, _server) = both(calls, script).await;
    assert_eq!(outcome, empty());
}

/// Late replies to streams that we have reset are dropped: they are no broken protocol, of which `h2` allows 1,024.
#[tokio::test]
async fn many_calls_that_are_dropped_leave_the_connection_alone() {
    const DROPPED: usize = 1200;
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(1);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (kept, _) = server.request().await;
        arrived.send(()).await.unwrap();
        for _ in 0..DROPPED {
            let (stream, _) = server.request().await;
            arrived.send(()).await.unwrap();
            // A late reply to a stream that is forgotten gets another one.
            while server.next_of(RST_STREAM).await.unwrap().stream != stream {}
            server.reply(stream, "late").await;
        }
        server.reply(kept, "kept").await;
        server
    };
    let drops = async {
        arrivals.recv().await.unwrap();
        for _ in 0..DROPPED {
            tokio::select! {
                outcome = thingsboard.send(telemetry("{}")) => panic!("{outcome:?}"),
                _ = arrivals.recv() => {}
            }
        }
    };
    let calls = async { tokio::join!(biased; thingsboard.send(telemetry("{kept:1}")), drops).0 };
    let (outcome, _server) = both(calls, script).await;
    assert_eq!(outcome.unwrap().body, "kept");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_unintelligible() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (stream, _) = server.request().await;
        server.long_head(stream, 20_000).await;
        server
    };
    let (outcome, _server) = both(thingsboard.send(telemetry("{}")), script).await;
    assert!(is_unintelligible(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn a_body_over_the_bound_ends_its_stream_alone() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (stream, _) = server.request().await;
        let (other, _) = server.request().await;
        server.head(stream).await;
        // Without an announced length, and within the window.
        for _ in 0..17 {
            server.data(stream, &[b'x'; 16_000]).await;
        }
        assert_eq!(server.next_of(RST_STREAM).await.unwrap().stream, stream);
        server.reply(other, "").await;
        server
    };
    let calls = async {
        tokio::join!(
            biased;
            thingsboard.send(telemetry("{a:1}")),
            thingsboard.send(telemetry("{a:2}"))
        )
    };
    let ((large, other), _server) = both(calls, script).await;
    assert!(is_unintelligible(&large), "{large:?}");
    assert_eq!(other, empty());
}

#[tokio::test]
async fn interim_replies_without_end_are_not_queued() {
    let listener = Listener::start().await;
    let thingsboard = to(&listener);
    let script = async {
        let mut server = listener.accept(&[]).await;
        let (stream, _) = server.request().await;
        server.interim_until_closed(stream).await
    };
    let (outcome, sent) = both(thingsboard.send(telemetry("{}")), script).await;
    assert!(is_unintelligible(&outcome), "{outcome:?}");
    // What the kernel's buffers hold, and what was read in one turn.
    assert!(sent < 32 * 1024 * 1024, "{sent} bytes");
}
