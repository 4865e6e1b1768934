//! The connections of one lane.

use super::super::call::Call;
use super::super::connect::{ConnectError, Connector, TokioStream};
use super::super::reply::Reply;
use super::connection::{Connection, ExchangeError};
use super::driver::Driver;
use super::places::{Grant, Id, Limited, Places, Waiting};
use crate::upstream::HttpVersion;
use hyper::Request;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often idle connections are looked at: they are closed after ten seconds at most, as those of HTTP/1.1 are. Tomcat
/// waits 20 s.
const TICK: Duration = Duration::from_secs(5);

/// Why there is no HTTP/2 connection. Shared by the exchanges that have waited for it.
pub(in crate::upstream::http) struct OpenError {
    /// Without the path.
    pub(in crate::upstream::http) error: ConnectError,
    /// Whether there is a server that speaks something else.
    pub(in crate::upstream::http) is_no_http2: bool,
}

/// What a caller that wants a place gets.
pub(in crate::upstream::http) enum Granted {
    Place(Place),
    /// The server has chosen HTTP/1.1; perhaps with a connection to begin with.
    Http1(Option<TokioStream>),
}

type Answer = Result<Granted, Arc<OpenError>>;

/// Connections that exchanges share.
pub(in crate::upstream::http) struct Pool {
    connector: Arc<Connector>,
    /// See [`Driver`].
    quiet: Duration,
    state: Mutex<State>,
}

struct State {
    places: Places<Arc<Connection>, oneshot::Sender<Answer>>,
    /// Whether a task counts the ticks. Not while there are no connections.
    is_ticking: bool,
}

/// A place for one exchange on a connection.
pub(in crate::upstream::http) struct Place {
    pool: Arc<Pool>,
    id: Id,
    connection: Arc<Connection>,
}

impl Limited for Arc<Connection> {
    fn most(&self) -> usize {
        self.most_streams()
    }
}

impl Waiting for oneshot::Sender<Answer> {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

impl Pool {
    pub(in crate::upstream::http) fn new(connector: Arc<Connector>, quiet: Duration) -> Arc<Pool> {
        Arc::new(Pool {
            connector,
            quiet,
            state: Mutex::new(State {
                places: Places::new(),
                is_ticking: false,
            }),
        })
    }

    /// Waits for a place on a connection other than `except`.
    pub(in crate::upstream::http) async fn place(self: &Arc<Self>, except: Option<Id>) -> Answer {
        let granted = {
            let mut state = self.state();
            if let Some((id, connection)) = state.places.take(except) {
                return Ok(Granted::Place(self.given(id, connection)));
            }
            let (waiter, granted) = oneshot::channel();
            let missing = state.places.wait(waiter, except);
            drop(state);
            self.open(missing);
            granted
        };
        // Waiters are answered, each once, unless the runtime ends.
        granted
            .await
            .unwrap_or_else(|_| Err(Arc::new(OpenError::closed())))
    }

    fn given(self: &Arc<Self>, id: Id, connection: Arc<Connection>) -> Place {
        Place {
            pool: self.clone(),
            id,
            connection,
        }
    }

    /// Opens connections, in tasks of their own: they are for all that wait.
    fn open(self: &Arc<Self>, count: usize) {
        for _ in 0..count {
            let pool = self.clone();
            tokio::spawn(async move {
                let opened = pool.connect().await;
                pool.opened(opened);
            });
        }
    }

    async fn connect(&self) -> Result<Opened, OpenError> {
        let opening = async {
            let stream = self.connector.connect_tokio().await;
            let stream = stream.map_err(OpenError::unreachable)?;
            if !self.connector.is_http2(stream.inner()) {
                return match self.connector.version() {
                    HttpVersion::Http2 => Err(OpenError::not_offered()),
                    HttpVersion::Auto | HttpVersion::Http1 => Ok(Opened::Http1(stream)),
                };
            }
            let (connection, driver) = Connection::open(stream, self.quiet).await?;
            match connection.most_streams() {
                0 => Err(OpenError::no_streams()),
                _ => Ok(Opened::Http2(connection, Box::new(driver))),
            }
        };
        match tokio::time::timeout(self.connector.timeout(), opening).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(OpenError::unreachable("it takes too long".into())),
        }
    }

    /// Connecting has ended, well or not.
    fn opened(self: &Arc<Self>, opened: Result<Opened, OpenError>) {
        match opened {
            Ok(Opened::Http2(connection, driver)) => self.insert(connection, *driver),
            Ok(Opened::Http1(stream)) => {
                let waiters = self.state().places.unsuitable();
                let mut stream = Some(stream);
                for waiter in waiters {
                    // One that has gone gives it back.
                    if let Err(Ok(Granted::Http1(unused))) =
                        waiter.send(Ok(Granted::Http1(stream.take())))
                    {
                        stream = unused;
                    }
                }
            }
            Err(error) => {
                let waiters = self.state().places.failed();
                let error = Arc::new(error);
                for waiter in waiters {
                    let _ = waiter.send(Err(error.clone()));
                }
            }
        }
    }

    fn insert(self: &Arc<Self>, connection: Connection, driver: Driver) {
        let mut state = self.state();
        let id = state.places.insert(Arc::new(connection));
        if !state.is_ticking {
            state.is_ticking = true;
            tokio::spawn(count_ticks(self.clone()));
        }
        drop(state);
        let pool = self.clone();
        tokio::spawn(async move {
            driver.run().await;
            pool.remove(id);
        });
        self.grant();
    }

    /// Gives free places to those that wait, and opens connections for the rest of them.
    fn grant(self: &Arc<Self>) {
        loop {
            let grant = {
                let mut state = self.state();
                let Some(grant) = state.places.grant() else {
                    let missing = state.places.missing();
                    drop(state);
                    self.open(missing);
                    return;
                };
                grant
            };
            let Grant {
                waiter,
                id,
                connection,
            } = grant;
            // One that has just gone gives its place back.
            let _ = waiter.send(Ok(Granted::Place(self.given(id, connection))));
        }
    }

    fn release(self: &Arc<Self>, id: Id) {
        let mut state = self.state();
        state.places.release(id);
        let is_waiting = state.places.is_waiting();
        drop(state);
        if is_waiting {
            self.grant();
        }
    }

    /// The connection takes no more exchanges.
    fn remove(self: &Arc<Self>, id: Id) {
        let removed = self.state().places.remove(id);
        // Without the lock: the last reference ends the connection.
        drop(removed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What connecting has led to.
enum Opened {
    Http2(Connection, Box<Driver>),
    Http1(TokioStream),
}

async fn count_ticks(pool: Arc<Pool>) {
    loop {
        tokio::time::sleep(TICK).await;
        let mut state = pool.state();
        let (expired, is_any_left) = state.places.tick();
        state.is_ticking = is_any_left;
        drop(state);
        drop(expired);
        if !is_any_left {
            return;
        }
    }
}

impl Place {
    pub(in crate::upstream::http) fn id(&self) -> Id {
        self.id
    }

    /// Sends one request and reads its reply. Dropping this resets the stream.
    pub(in crate::upstream::http) async fn exchange(
        &self,
        request: Request<()>,
        call: &Call,
    ) -> Result<Reply, ExchangeError> {
        let outcome = self.connection.exchange(request, call).await;
        match &outcome {
            Err(ExchangeError::Unsent(_)) => self.pool.remove(self.id),
            Err(ExchangeError::Refused(error)) if error.is_go_away() => self.pool.remove(self.id),
            Err(ExchangeError::TooManyInterim) => {
                self.pool.remove(self.id);
                self.connection.close();
            }
            Ok(_) | Err(ExchangeError::Refused(_) | ExchangeError::Broken(_)) => {}
        }
        outcome
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.release(self.id);
    }
}

impl OpenError {
    pub(super) fn unreachable(error: ConnectError) -> OpenError {
        OpenError {
            error,
            is_no_http2: false,
        }
    }

    /// The connection ended before the server's SETTINGS came.
    pub(super) fn closed() -> OpenError {
        OpenError::unreachable(CLOSED.into())
    }

    /// What came in place of SETTINGS.
    pub(super) fn no_http2(error: h2::Error) -> OpenError {
        match error.is_io() {
            true => OpenError::unreachable(format!("{CLOSED}: {error}").into()),
            false => OpenError {
                error: format!("it does not speak HTTP/2 ({error}); see upstream.http_version")
                    .into(),
                is_no_http2: true,
            },
        }
    }

    fn not_offered() -> OpenError {
        OpenError {
            error: "it does not offer HTTP/2 (ALPN); see upstream.http_version".into(),
            is_no_http2: true,
        }
    }

    fn no_streams() -> OpenError {
        OpenError::unreachable("it allows no streams (SETTINGS_MAX_CONCURRENT_STREAMS is 0)".into())
    }
}

const CLOSED: &str = "it closes the connection before its HTTP/2 SETTINGS; if it speaks HTTP/1.1 only, see upstream.http_version";
