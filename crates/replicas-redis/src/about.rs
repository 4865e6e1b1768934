//! What the server says about itself.

use crate::error::ConnectError;
use std::fmt;

/// The oldest version that has all commands of the scripts (`ZRANDMEMBER`). Valkey gives a version of Redis as well.
const OLDEST: (u32, u32) = (6, 2);

/// What the server can be used with, but should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// It evicts any key when its memory is full: also leases, so that living gateways lose their sessions. It has the policy.
    Evicts(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Evicts(policy) => write!(
                f,
                "the store has maxmemory-policy {policy}: when its memory is full it forgets what gateways need that are alive; noeviction or volatile-ttl is required"
            ),
        }
    }
}

/// What is to be known of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) version: String,
    /// The first 60 bits of 160 that it draws each time it starts.
    pub(crate) run: u64,
    pub(crate) warning: Option<Warning>,
}

/// Reads the reply to INFO, and judges the server by it.
pub(crate) fn read(info: &str) -> Result<About, ConnectError> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    match field("redis_mode") {
        Some("sentinel") => return Err(ConnectError::Sentinel),
        Some("cluster") => return Err(ConnectError::Cluster),
        _ => {}
    }
    let version = field("redis_version").ok_or(ConnectError::Malformed)?;
    let version: String = version.chars().take(20).collect();
    let mut parts = version.split('.').map(str::parse::<u32>);
    let number = (parts.next(), parts.next());
    if let (Some(Ok(major)), Some(Ok(minor))) = number
        && (major, minor) < OLDEST
    {
        return Err(ConnectError::Version(version.escape_debug().to_string()));
    }
    if field("role") == Some("slave") {
        return Err(ConnectError::ReadOnly);
    }
    if field("loading") == Some("1") {
        return Err(ConnectError::Loading);
    }
    let run = field("run_id").and_then(|run| u64::from_str_radix(run.get(..15)?, 16).ok());
    let policy = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys-"));
    let is_bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
    let valkey = field("valkey_version").map(|valkey| valkey.chars().take(20).collect::<String>());
    Ok(About {
        version: match valkey {
            Some(valkey) => format!("Valkey {valkey}"),
            None => format!("Redis {version}"),
        }
        .escape_debug()
        .to_string(),
        run: run.ok_or(ConnectError::Malformed)?,
        warning: policy
            .filter(|_| is_bounded)
            .map(|policy| Warning::Evicts(policy.chars().take(20).collect())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(changes: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("run_id", "0123456789abcdef0123456789abcdef01234567"),
            ("maxmemory", "0"),
            ("maxmemory_policy", "noeviction"),
            ("loading", "0"),
            ("role", "master"),
        ];
        for (name, value) in changes {
            fields.retain(|(other, _)| other != name);
            fields.push((name, value));
        }
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{name}:{value}\r\n"));
        format!("# Server\r\n{}", lines.collect::<String>())
    }

    #[test]
    fn a_server_is_judged_by_what_it_says() {
        let about = read(&info(&[])).unwrap();
        assert_eq!(about.version, "Redis 7.0.15");
        assert_eq!(about.run, 0x0012_3456_789a_bcde);
        assert_eq!(about.warning, None);
        let valkey = read(&info(&[
            ("redis_version", "7.2.4"),
            ("valkey_version", "9.0.1"),
        ]));
        assert_eq!(valkey.unwrap().version, "Valkey 9.0.1");
        for (field, value, expected) in [
            ("redis_version", "6.0.16", "6.0.16"),
            ("redis_version", "5.0", "5.0"),
            ("redis_mode", "sentinel", "Sentinel"),
            ("redis_mode", "cluster", "Cluster"),
            ("role", "slave", "replica"),
            ("loading", "1", "reading its data"),
            ("run_id", "x", "malformed"),
        ] {
            let error = read(&info(&[(field, value)])).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read("").is_err());
        for version in ["6.2.0", "7.4.1", "10.0", "255.255.255", "unstable"] {
            assert!(
                read(&info(&[("redis_version", version)])).is_ok(),
                "{version}"
            );
        }
    }

    #[test]
    fn a_server_that_evicts_leases_gives_a_warning_if_its_memory_has_a_bound() {
        let evicts = ("maxmemory_policy", "allkeys-lru");
        assert_eq!(read(&info(&[evicts])).unwrap().warning, None);
        let warning = read(&info(&[evicts, ("maxmemory", "1000")]))
            .unwrap()
            .warning;
        assert_eq!(warning, Some(Warning::Evicts("allkeys-lru".to_owned())));
        let volatile = [("maxmemory_policy", "volatile-lru"), ("maxmemory", "1000")];
        assert_eq!(read(&info(&volatile)).unwrap().warning, None);
    }
}
