//! A server that answers as ThingsBoard does, where a test does not say otherwise.

use super::super::connection::tests::server::{self, Sent, Server};
use rustls_pki_types::PrivateKeyDer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

/// What a test sets and sees.
#[derive(Default)]
pub(crate) struct Script {
    /// Of CONNECT, by user name; 0 otherwise.
    pub(crate) connack: HashMap<String, u8>,
    /// CONNECT is not answered.
    pub(crate) is_connack_held: bool,
    /// Of a PUBLISH, by topic. `None`: no PUBACK.
    pub(crate) puback: HashMap<String, Option<u8>>,
    /// A PUBLISH to this topic is answered with DISCONNECT and this code.
    pub(crate) disconnect: HashMap<String, u8>,
    /// The answer to a request, by its topic without the number.
    pub(crate) answers: HashMap<&'static str, Vec<u8>>,
    /// User names, in the order of their CONNECTs.
    pub(crate) connects: Vec<String>,
    pub(crate) published: Vec<(String, Vec<u8>)>,
    pub(crate) acknowledged: Vec<u16>,
    pub(crate) subscribed: Vec<String>,
    pub(crate) disconnects: usize,
}

/// To all connections.
#[derive(Clone)]
pub(crate) enum Instruction {
    /// To connections of this user name.
    Send(String, Vec<u8>),
    CloseAll,
}

pub(crate) struct Broker {
    pub(crate) port: u16,
    acceptor: Option<TlsAcceptor>,
    pub(crate) script: Arc<Mutex<Script>>,
    instructions: broadcast::Sender<Instruction>,
    listener: Option<JoinHandle<()>>,
    open: watch::Receiver<usize>,
    opened: Arc<watch::Sender<usize>>,
}

impl Broker {
    pub(crate) async fn new() -> Broker {
        Broker::with(None).await
    }

    /// With a certificate for 127.0.0.1, which is returned as PEM.
    pub(crate) async fn with_tls() -> (Broker, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Broker::with(Some(acceptor)).await, made.cert.pem())
    }

    async fn with(acceptor: Option<TlsAcceptor>) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (opened, open) = watch::channel(0);
        let mut broker = Broker {
            port,
            acceptor,
            script: Arc::default(),
            instructions: broadcast::Sender::new(64),
            listener: None,
            open,
            opened: Arc::new(opened),
        };
        broker.listen(listener);
        broker
    }

    fn listen(&mut self, listener: TcpListener) {
        let (script, instructions) = (self.script.clone(), self.instructions.clone());
        let (opened, acceptor) = (self.opened.clone(), self.acceptor.clone());
        self.listener = Some(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, instructions) = (script.clone(), instructions.subscribe());
                let (opened, acceptor) = (opened.clone(), acceptor.clone());
                tokio::spawn(async move {
                    opened.send_modify(|count| *count += 1);
                    match acceptor {
                        None => serve(stream, &script, instructions).await,
                        // A client that does not trust the certificate ends the handshake.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &script, instructions).await;
                            }
                        }
                    }
                    opened.send_modify(|count| *count -= 1);
                });
            }
        }));
    }

    /// Accepts no connections, and closes those there are.
    pub(crate) async fn stop(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
            let _ = listener.await;
        }
        self.instruct(Instruction::CloseAll);
        self.wait_open(0).await;
    }

    pub(crate) async fn restart(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], self.port).into()).unwrap();
        self.listen(socket.listen(4096).unwrap());
    }

    pub(crate) fn instruct(&self, instruction: Instruction) {
        let _ = self.instructions.send(instruction);
    }

    pub(crate) fn script<R>(&self, work: impl FnOnce(&mut Script) -> R) -> R {
        work(&mut self.script.lock().unwrap())
    }

    /// Waits until so many connections are open.
    pub(crate) async fn wait_open(&mut self, count: usize) {
        let open = self.open.wait_for(|open| *open == count);
        let open = tokio::time::timeout(std::time::Duration::from_secs(40), open);
        open.await.expect("so many connections").unwrap();
    }

    /// Waits until the script is so.
    pub(crate) async fn wait(&self, is_so: impl Fn(&Script) -> bool) {
        for _ in 0..2000 {
            if self.script(|script| is_so(script)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("it does not come");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &Mutex<Script>,
    mut instructions: broadcast::Receiver<Instruction>,
) {
    let mut server = Server::default();
    let mut user_name = String::new();
    let mut last_id = 0;
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(length) if length > 0 => server.receive(&buffer[..length]),
                _ => return,
            },
            instruction = instructions.recv() => match instruction {
                Ok(Instruction::Send(to, bytes)) if to == user_name => {
                    stream.write_all(&bytes).await.unwrap();
                }
                Ok(Instruction::CloseAll) => return,
                _ => {}
            },
        }
        while let Some(sent) = server.pop() {
            let (reply, is_end) = {
                let mut script = script.lock().unwrap();
                answer(&mut script, sent, &mut user_name, &mut last_id)
            };
            if stream.write_all(&reply).await.is_err() || is_end {
                return;
            }
        }
    }
}

/// The bytes to send, and whether the connection ends.
fn answer(
    script: &mut Script,
    sent: Sent,
    user_name: &mut String,
    last_id: &mut u16,
) -> (Vec<u8>, bool) {
    match sent {
        Sent::Connect(name) => {
            let code = script.connack.get(&name).copied().unwrap_or_default();
            script.connects.push(name.clone());
            *user_name = name;
            match script.is_connack_held {
                true => (Vec::new(), false),
                false => (server::connack(code), code != 0),
            }
        }
        Sent::Publish { id, topic, payload } => {
            script.published.push((topic.clone(), payload));
            if let Some(code) = script.disconnect.get(&topic) {
                return (server::disconnect(*code), true);
            }
            let mut reply = match script.puback.get(&topic) {
                Some(None) => Vec::new(),
                Some(Some(code)) => server::puback(id, *code),
                None => server::puback(id, 0),
            };
            let found = script
                .answers
                .iter()
                .find(|(begin, _)| topic.starts_with(*begin));
            if let Some((_, payload)) = found {
                *last_id += 1;
                let topic = topic
                    .replace("/req/", "/res/")
                    .replace("/request", "/response");
                reply.extend(server::publish(*last_id, &topic, payload));
            }
            (reply, false)
        }
        Sent::Puback(id) => {
            script.acknowledged.push(id);
            (Vec::new(), false)
        }
        Sent::Subscribe(id, filters) => {
            let codes = vec![1; filters.len()];
            script.subscribed.extend(filters);
            (server::suback(id, &codes), false)
        }
        Sent::Unsubscribe(id) => (server::unsuback(id), false),
        Sent::Ping => (server::pong(), false),
        Sent::Disconnect => {
            script.disconnects += 1;
            (Vec::new(), true)
        }
    }
}
