//! Datagrams of sessions that another gateway may have: by a connection ID of the group, or by an address at which one of its
//! sessions is.

use super::super::Core;
use crate::dtls::{Found, Path, Transmit};
use std::time::Instant;

impl Core {
    /// Passes a datagram to the group, if it belongs there. `false`: it is for the endpoint alone.
    pub(in crate::gateway::core) fn receive_in_group(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
    ) -> bool {
        let Some(group) = &mut self.group else {
            return false;
        };
        let here = replicas::Path {
            remote: path.remote,
            local: path.local,
        };
        match self.sessions.dtls.find(path, datagram) {
            Found::Session(session) => {
                let member = group.members.get(session);
                let Some(member) = member.filter(|member| !group.replica.serves(now, member.key))
                else {
                    return false;
                };
                let key = member.key;
                (group.replica).received_for_session(now, key, here, datagram.to_vec());
            }
            Found::ConnectionId(id) => {
                let Some(key) = group.ids.check(id) else {
                    return false;
                };
                (group.replica).received_for_session(now, key, here, datagram.to_vec());
            }
            Found::NoSession => {
                let address = group.addresses.name(path.remote);
                let is_known =
                    (group.replica).received_from_address(now, address, here, datagram.to_vec());
                if !is_known {
                    return false;
                }
            }
            Found::Other => {
                // Behind a record in plaintext may be one of the path's session.
                let session = self.sessions.dtls.session_of(path, datagram);
                if session.is_none_or(|session| self.may_send(now, session)) {
                    return false;
                }
                self.tap.begin(now, datagram.len());
                (self.sessions.dtls).receive_for_handshakes(now, path, datagram);
                self.settle(now);
                return true;
            }
        }
        self.run_group_outputs(now);
        true
    }

    /// Sends a datagram by the gateway to whose socket the device sends.
    pub(in crate::gateway::core) fn send_by_another(&mut self, transmit: Transmit) {
        let Some(group) = &mut self.group else {
            return;
        };
        if let Some(route) = group.route(transmit.path) {
            group.replica.send(route, transmit.datagram);
        }
        let now = group.now;
        self.run_group_outputs(now);
    }
}
