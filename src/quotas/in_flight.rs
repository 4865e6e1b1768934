//! Calls to ThingsBoard for devices' requests: how many each device may have at once, and of which kind.
//!
//! A call counts for its *device*, whatever session asked, until it has ended: a device that opens session after session
//! has no more of them than one that keeps its own. (A certificate that is not registered counts for its source address.)
//! When a session ends, its calls whose answer alone matters are given up; telemetry, attributes, claims and replies to
//! commands go on.
//!
//! Two kinds may be left without an answer by ThingsBoard, and so have bounds of their own below the whole: a
//! client-side RPC that no rule chain answers, and a GET above the rate that the device is allowed.

use crate::device::Device;
use crate::dtls::SessionId;
use crate::mapping::response::Expect;
use crate::upstream::CallLimits;
use coap::ExchangeId;
use shares::{Counts, Refused, source};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Who calls count for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A registered device, by name.
    Device(Arc<str>),
    /// Where certificates come from that are not registered.
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

/// What a call is, as far as its bounds go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A POST: it has an effect in ThingsBoard, whether or not anyone waits for the answer.
    Post,
    /// A GET of attributes.
    Get,
    /// A client-side RPC, which a rule chain answers.
    ClientRpc,
}

impl Kind {
    fn of(expect: Expect) -> Kind {
        match expect {
            Expect::Created | Expect::CommandReply(_) | Expect::Provisioned => Kind::Post,
            Expect::Attributes | Expect::Registration => Kind::Get,
            Expect::RpcReply => Kind::ClientRpc,
        }
    }
}

/// Which bound keeps a call from being made.
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
    expect: Expect,
}

/// Calls made and not ended.
#[derive(Debug)]
pub(crate) struct InFlight {
    all: Counts<Holder>,
    gets: Counts<Holder>,
    client_rpc: Counts<Holder>,
    open: BTreeMap<(SessionId, ExchangeId), Open>,
}

impl InFlight {
    /// None yet. `whole`: `upstream.max_in_flight`.
    pub(crate) fn new(whole: usize, calls: CallLimits) -> InFlight {
        // What may go unanswered takes no more than a quarter of a device's share.
        let quarter = calls.per_device.div_ceil(4);
        InFlight {
            all: Counts::new(whole, calls.per_device),
            gets: Counts::new(whole, quarter),
            client_rpc: Counts::new(calls.client_rpc.min(whole), quarter),
            open: BTreeMap::new(),
        }
    }

    /// A call is to be made for this holder.
    pub(crate) fn begin(
        &mut self,
        holder: Holder,
        session: SessionId,
        exchange: ExchangeId,
        expect: Expect,
    ) -> Result<(), Full> {
        let kind = match Kind::of(expect) {
            Kind::Post => None,
            Kind::Get => Some((&mut self.gets, Full::Device)),
            Kind::ClientRpc => Some((&mut self.client_rpc, Full::ClientRpc)),
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

    /// Whether further requests of this session have to wait until calls of its device end.
    pub(crate) fn holds_back(&self, holder: &Holder) -> bool {
        self.all.is_shared() && self.all.has_its_share(holder)
    }

    /// A call has ended: who it counted for. Nothing if it was given up before.
    pub(crate) fn end(&mut self, session: SessionId, exchange: ExchangeId) -> Option<Holder> {
        let Open { holder, expect } = self.open.remove(&(session, exchange))?;
        self.all.release(&holder);
        match Kind::of(expect) {
            Kind::Post => {}
            Kind::Get => self.gets.release(&holder),
            Kind::ClientRpc => self.client_rpc.release(&holder),
        }
        Some(holder)
    }

    /// Gives up a call of this session that has no effect but its answer, if there is one: the session has ended.
    pub(crate) fn give_up_one(&mut self, session: SessionId) -> Option<(ExchangeId, Expect)> {
        let all = (session, ExchangeId(0))..=(session, ExchangeId(u32::MAX));
        let (exchange, expect) = self
            .open
            .range(all)
            .find(|(_, open)| Kind::of(open.expect) != Kind::Post)
            .map(|((_, exchange), open)| (*exchange, open.expect))?;
        self.end(session, exchange);
        Some((exchange, expect))
    }

    /// Calls under way.
    pub(crate) fn count(&self) -> usize {
        self.all.count()
    }

    /// Client-side RPCs among them.
    pub(crate) fn client_rpc(&self) -> usize {
        self.client_rpc.count()
    }

    /// The most of one device.
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

        /// As many calls as this device may make from one session.
        fn fill(&mut self, device: &str, session: u64, expect: Expect) -> (usize, Full) {
            for count in 0.. {
                self.last += 1;
                let holder = Holder::Device(device.into());
                let (session, exchange) = (SessionId(session), ExchangeId(self.last));
                if let Err(full) = self.calls.begin(holder, session, exchange, expect) {
                    return (count, full);
                }
            }
            panic!("without bound");
        }
    }

    #[test]
    fn a_device_has_its_share_whatever_number_of_sessions_it_has() {
        let mut bench = Bench::new(1024);
        assert_eq!(bench.fill("a", 1, Expect::Created), (64, Full::Device));
        assert_eq!(bench.fill("a", 2, Expect::Created), (0, Full::Device));
        assert_eq!(bench.fill("b", 3, Expect::Created), (64, Full::Device));
        assert_eq!(bench.calls.count(), 128);
    }

    #[test]
    fn what_may_go_unanswered_has_a_quarter_of_it_and_client_rpc_a_quarter_of_the_whole() {
        let mut bench = Bench::new(1024);
        for device in 0..40 {
            let name = format!("d{device}");
            let (rpcs, full) = bench.fill(&name, device, Expect::RpcReply);
            // From half of the lane on shares are even.
            assert!(rpcs <= 16 && full == Full::ClientRpc);
        }
        assert_eq!(bench.calls.client_rpc(), 256);
        let (gets, full) = bench.fill("other", 50, Expect::Attributes);
        assert_eq!((gets, full), (16, Full::Device));
        let (posts, _) = bench.fill("other", 50, Expect::Created);
        assert_eq!(posts, 48, "its share, beside its GETs");
    }

    #[test]
    fn a_call_counts_until_it_ends_and_a_session_that_ends_gives_up_what_has_no_effect() {
        let mut bench = Bench::new(1024);
        let expects = [
            Expect::Created,
            Expect::RpcReply,
            Expect::Attributes,
            Expect::CommandReply(7),
            Expect::Registration,
            Expect::Provisioned,
        ];
        for (exchange, expect) in (0..).zip(expects) {
            let holder = Holder::Device("a".into());
            let begun = bench
                .calls
                .begin(holder, SessionId(1), ExchangeId(exchange), expect);
            assert_eq!(begun, Ok(()));
        }
        let mut given_up = Vec::new();
        while let Some((_, expect)) = bench.calls.give_up_one(SessionId(1)) {
            given_up.push(expect);
        }
        let expected = [Expect::RpcReply, Expect::Attributes, Expect::Registration];
        assert_eq!(given_up, expected);
        assert_eq!((bench.calls.count(), bench.calls.client_rpc()), (3, 0));
        let mut end = |exchange| bench.calls.end(SessionId(1), ExchangeId(exchange));
        assert_eq!(end(1), None, "given up");
        assert_eq!(end(0), Some(Holder::Device("a".into())));
        assert_eq!(end(0), None, "once");
        assert_eq!(bench.calls.count(), 2);
    }
}
