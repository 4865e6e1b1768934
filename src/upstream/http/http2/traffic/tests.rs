use super::super::super::connect::Stream;
use super::*;
use hyper_util::rt::TokioIo;
use std::task::Waker;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Other tasks get their turn although there is always more to read.
#[tokio::test]
async fn reading_pauses_after_some_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let mut far = far.unwrap().0;
    far.write_all(&[0; 1000]).await.unwrap();
    let near = near.unwrap();
    near.readable().await.unwrap();
    let traffic = Arc::new(Traffic::default());
    let mut counted = Counted::new(TokioIo::new(Stream::plain(near)), traffic.clone());
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        let mut reads = 0;
        loop {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            match Pin::new(&mut counted).poll_read(&mut context, &mut buffer) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => break,
            }
            reads += 1;
        }
        assert_eq!(reads, READS_IN_A_ROW);
    }
    assert_eq!(traffic.read(), 3 * u64::from(READS_IN_A_ROW));
}
