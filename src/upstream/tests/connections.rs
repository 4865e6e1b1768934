//! Which connection a request uses, how many there are, and that nothing is sent twice.

use super::*;

in_both_versions! {
async fn packages_have_connections_of_their_own(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = one_place_each(&server);
    let assignment = || request(Operation::ReadAssignment(Package::Software));
    let script = async {
        let mut package = server.accept().await;
        package.request().await.unwrap();
        let second = thingsboard.send(assignment()).await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let other = async {
            let mut connection = server.accept().await;
            connection.request().await.unwrap();
            connection.send(answer).await;
        };
        let (posted, ()) = tokio::join!(thingsboard.send(telemetry("{}")), other);
        package.send(answer).await;
        (second, posted)
    };
    let (first, (second, posted)) = both(thingsboard.send(assignment()), script).await;
    assert_eq!((first, posted), (empty(), empty()));
    assert_eq!(second, Err(Error::Overloaded));
}
}

in_both_versions! {
async fn requests_beyond_the_limit_are_refused_at_once(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = one_place_each(&server);
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        let second = thingsboard.send(telemetry("{}")).await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        second
    };
    let (first, second) = both(thingsboard.send(telemetry("{}")), script).await;
    assert_eq!((first, second), (empty(), Err(Error::Overloaded)));
}
}

in_both_versions! {
async fn a_connection_is_used_again(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    let script = async {
        let mut connection = server.accept().await;
        for _ in 0..3 {
            connection.request().await.unwrap();
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    };
    let requests = async {
        for _ in 0..3 {
            assert_eq!(thingsboard.send(telemetry("{}")).await, empty());
        }
    };
    both(requests, script).await;
}
}

in_both_versions! {
async fn a_connection_closed_between_two_posts_loses_and_doubles_nothing(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    // Tomcat announces the end after 100 requests; a proxy that restarts does not.
    for announced in ["", "Connection: close\r\n"] {
        let arrived = Mutex::new(Vec::new());
        let answer = async || {
            let mut connection = server.accept().await;
            let request = connection.request().await.unwrap();
            arrived.lock().unwrap().push(request);
            connection
                .send(format!(
                    "HTTP/1.1 200 OK\r\n{announced}Content-Length: 0\r\n\r\n"
                ))
                .await;
            connection.close().await;
        };
        let (first, ()) = both(thingsboard.send(telemetry("{a:1}")), answer()).await;
        server.settle().await;
        let (second, ()) = both(thingsboard.send(telemetry("{a:2}")), answer()).await;
        server.settle().await;
        assert_eq!((first, second), (empty(), empty()));
        let arrived = arrived.into_inner().unwrap();
        assert_eq!(arrived.len(), 2);
        assert!(
            arrived[0].ends_with("{a:1}") && arrived[1].ends_with("{a:2}"),
            "{arrived:?}"
        );
    }
}
}

in_both_versions! {
async fn a_post_that_may_have_been_acted_upon_is_not_sent_again(version) {
    let server = ScriptedServer::speaking(version).await;
    let thingsboard = thingsboard(&server);
    let script = async {
        let mut connection = server.accept().await;
        connection.request().await.unwrap();
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        // The second one comes on the same connection, is read, and never answered.
        connection.request().await.unwrap()
    };
    let requests = async {
        assert_eq!(thingsboard.send(telemetry("{a:1}")).await, empty());
        tokio::select! {
            outcome = thingsboard.send(telemetry("{a:2}")) => outcome,
            () = async { loop { server.settle().await } } => unreachable!(),
        }
    };
    let sequence = async {
        let second = script.await;
        assert!(second.ends_with("{a:2}"), "{second}");
    };
    // `settle` would accept a connection that a retry opened and answer it with "x": the outcome would be
    // that of nonsense, not of a lost connection.
    let (outcome, ()) = both(requests, sequence).await;
    assert_eq!(outcome, Err(Error::Unreachable));
}
}
