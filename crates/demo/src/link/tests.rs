use super::*;
use std::time::Duration;
use tokio::time::timeout;

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// A link to a socket in place of the gateway.
async fn link() -> (SocketAddr, UdpSocket, Arc<LossModel>) {
    let (gateway, losses) = (socket().await, Arc::new(LossModel::new(1)));
    let address = gateway.local_addr().unwrap();
    let link = Link::bind((Ipv4Addr::LOCALHOST, 0).into(), address, losses.clone());
    let link = link.await.unwrap();
    let front = link.local_addr().unwrap();
    tokio::spawn(link.run());
    (front, gateway, losses)
}

async fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 100];
    let received = timeout(Duration::from_secs(10), socket.recv_from(&mut buffer));
    let (length, from) = received.await.unwrap().unwrap();
    (buffer[..length].to_vec(), from)
}

#[tokio::test]
async fn each_client_has_an_address_of_its_own_behind_the_link_and_gets_its_own_answers() {
    let (front, gateway, _) = link().await;
    let (one, two) = (socket().await, socket().await);
    let mut addresses = Vec::new();
    for (client, text) in [(&one, b"one"), (&two, b"two"), (&one, b"ONE")] {
        client.send_to(text, front).await.unwrap();
        let (datagram, from) = next(&gateway).await;
        assert_eq!(datagram, text);
        addresses.push(from);
    }
    assert_ne!(addresses[0], addresses[1]);
    assert_eq!(addresses[0], addresses[2]);
    gateway.send_to(b"to two", addresses[1]).await.unwrap();
    gateway.send_to(b"to one", addresses[0]).await.unwrap();
    assert_eq!(next(&one).await, (b"to one".to_vec(), front));
    assert_eq!(next(&two).await, (b"to two".to_vec(), front));
}

#[tokio::test]
async fn with_losses_on_the_first_answer_is_lost_and_reported_and_with_losses_off_none() {
    let (front, gateway, losses) = link().await;
    let client = socket().await;
    client.send_to(b"hello", front).await.unwrap();
    let (_, address) = next(&gateway).await;
    let mut lost = losses.subscribe();
    losses.set(true);
    gateway.send_to(b"lost", address).await.unwrap();
    let loss = timeout(Duration::from_secs(10), lost.recv()).await;
    let expected = Lost {
        to_gateway: false,
        length: 4,
    };
    assert_eq!(loss.unwrap().unwrap(), expected);
    losses.set(false);
    gateway.send_to(b"arrives", address).await.unwrap();
    assert_eq!(next(&client).await.0, b"arrives");
}

#[test]
fn the_first_answer_is_lost_and_the_retransmitted_request_arrives_with_any_seed() {
    for seed in 0..100 {
        let losses = LossModel::new(seed);
        losses.set(true);
        assert!((0..10).all(|_| losses.passes(true, 1)));
        assert!(!losses.passes(false, 1));
        assert!(losses.passes(true, 1));
    }
}

#[test]
fn with_losses_on_about_the_stated_share_is_lost_in_either_direction() {
    let losses = LossModel::new(1);
    assert!((0..1000).all(|_| losses.passes(true, 1)));
    losses.set(true);
    losses.passes(false, 1);
    losses.passes(true, 1);
    for to_gateway in [true, false] {
        let lost = (0..1000).filter(|_| !losses.passes(to_gateway, 1));
        assert!((250..350).contains(&lost.count()));
    }
    losses.set(false);
    assert!((0..1000).all(|_| losses.passes(false, 1)));
}

#[tokio::test]
async fn clients_are_bounded_and_the_one_silent_longest_is_removed() {
    let (front, gateway, _) = link().await;
    let first = socket().await;
    first.send_to(b"first", front).await.unwrap();
    let (_, before) = next(&gateway).await;
    // All sockets stay open: the next one could get the port of a closed one, and be the same client to the link.
    let mut others = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let other = socket().await;
        other.send_to(b"next", front).await.unwrap();
        next(&gateway).await;
        others.push(other);
    }
    first.send_to(b"again", front).await.unwrap();
    assert_ne!(next(&gateway).await.1, before);
}
