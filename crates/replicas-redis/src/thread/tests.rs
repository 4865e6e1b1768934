//! Servers that don't do what they should.

use super::*;
use replicas::{Node, Owner};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server on the loopback interface that treats each connection in one way. It ends with the test.
struct Fake {
    url: String,
    accepted: Arc<AtomicUsize>,
}

impl Fake {
    fn start(mut serve: impl FnMut(&mut TcpStream) -> io::Result<()> + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://:hunter2@{}", listener.local_addr().unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                // The client closes the connection when it has had enough.
                _ = serve(&mut stream.unwrap());
            }
        });
        Fake { url, accepted }
    }

    /// Replies to the commands one after the other, and from then on to none.
    fn replying(replies: Vec<Vec<u8>>) -> Fake {
        Fake::start(move |stream| {
            for reply in &replies {
                read_some(stream)?;
                stream.write_all(reply)?;
            }
            while read_some(stream)? > 0 {}
            Ok(())
        })
    }

    /// Lets a connection be opened, and then replies to the calls that come together with this.
    fn answering(calls: &[u8]) -> Fake {
        let mut replies = opening('1');
        replies.push(calls.to_vec());
        Fake::replying(replies)
    }
}

/// What a server replies while a connection is opened, in this run of it.
fn opening(run: char) -> Vec<Vec<u8>> {
    let run = run.to_string().repeat(40);
    let info = format!("run_id:{run}\r\nredis_version:7.0.0\r\nrole:master\r\n");
    let mut replies = vec![
        b"+OK\r\n".to_vec(),
        format!("${}\r\n{info}\r\n", info.len()).into_bytes(),
        b"+OK\r\n".to_vec(),
        b":7\r\n".to_vec(),
    ];
    let digest = format!("$40\r\n{}\r\n", "0".repeat(40));
    replies.extend(crate::scripts::Script::ALL.map(|_| digest.clone().into_bytes()));
    replies
}

fn read_some(stream: &mut TcpStream) -> io::Result<usize> {
    stream.read(&mut [0; 65_536])
}

struct Client {
    store: RedisStore,
    replies: Receiver<(u64, Reply)>,
    events: Receiver<String>,
}

impl Client {
    fn new(url: &str, timeout: Duration) -> Client {
        let (sender, replies) = sync_channel(1_024);
        let (event_sender, events) = sync_channel(1_024);
        let mut server = Server::parse(url).unwrap();
        server.timeout = timeout;
        let store = RedisStore::start(
            server,
            1_024,
            move |ticket, reply| _ = sender.send((ticket, reply)),
            move |event| {
                let event = match event {
                    StoreEvent::Connected { version } => version,
                    StoreEvent::Warning(warning) => warning.to_string(),
                    StoreEvent::Failed(error) => error.to_string(),
                };
                event_sender.send(event).unwrap();
            },
        );
        Client {
            store: store.unwrap(),
            replies,
            events,
        }
    }

    fn call(&self, ticket: u64) {
        let owner = Owner {
            node: Node(1),
            fence: 1,
        };
        self.store.call(ticket, Call::Release { owner }).unwrap();
    }

    fn reply(&self, ticket: u64) -> Reply {
        let (other, reply) = self.replies.recv_timeout(LONG).unwrap();
        assert_eq!(other, ticket);
        reply
    }
}

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

/// What is said about such a server.
fn event(fake: &Fake, timeout: Duration) -> String {
    let client = Client::new(&fake.url, timeout);
    client.call(1);
    assert_eq!(client.reply(1), Reply::Failed);
    let event = client.events.recv_timeout(LONG).unwrap();
    assert!(!event.contains("hunter2"), "{event}");
    event
}

fn reply(bytes: impl Into<Vec<u8>>) -> Fake {
    Fake::replying(vec![bytes.into()])
}

#[test]
fn a_store_that_can_not_be_reached_fails_all_calls_at_once_and_is_not_tried_with_each() {
    let fake = Fake::start(|_| Ok(()));
    let client = Client::new(&fake.url, LONG);
    let begin = now();
    let mut ticket = 0;
    while begin.elapsed() < Duration::from_secs(1) {
        for _ in 0..10 {
            client.call(ticket);
            assert_eq!(client.reply(ticket), Reply::Failed);
            ticket += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let passed = begin.elapsed().as_millis();
    let accepted = fake.accepted.load(Ordering::SeqCst);
    // At 0, 0.1, 0.3, 0.7, 1.5 seconds; and from then on once a second.
    assert!(accepted >= 3, "{accepted}");
    let most = 5 + usize::try_from(passed / 1_000).unwrap();
    assert!(accepted <= most, "{accepted} in {passed} ms");
    let events: Vec<String> = client.events.try_iter().collect();
    assert_eq!(events, ["the store has closed the connection"]);
}

#[test]
fn a_server_that_does_not_reply_in_time_is_given_up() {
    let silent = Fake::start(|stream| {
        while read_some(stream)? > 0 {}
        Ok(())
    });
    assert!(event(&silent, SHORT).contains("in time"));
    // Not even if there is always another byte.
    let slow = Fake::start(|stream| {
        stream.write_all(b"+")?;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            stream.write_all(b"x")?;
        }
    });
    assert!(event(&slow, SHORT).contains("in time"));
}

#[test]
fn calls_behind_one_that_is_not_answered_fail_with_it_and_the_store_can_be_dropped() {
    let silent = Fake::start(|stream| {
        while read_some(stream)? > 0 {}
        Ok(())
    });
    let client = Client::new(&silent.url, SHORT);
    for ticket in 0..1_000 {
        client.call(ticket);
    }
    for ticket in 0..1_000 {
        assert_eq!(client.reply(ticket), Reply::Failed);
    }
    for ticket in 0..1_000 {
        client.call(ticket);
    }
    let Client { store, replies, .. } = client;
    drop(store);
    assert_eq!(replies.try_iter().count(), 1_000);
}

#[test]
fn rubbish_is_named_as_that() {
    for rubbish in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\x15\x03\x01\x00\x02\x02\x0a".to_vec(),
        b"$x\r\n".to_vec(),
        b"*1\r\n".repeat(200),
        b"*99999999999999999999\r\n".to_vec(),
        b":1\r\n".to_vec(),
    ] {
        let fake = Fake::replying(vec![b"+OK\r\n".to_vec(), rubbish.clone()]);
        let event = event(&fake, LONG);
        assert!(event.contains("malformed"), "{rubbish:?}: {event}");
    }
    // What could still become a reply.
    for begin in [
        "*9223372036854775807\r\n",
        "%9223372036854775807\r\n",
        "$9223372036854775807\r\n",
    ] {
        assert!(event(&reply(begin), SHORT).contains("in time"));
    }
}

#[test]
fn a_reply_has_a_bound() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let fake = Fake::start(move |stream| {
        stream.write_all(b"$9999999999\r\n")?;
        loop {
            count.fetch_add(stream.write(&[b'x'; 65_536])?, Ordering::SeqCst);
        }
    });
    assert!(event(&fake, LONG).contains("longer"));
    // And what the sockets' buffers hold.
    let written = written.load(Ordering::SeqCst);
    assert!((4 << 20..64 << 20).contains(&written), "{written}");
}

#[test]
fn what_a_server_refuses_is_said_in_words_for_its_operator() {
    for (replies, expected) in [
        (
            vec!["-WRONGPASS invalid username-password pair\r\n"],
            "refuses the user's name or password",
        ),
        (
            vec!["-ERR AUTH <password> called without any password\r\n"],
            "refuses AUTH",
        ),
        // As servers do that don't know the command.
        (
            vec!["-ERR unknown command `AUTH`, with args beginning with: `hunter2`\r\n"],
            "refuses AUTH",
        ),
        (vec!["-hunter2\r\n"], "refuses AUTH"),
        (
            vec!["+OK\r\n", "-NOAUTH Authentication required.\r\n"],
            "expects a password",
        ),
        (
            vec!["+OK\r\n", "-NOPERM this user has no permissions\r\n"],
            "may not call INFO: this user",
        ),
        (vec!["+OK\r\n", "-ERR hunter2\r\n"], "refuses INFO: ERR"),
        (
            vec!["+OK\r\n", "-LOADING Redis is loading\r\n"],
            "reading its data",
        ),
        (
            vec!["+OK\r\n", "$21\r\nredis_mode:sentinel\r\n\r\n"],
            "Sentinel",
        ),
        (
            vec!["+OK\r\n", "$20\r\nredis_mode:cluster\r\n\r\n"],
            "Cluster",
        ),
    ] {
        let replies = replies.iter().map(|reply| reply.as_bytes().to_vec());
        let event = event(&Fake::replying(replies.collect()), LONG);
        assert!(event.contains(expected), "{event}");
    }
    for (calls, expected) in [
        (
            "-READONLY You can't write against a read only replica.\r\n",
            "replica",
        ),
        ("-MOVED 3999 127.0.0.1:6381\r\n", "Cluster"),
        (
            "-CROSSSLOT Keys in request don't hash to the same slot\r\n",
            "Cluster",
        ),
        (
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "memory is full",
        ),
        (
            "-MISCONF Errors writing to the AOF file: No space left\r\n",
            "No space left",
        ),
        (
            "-NOPERM No permissions to access a key\r\n",
            "may not call EVALSHA",
        ),
        ("-NOSCRIPT No matching script.\r\n", "NOSCRIPT No matching"),
        ("-ERR \u{1b}[31mred\r\n", "\\u{1b}[31mred"),
        ("*1\r\n$7\r\nunheard\r\n", "malformed"),
    ] {
        let event = event(&Fake::answering(calls.as_bytes()), LONG);
        assert!(event.contains(expected), "{event}");
    }
    let long = event(&reply(format!("-ERR {}\r\n", "x".repeat(10_000))), LONG);
    assert!(long.len() < 300, "{}", long.len());
}

#[test]
fn replies_before_one_that_fails_count() {
    let released = "*1\r\n$8\r\nreleased\r\n";
    let fake = Fake::answering(format!("{released}{released}-OOM full\r\n").as_bytes());
    let mut server = Server::parse(&fake.url).unwrap();
    server.timeout = LONG;
    let (sender, replies) = sync_channel(16);
    let (event_sender, events) = sync_channel(16);
    let worker = Worker::new(
        server,
        None,
        move |ticket, reply| sender.send((ticket, reply)).unwrap(),
        move |event| event_sender.send(event).unwrap(),
    );
    // All are there before the thread begins, so that they go together.
    let (calls, receiver) = sync_channel(16);
    for ticket in 0..4 {
        let owner = Owner {
            node: Node(1),
            fence: 1,
        };
        let call = Call::Release { owner };
        let made = now();
        calls.send(Waiting { ticket, call, made }).unwrap();
    }
    drop(calls);
    worker.run(&receiver);
    let replies: Vec<(u64, Reply)> = replies.iter().collect();
    let expected = [
        (0, Reply::Released),
        (1, Reply::Released),
        (2, Reply::Failed),
        (3, Reply::Failed),
    ];
    assert_eq!(replies, expected);
    let events: Vec<StoreEvent> = events.iter().collect();
    assert!(
        matches!(&events[..], [StoreEvent::Failed(ConnectError::Refused { code, .. })] if code == "OOM"),
        "{events:?}"
    );
}

#[test]
fn the_former_connection_is_ended_but_not_one_of_another_run_that_has_its_number() {
    // The last connection has the run of the second one.
    let mut runs = ['1', '2', '2'].into_iter();
    let (sender, killed) = sync_channel(16);
    let fake = Fake::start(move |stream| {
        let mut bytes = vec![0; 65_536];
        let mut has_killed = false;
        for reply in opening(runs.next().unwrap_or('3')) {
            loop {
                let length = stream.read(&mut bytes)?;
                if !String::from_utf8_lossy(&bytes[..length]).contains("KILL") {
                    break;
                }
                has_killed = true;
                stream.write_all(b":1\r\n")?;
            }
            stream.write_all(&reply)?;
        }
        // The first calls come once the connection is opened.
        read_some(stream)?;
        _ = sender.try_send(has_killed);
        Ok(())
    });
    let client = Client::new(&fake.url, LONG);
    let mut ticket = 0;
    let mut kills = Vec::new();
    while kills.len() < 3 {
        client.call(ticket);
        assert_eq!(client.reply(ticket), Reply::Failed);
        ticket += 1;
        kills.extend(killed.try_iter());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(kills, [false, false, true]);
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let parts: [&[u8]; 16] = [
        b"*", b"$", b":", b"+", b"-", b"%", b"~", b"|", b"\r\n", b"1", b"3", b"-1", b"leased",
        b"claimed", b"1.2", b"\xff",
    ];
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..50_000 {
        let length = random.usize(..24);
        let bytes: Vec<u8> = (0..length)
            .flat_map(|_| parts[random.usize(..parts.len())].to_vec())
            .collect();
        crate::connection::read_reply(&bytes);
    }
}
