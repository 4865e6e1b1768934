//! One connection to the server.

use crate::reply;
use crate::scripts::{Context, Script, arguments};
use redis::{Parser, Value, pack_command};
use replicas::store::{Call, Reply};
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Where the server is, and how it is used.
#[derive(Clone)]
pub struct Server {
    /// Its address.
    pub address: SocketAddr,
    /// The name of the user, if it is not the default one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u32,
    /// What all keys begin with. Gateways with the same one are a group.
    pub prefix: String,
    /// How long a session is kept after it was written last: longer than it may be idle.
    pub ttl: Duration,
    /// How long the server may take to accept a connection, and to reply.
    pub timeout: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why the server can't be used.
#[derive(Debug)]
pub enum ConnectError {
    /// It can't be reached, or did not reply in time.
    Io(io::Error),
    /// It refuses a command: of which the name is given, and its message.
    Refused(&'static str, String),
    /// Its reply is none of Redis's, or none of our scripts'.
    Malformed,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Io(error) => error.fmt(f),
            ConnectError::Refused(command, message) => {
                write!(f, "the store refuses {command}: {message}")
            }
            ConnectError::Malformed => f.write_str("the store's reply is malformed"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        ConnectError::Io(error)
    }
}

/// A connection that is ready for calls.
pub(crate) struct Connection {
    stream: TcpStream,
    parser: Parser,
    prefix: String,
    context: Context,
    /// The server's name of it.
    id: i64,
    /// The digests of the scripts.
    scripts: Vec<(Script, String)>,
}

impl Connection {
    /// Connects. `former` is the connection before this one, which the server ends if it still has it.
    pub(crate) fn open(server: &Server, former: Option<i64>) -> Result<Connection, ConnectError> {
        let stream = TcpStream::connect_timeout(&server.address, server.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(server.timeout))?;
        stream.set_write_timeout(Some(server.timeout))?;
        let mut connection = Connection {
            stream,
            parser: Parser::new(),
            prefix: server.prefix.clone(),
            context: Context {
                run: 0,
                ttl: server.ttl,
            },
            id: 0,
            scripts: Vec::new(),
        };
        if let Some(password) = &server.password {
            let user = server.user.as_deref().unwrap_or("default");
            connection.command("AUTH", &[user, password])?;
        }
        connection.command("SELECT", &[&server.database.to_string()])?;
        if let Some(former) = former {
            connection.command("CLIENT", &["KILL", "ID", &former.to_string()])?;
        }
        let Value::Int(id) = connection.command("CLIENT", &["ID"])? else {
            return Err(ConnectError::Malformed);
        };
        connection.id = id;
        let about = connection.command("INFO", &["server"])?;
        let about = reply::as_text(about).ok_or(ConnectError::Malformed)?;
        let run = about.lines().find_map(|line| line.strip_prefix("run_id:"));
        // 60 bits of 160.
        let run = run.and_then(|run| u64::from_str_radix(run.get(..15)?, 16).ok());
        connection.context.run = run.ok_or(ConnectError::Malformed)?;
        for script in Script::ALL {
            let digest = connection.command("SCRIPT", &["LOAD", &script.text()])?;
            let digest = reply::as_text(digest).ok_or(ConnectError::Malformed)?;
            connection.scripts.push((script, digest));
        }
        Ok(connection)
    }

    pub(crate) const fn id(&self) -> i64 {
        self.id
    }

    /// Makes these calls together. After an error the connection must be dropped.
    pub(crate) fn calls(&mut self, calls: &[Call]) -> Result<Vec<Reply>, ConnectError> {
        let mut bytes = Vec::new();
        for call in calls {
            let (script, mut arguments) = arguments(call, &self.context);
            let digest = self.scripts.iter().find(|(other, _)| *other == script);
            let digest = digest.ok_or(ConnectError::Malformed)?.1.clone();
            let mut command = vec![
                b"EVALSHA".to_vec(),
                digest.into_bytes(),
                b"1".to_vec(),
                self.prefix.clone().into_bytes(),
            ];
            command.append(&mut arguments);
            bytes.extend(pack_command(&command));
        }
        self.stream.write_all(&bytes)?;
        let mut replies = Vec::with_capacity(calls.len());
        for _ in calls {
            let value = self.value("a script")?;
            replies.push(reply::read(value).ok_or(ConnectError::Malformed)?);
        }
        Ok(replies)
    }

    fn command(&mut self, name: &'static str, rest: &[&str]) -> Result<Value, ConnectError> {
        let mut command = vec![name.as_bytes().to_vec()];
        command.extend(rest.iter().map(|argument| argument.as_bytes().to_vec()));
        self.stream.write_all(&pack_command(&command))?;
        self.value(name)
    }

    fn value(&mut self, command: &'static str) -> Result<Value, ConnectError> {
        match self.parser.parse_value(&mut self.stream) {
            Ok(Value::ServerError(error)) => {
                let message = format!("{} {}", error.code(), error.details().unwrap_or_default());
                Err(ConnectError::Refused(command, message))
            }
            Ok(value) => Ok(value),
            Err(error) if error.is_io_error() => Err(io::Error::other(error.to_string()).into()),
            Err(_) => Err(ConnectError::Malformed),
        }
    }
}
