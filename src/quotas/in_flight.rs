//! Calls to ThingsBoard for devices' requests: how many each device may have at once, and of which kind.
//!
//! A call counts towards its *device's* limit until it ends, whichever session it is for: a device that opens many
//! sessions may have no more calls than a device with one. (Calls of an unregistered certificate count for its source
//! address.) When a session ends, its calls without a side effect (GETs, client-side RPCs) are aborted; those that post
//! telemetry, attributes, claims and replies to commands continue.
//!
//! ThingsBoard may leave two kinds unanswered, so each has a lower limit of its own: a client-side RPC that no rule
//! chain answers, and a GET above the device's rate limit.

use crate::device::Device;
use crate::dtls::SessionId;
use crate::mapping::response::AnswerKind;
use crate::upstream::CallLimits;
use coap::ExchangeId;
use shares::{Counts, Refused, source};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The device or source address that a call counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A registered device, by name.
    Device(Arc<str>),
    /// The source address of a session whose certificate is not registered.
    Source(IpAddr),
}

impl Holder {
    /// The device of a session, or its source address where its certificate is not registered.
    pub(crate) fn of(device: Option<&Device>, remote: IpAddr) -> Holder {
        match device {
            Some(device) => Holder::Device(device.name.clone()),
            None => Holder::Source(source::host(remote)),
        }
    }
}

/// The kind of a call; its limits depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallClass {
    /// A POST: it has an effect in ThingsBoard even if its answer is discarded.
    Post,
    /// A GET of attributes.
    Get,
    /// A client-side RPC, which a rule chain answers.
    ClientRpc,
}

impl CallClass {
    fn of(expect: AnswerKind) -> CallClass {
        match expect {
            AnswerKind::Created | AnswerKind::CommandReply(_) | AnswerKind::Provisioned => {
                CallClass::Post
            }
            AnswerKind::Attributes | AnswerKind::Registration => CallClass::Get,
            AnswerKind::RpcReply => CallClass::ClientRpc,
        }
    }
}

/// The limit that a refused call would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// `upstream.max_in_flight`
    Whole,
    /// `upstream.max_in_flight_per_device`, or an even share of the whole.
    Device,
    /// `upstream.max_client_rpc`, or a device's share of it.
    ClientRpc,
}

#[derive(Debug)]
struct Open {
    holder: Holder,
    expect: AnswerKind,
}

/// The calls that have begun and not ended.
#[derive(Debug)]
pub(crate) struct InFlight {
    all: Counts<Holder>,
    gets: Counts<Holder>,
    client_rpc: Counts<Holder>,
    open: BTreeMap<(SessionId, ExchangeId), Open>,
}

impl InFlight {
    /// `whole`: `upstream.max_in_flight`.
    pub(crate) fn new(whole: usize, calls: CallLimits) -> InFlight {
        // Calls that may go unanswered take no more than a quarter of a device's share.
        let quarter = calls.per_device.div_ceil(4);
        InFlight {
            all: Counts::new(whole, calls.per_device),
            gets: Counts::new(whole, quarter),
            client_rpc: Counts::new(calls.client_rpc.min(whole), quarter),
            open: BTreeMap::new(),
        }
    }

    /// Records that a call begins for this holder, or returns the limit that it would exceed.
    pub(crate) fn begin(
        &mut self,
        holder: Holder,
        session: SessionId,
        exchange: ExchangeId,
        expect: AnswerKind,
    ) -> Result<(), Full> {
        let kind = match CallClass::of(expect) {
            CallClass::Post => None,
            CallClass::Get => Some((&mut self.gets, Full::Device)),
            CallClass::ClientRpc => Some((&mut self.client_rpc, Full::ClientRpc)),
        };
        self.all
            .take(holder.clone())
            .map_err(|refused| match refused {
                Refused::Whole => Full::Whole,
                Refused::Share => Full::Device,
            })?;
        if let Some((counts, full)) = kind
            && counts.take(holder.clone()).is_err()
        {
            self.all.release(&holder);
            return Err(full);
        }
        self.open
            .insert((session, exchange), Open { holder, expect });
        Ok(())
    }

    /// Whether this holder has used its share: its further requests wait until one of its calls ends.
    pub(crate) fn holds_back(&self, holder: &Holder) -> bool {
        self.all.is_shared() && self.all.has_its_share(holder)
    }

    /// Records the end of a call, and returns the holder that it counted for; `None` if it was aborted before.
    pub(crate) fn end(&mut self, session: SessionId, exchange: ExchangeId) -> Option<Holder> {
        let Open { holder, expect } = self.open.remove(&(session, exchange))?;
        self.all.release(&holder);
        match CallClass::of(expect) {
            CallClass::Post => {}
            CallClass::Get => self.gets.release(&holder),
            CallClass::ClientRpc => self.client_rpc.release(&holder),
        }
        Some(holder)
    }

    /// Aborts one call of an ended session that has no effect but its answer, and returns it; `None` if there is none
    /// left.
    pub(crate) fn abort_one(&mut self, session: SessionId) -> Option<(ExchangeId, AnswerKind)> {
        let all = (session, ExchangeId(0))..=(session, ExchangeId(u32::MAX));
        let (exchange, expect) = self
            .open
            .range(all)
            .find(|(_, open)| CallClass::of(open.expect) != CallClass::Post)
            .map(|((_, exchange), open)| (*exchange, open.expect))?;
        self.end(session, exchange);
        Some((exchange, expect))
    }

    /// The number of calls in flight.
    pub(crate) fn count(&self) -> usize {
        self.all.count()
    }

    /// The number of client-side RPCs in flight.
    pub(crate) fn client_rpc(&self) -> usize {
        self.client_rpc.count()
    }

    /// The number of calls of the holder that has the most.
    #[cfg(test)]
    pub(crate) fn most_of_one(&self) -> usize {
        let mut by_holder = std::collections::HashMap::<_, usize>::new();
        for open in self.open.values() {
            *by_holder.entry(&open.holder).or_default() += 1;
        }
        by_holder.into_values().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        calls: InFlight,
        last: u32,
    }

    impl Bench {
        fn new(whole: usize) -> Bench {
            let calls = CallLimits::default();
            Bench {
                calls: InFlight::new(whole, calls),
                last: 0,
            }
        }

        /// Begins calls of this device in one session until one is refused; returns their number and the limit.
        fn fill(&mut self, device: &str, session: u64, expect: AnswerKind) -> (usize, Full) {
            for count in 0.. {
                self.last += 1;
                let holder = Holder::Device(device.into());
                let (session, exchange) = (SessionId(session), ExchangeId(self.last));
                if let Err(full) = self.calls.begin(holder, session, exchange, expect) {
                    return (count, full);
                }
            }
            panic!("no limit was reached");
        }
    }

    #[test]
    fn a_devices_share_does_not_depend_on_the_number_of_its_sessions() {
        let mut bench = Bench::new(1024);
        assert_eq!(bench.fill("a", 1, AnswerKind::Created), (64, Full::Device));
        assert_eq!(bench.fill("a", 2, AnswerKind::Created), (0, Full::Device));
        assert_eq!(bench.fill("b", 3, AnswerKind::Created), (64, Full::Device));
        assert_eq!(bench.calls.count(), 128);
    }

    #[test]
    fn client_rpcs_and_gets_have_lower_limits_of_their_own() {
        let mut bench = Bench::new(1024);
        for device in 0..40 {
            let name = format!("d{device}");
            let (rpcs, full) = bench.fill(&name, device, AnswerKind::RpcReply);
            // Once half of the limit is used, shares are even.
            assert!(rpcs <= 16 && full == Full::ClientRpc);
        }
        assert_eq!(bench.calls.client_rpc(), 256);
        let (gets, full) = bench.fill("other", 50, AnswerKind::Attributes);
        assert_eq!((gets, full), (16, Full::Device));
        let (posts, _) = bench.fill("other", 50, AnswerKind::Created);
        assert_eq!(posts, 48, "the rest of its share");
    }

    #[test]
    fn a_call_counts_until_it_ends_and_the_end_of_a_session_aborts_calls_without_effect() {
        let mut bench = Bench::new(1024);
        let expects = [
            AnswerKind::Created,
            AnswerKind::RpcReply,
            AnswerKind::Attributes,
            AnswerKind::CommandReply(7),
            AnswerKind::Registration,
            AnswerKind::Provisioned,
        ];
        for (exchange, expect) in (0..).zip(expects) {
            let holder = Holder::Device("a".into());
            let begun = bench
                .calls
                .begin(holder, SessionId(1), ExchangeId(exchange), expect);
            assert_eq!(begun, Ok(()));
        }
        let mut aborted = Vec::new();
        while let Some((_, expect)) = bench.calls.abort_one(SessionId(1)) {
            aborted.push(expect);
        }
        let expected = [
            AnswerKind::RpcReply,
            AnswerKind::Attributes,
            AnswerKind::Registration,
        ];
        assert_eq!(aborted, expected);
        assert_eq!((bench.calls.count(), bench.calls.client_rpc()), (3, 0));
        let mut end = |exchange| bench.calls.end(SessionId(1), ExchangeId(exchange));
        assert_eq!(end(1), None, "aborted");
        assert_eq!(end(0), Some(Holder::Device("a".into())));
        assert_eq!(end(0), None, "ended before");
        assert_eq!(bench.calls.count(), 2);
    }
}
