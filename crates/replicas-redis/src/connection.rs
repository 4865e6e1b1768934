//! One connection to the server.

use crate::about::{self, About};
use crate::error::ConnectError;
use crate::reply;
use crate::scripts::{Context, Script, arguments};
use crate::server::Server;
use crate::stream::{Stream, TooLong};
use crate::tls::Tls;
use redis::{Parser, Value, pack_command};
use replicas::store::{Call, Reply};
use std::io::{self, Write};
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest reply: ten times that of a lease with as many addresses as are given out at once.
const MAX_REPLY: usize = 4 << 20;

/// Names a connection, so that the next one can end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionName {
    /// The server counts from the start again when it starts again.
    run: u64,
    id: i64,
}

/// A connection that is ready for calls.
pub(crate) struct Connection {
    commands: Commands,
    /// What all keys begin with.
    prefix: String,
    context: Context,
    timeout: Duration,
    name: ConnectionName,
    about: About,
    /// The digests of the scripts.
    scripts: Vec<(Script, String)>,
}

impl Connection {
    /// Connects. `former` is the connection before this one, which the server ends if it still has it.
    pub(crate) fn open(
        server: &Server,
        tls: Option<&Tls>,
        former: Option<ConnectionName>,
    ) -> Result<Connection, ConnectError> {
        let stream = Stream::open(server, tls).map_err(ConnectError::Unreachable)?;
        let mut commands = Commands {
            stream,
            parser: Parser::new(),
            password: server.password.clone(),
        };
        commands.stream.begin(server.timeout);
        if server.user.is_some() || server.password.is_some() {
            let user = server.user.as_deref().unwrap_or("default");
            // A user that has none is let in with any.
            let password = server.password.as_ref();
            let password = password.map_or("", |password| password.as_str());
            commands.command("AUTH", &[user, password])?;
        }
        // Before all else, as a Sentinel knows few other commands.
        let about = commands.command("INFO", &[])?;
        let about = about::read(&reply::as_text(about).ok_or(ConnectError::Malformed)?)?;
        commands.command("SELECT", &[&server.database.to_string()])?;
        if let Some(former) = former.filter(|former| former.run == about.run) {
            commands.command("CLIENT", &["KILL", "ID", &former.id.to_string()])?;
        }
        let Value::Int(id) = commands.command("CLIENT", &["ID"])? else {
            return Err(ConnectError::Malformed);
        };
        let mut scripts = Vec::new();
        for script in Script::ALL {
            let digest = commands.command("SCRIPT", &["LOAD", &script.text()])?;
            let digest = reply::as_text(digest).ok_or(ConnectError::Malformed)?;
            scripts.push((script, digest));
        }
        Ok(Connection {
            commands,
            prefix: format!("{}:", server.prefix),
            context: Context {
                run: about.run,
                ttl: server.ttl,
            },
            timeout: server.timeout,
            name: ConnectionName { run: about.run, id },
            about,
            scripts,
        })
    }

    pub(crate) const fn name(&self) -> ConnectionName {
        self.name
    }

    pub(crate) const fn about(&self) -> &About {
        &self.about
    }

    /// Makes these calls together. `on_reply` is called for each that is answered. After an error the connection must be
    /// dropped.
    pub(crate) fn calls<'a>(
        &mut self,
        calls: impl Iterator<Item = &'a Call>,
        mut on_reply: impl FnMut(Reply),
    ) -> Result<(), ConnectError> {
        let mut bytes = Vec::new();
        let mut count = 0_usize;
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
            count = count.saturating_add(1);
        }
        self.commands.stream.begin(self.timeout);
        self.commands.send(&bytes)?;
        for _ in 0..count {
            let value = self.commands.value("EVALSHA")?;
            on_reply(reply::read(value).ok_or(ConnectError::Malformed)?);
        }
        Ok(())
    }
}

/// Commands and their replies.
struct Commands {
    stream: Stream,
    parser: Parser,
    /// So that no message has it.
    password: Option<Zeroizing<String>>,
}

impl Commands {
    fn command(&mut self, name: &'static str, rest: &[&str]) -> Result<Value, ConnectError> {
        let mut command = Zeroizing::new(vec![name.as_bytes().to_vec()]);
        command.extend(rest.iter().map(|argument| argument.as_bytes().to_vec()));
        self.send(&Zeroizing::new(pack_command(&command)))?;
        self.value(name)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let sent = self.stream.write_all(bytes);
        sent.and_then(|()| self.stream.flush())
            .map_err(ConnectError::Io)
    }

    fn value(&mut self, command: &'static str) -> Result<Value, ConnectError> {
        self.stream.limit(MAX_REPLY);
        match self.parser.parse_value(&mut self.stream) {
            Ok(Value::ServerError(error)) => {
                let password = self.password.as_ref().map(|password| password.as_str());
                let message = error.details().unwrap_or_default();
                Err(ConnectError::refused(
                    command,
                    error.code(),
                    message,
                    password,
                ))
            }
            Ok(value) => Ok(value),
            Err(error) => Err(match self.stream.take_failure() {
                Some(failure) if failure.get_ref().is_some_and(|why| why.is::<TooLong>()) => {
                    ConnectError::TooLong
                }
                Some(failure) => ConnectError::Io(failure),
                None if error.is_io_error() => {
                    ConnectError::Io(io::ErrorKind::UnexpectedEof.into())
                }
                None => ConnectError::Malformed,
            }),
        }
    }
}

/// What a script's reply of these bytes is read as.
#[cfg(test)]
pub(crate) fn read_reply(bytes: &[u8]) -> Option<Reply> {
    reply::read(redis::parse_redis_value(bytes).ok()?)
}
