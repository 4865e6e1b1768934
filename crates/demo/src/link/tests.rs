use super::*;
use std::time::Duration;
use tokio::time::timeout;

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// A link to a socket that stands for the gateway.
async fn link() -> (SocketAddr, UdpSocket, Arc<Weather>) {
    let (gateway, weather) = (socket().await, Arc::new(Weather::new(1)));
    let address = gateway.local_addr().unwrap();
    let link = Link::bind((Ipv4Addr::LOCALHOST, 0).into(), address, weather.clone());
    let link = link.await.unwrap();
    let front = link.local_addr().unwrap();
    tokio::spawn(link.run());
    (front, gateway, weather)
}

async fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 100];
    let received = timeout(Duration::from_secs(10), socket.recv_from(&mut buffer));
    let (length, from) = received.await.unwrap().unwrap();
    (buffer[..length].to_vec(), from)
}

#[tokio::test]
async fn clients_are_as_apart_behind_it_as_before_it_and_each_gets_its_own_answers() {
    let (front, gateway, _) = link().await;
    let (one, two) = (socket().await, socket().await);
    let mut ways = Vec::new();
    for (client, text) in [(&one, b"one"), (&two, b"two"), (&one, b"ONE")] {
        client.send_to(text, front).await.unwrap();
        let (datagram, from) = next(&gateway).await;
        assert_eq!(datagram, text);
        ways.push(from);
    }
    assert_ne!(ways[0], ways[1]);
    assert_eq!(ways[0], ways[2]);
    gateway.send_to(b"to two", ways[1]).await.unwrap();
    gateway.send_to(b"to one", ways[0]).await.unwrap();
    assert_eq!(next(&one).await, (b"to one".to_vec(), front));
    assert_eq!(next(&two).await, (b"to two".to_vec(), front));
}

#[tokio::test]
async fn in_bad_weather_the_first_answer_is_lost_and_told_and_in_good_weather_none() {
    let (front, gateway, weather) = link().await;
    let client = socket().await;
    client.send_to(b"hello", front).await.unwrap();
    let (_, way) = next(&gateway).await;
    let mut lost = weather.listen();
    weather.set(true);
    gateway.send_to(b"lost", way).await.unwrap();
    let told = timeout(Duration::from_secs(10), lost.recv()).await;
    let expected = Lost {
        to_gateway: false,
        length: 4,
    };
    assert_eq!(told.unwrap().unwrap(), expected);
    weather.set(false);
    gateway.send_to(b"arrives", way).await.unwrap();
    assert_eq!(next(&client).await.0, b"arrives");
}

#[test]
fn the_answer_is_lost_and_the_request_that_is_sent_again_arrives_whatever_chance_says() {
    for seed in 0..100 {
        let weather = Weather::new(seed);
        weather.set(true);
        assert!((0..10).all(|_| weather.lets_pass(true, 1)));
        assert!(!weather.lets_pass(false, 1));
        assert!(weather.lets_pass(true, 1));
    }
}

#[test]
fn in_bad_weather_about_as_many_are_lost_as_it_says_in_either_direction() {
    let weather = Weather::new(1);
    assert!((0..1000).all(|_| weather.lets_pass(true, 1)));
    weather.set(true);
    weather.lets_pass(false, 1);
    weather.lets_pass(true, 1);
    for to_gateway in [true, false] {
        let lost = (0..1000).filter(|_| !weather.lets_pass(to_gateway, 1));
        assert!((250..350).contains(&lost.count()));
    }
    weather.set(false);
    assert!((0..1000).all(|_| weather.lets_pass(false, 1)));
}

#[tokio::test]
async fn clients_are_bounded_and_the_longest_silent_goes() {
    let (front, gateway, _) = link().await;
    let first = socket().await;
    first.send_to(b"first", front).await.unwrap();
    let (_, before) = next(&gateway).await;
    // All of them are kept: the port of one that is closed may be the next one's, which would be no other client.
    let mut others = Vec::new();
    for _ in 0..MOST_CLIENTS {
        let other = socket().await;
        other.send_to(b"next", front).await.unwrap();
        next(&gateway).await;
        others.push(other);
    }
    first.send_to(b"again", front).await.unwrap();
    assert_ne!(next(&gateway).await.1, before);
}
