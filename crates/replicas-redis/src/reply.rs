//! What a script returns, read as the reply to a call.

use redis::Value;
use replicas::store::Reply;
use replicas::{AddressKey, Instance, Member, Node, Owner, SessionKey};
use std::time::Duration;

/// The reply. `None`: it is not what a script of ours returns.
pub(crate) fn read(value: Value) -> Option<Reply> {
    let Value::Array(values) = value else {
        return None;
    };
    let mut values = Values(values.into_iter());
    let reply = match values.text()?.as_str() {
        "leased" => {
            let owner = Owner {
                node: Node(values.number()?),
                fence: values.number()?,
            };
            let is_new = values.number::<u8>()? != 0;
            let store = values.number()?;
            let run = values.number()?;
            let members = members(values.array()?)?;
            let addresses = values.array()?;
            let addresses = addresses
                .map(|address| Some(AddressKey(bytes(&as_text(address)?)?)))
                .collect::<Option<_>>()?;
            Reply::Leased {
                owner,
                is_new,
                store,
                run,
                members,
                addresses,
                seen: values.number()?,
                superseded: values.keys()?,
                superseded_seen: values.number()?,
                has_orphans: values.number::<u8>()? != 0,
                time: values.number()?,
            }
        }
        "no number" => Reply::NoNumber,
        "released" => Reply::Released,
        "created" => Reply::Created {
            start: values.number()?,
            end: values.number()?,
            former: match values.text()?.as_str() {
                "" => None,
                former => Some(owner(former)?),
            },
        },
        "superseded" => Reply::Superseded { key: values.key()? },
        "orphans" => Reply::Orphans {
            keys: values.keys()?,
        },
        "exists" => Reply::Exists,
        "claimed" => Reply::Claimed {
            key: values.key()?,
            previous: values.owner()?,
            version: values.number()?,
            born: values.number()?,
            address: match values.text()?.as_str() {
                "" => None,
                address => Some(AddressKey(bytes(address)?)),
            },
            start: values.number()?,
            end: values.number()?,
            row: values.bytes()?,
        },
        "owned" => Reply::Owned { key: values.key()? },
        "owned by" => Reply::OwnedBy {
            key: values.key()?,
            owner: values.owner()?,
            remaining: Duration::from_millis(values.number()?),
        },
        "free" => Reply::Free { key: values.key()? },
        "missing" => Reply::Missing,
        "saved" if values.0.len() == 0 => Reply::Saved { block: None },
        "saved" => Reply::Saved {
            block: Some((values.number()?, values.number()?)),
        },
        "not owner" => Reply::NotOwner,
        "removed" => Reply::Removed,
        "not leased" => Reply::NotLeased,
        _ => return None,
    };
    (values.0.len() == 0).then_some(reply)
}

/// Node number and "fence instance address", one after the other.
fn members(mut values: Values) -> Option<Vec<Member>> {
    let mut members = Vec::new();
    while values.0.len() > 0 {
        let node = Node(values.number()?);
        let lease = values.text()?;
        let mut parts = lease.splitn(3, ' ');
        let fence = parts.next()?.parse().ok()?;
        let instance = Instance(bytes(parts.next()?)?);
        let address = parts.next()?.parse().ok()?;
        members.push(Member {
            owner: Owner { node, fence },
            instance,
            address,
        });
    }
    Some(members)
}

fn owner(text: &str) -> Option<Owner> {
    let (node, fence) = text.split_once('.')?;
    Some(Owner {
        node: Node(node.parse().ok()?),
        fence: fence.parse().ok()?,
    })
}

struct Values(std::vec::IntoIter<Value>);

impl Iterator for Values {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.0.next()
    }
}

impl Values {
    fn text(&mut self) -> Option<String> {
        as_text(self.0.next()?)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    fn key(&mut self) -> Option<SessionKey> {
        Some(SessionKey(bytes(&self.text()?)?))
    }

    fn keys(&mut self) -> Option<Vec<SessionKey>> {
        let keys = self.array()?;
        let keys = keys.map(|key| Some(SessionKey(bytes(&as_text(key)?)?)));
        keys.collect()
    }

    fn owner(&mut self) -> Option<Owner> {
        owner(&self.text()?)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let Value::BulkString(bytes) = self.0.next()? else {
            return None;
        };
        Some(bytes)
    }

    fn array(&mut self) -> Option<Values> {
        let Value::Array(values) = self.0.next()? else {
            return None;
        };
        Some(Values(values.into_iter()))
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the server's other types, of which there will be more, are no text"
)]
pub(crate) fn as_text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(text) => String::from_utf8(text).ok(),
        Value::SimpleString(text) => Some(text),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Hexadecimal digits as bytes.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}
