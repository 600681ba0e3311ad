//! Interim responses on their way to the client (RFC 9110 section 15.2): what the origin says
//! before its final response, and `100 Continue` when it says nothing.

use longhold_conn::deadline::Flow;
use longhold_gateway::relay;
use longhold_http1::emit;
use longhold_transport::Transport;

use super::Worker;
use super::active::Phase;
use crate::outgoing::{Outgoing, Piece};

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// The client waits to hear whether its body is wanted: that is the origin's to say, for so
    /// long (RFC 9110 section 10.1.1).
    pub(super) fn await_continue(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.conn.awaits_continue() {
            active.continue_since_ms = Some(now_ms);
            self.schedule(index);
        }
    }

    /// The client is told to send its body, unless it does already.
    pub(super) fn give_continue(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        if !active.conn.interim() {
            return;
        }
        // The body is due from here on.
        active.rx_flow = active.rx_flow.as_ref().map(|_| Flow::start(now_ms));
        self.send_interim(index, emit::CONTINUE);
        self.schedule(index);
    }

    /// The origin says something before its response. An HTTP/1.0 client could not read it.
    pub(super) fn on_interim(&mut self, index: u32, status: u16, fields: &[(String, Vec<u8>)]) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.phase != Phase::AwaitsFill || active.draft.is_http10 {
            return;
        }
        if status == 100 {
            return self.give_continue(index);
        }
        let fields: Vec<(&str, &[u8])> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let mut head = Vec::new();
        relay::write_interim(&mut head, status, &fields);
        self.send_interim(index, &head);
    }

    /// Sends an interim response, or keeps it until the one in flight is out. Over the bound it is
    /// left out: none of them is needed to understand the final one.
    pub(super) fn send_interim(&mut self, index: u32, head: &[u8]) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if !active.sending {
            let piece = Piece::Staged(bytes::Bytes::copy_from_slice(head));
            return self.send(index, Outgoing::new(None, piece));
        }
        if active.interim.len() + head.len() <= INTERIM_BYTES_MAX {
            active.interim.extend_from_slice(head);
        }
    }
}

/// Interim responses that wait for a client to take the one before.
const INTERIM_BYTES_MAX: usize = 64 * 1024;
