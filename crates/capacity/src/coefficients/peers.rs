//! Coefficients of other servers, as far as they were measured beside ours; all else is the same
//! for both: sockets, cards, disks, prices.

use alloc::format;

use super::{Basis, Coefficients, Key, us};
use crate::range::Range;

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// nginx 1.22 with `proxy_cache`.
    Nginx,
    /// HAProxy 2.6 with its cache in memory.
    Haproxy,
}

/// What was measured of a peer.
struct Measured {
    name: &'static str,
    /// Beyond the bare responder's part of a hit of 1 KiB.
    parse: Range,
    send_kib: Range,
    /// What TLS adds to a small hit; connections that rest keep their keys.
    record: Range,
    seal_kib: Range,
    slot_bytes: f64,
    tls_slot_bytes: f64,
    how: &'static str,
}

impl Peer {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.measured().name
    }

    const fn measured(self) -> &'static Measured {
        match self {
            Self::Nginx => &NGINX,
            Self::Haproxy => &HAPROXY,
        }
    }
}

impl Coefficients {
    /// Of another server: these coefficients, with what was measured of it in their place.
    #[must_use]
    pub fn of_peer(&self, peer: Peer) -> Self {
        let measured = peer.measured();
        let mut table = self.clone();
        let source = format!("{}: {}", measured.name, measured.how);
        let floor = table.value(Key::Wake).likely / FLOOR_WAKE;
        let exact = Range::exact;
        let slot = exact(measured.slot_bytes);
        for (key, value) in [
            // On a machine that is slower or faster than the one of these figures, all of it is.
            (Key::Parse, measured.parse * exact(floor)),
            (Key::SendKib, measured.send_kib * exact(floor)),
            (Key::Record, measured.record * exact(floor)),
            (Key::RecordWake, Range::ZERO),
            (Key::SealKib, measured.seal_kib * exact(floor)),
            (Key::SlotBytes, slot),
            (Key::TlsSlotBytes, exact(measured.tls_slot_bytes - measured.slot_bytes)),
            (Key::WaitBytes, exact(EPOLL_BYTES)),
            (Key::WriteShare, exact(1.0)),
        ] {
            let _is_sound = table.set(key, value, Basis::Measured, &source);
        }
        let own = format!("{}: its worker asks the origin itself, and hears it", measured.name);
        let _is_sound = table.set(Key::FetchWakes, exact(1.0), Basis::Derived, &own);
        table
    }
}

const NGINX: Measured = Measured {
    name: "nginx 1.22",
    parse: us(6.2, 7.1, 8.1),
    send_kib: us(0.31, 0.5, 0.8),
    record: us(1.5, 2.0, 4.0),
    seal_kib: us(0.6, 0.68, 0.8),
    slot_bytes: 596.0,
    tls_slot_bytes: 15_500.0,
    how: "beside ours in one run, as multiples of ours (cargo xtask compare; cargo xtask bench hit \
          --tls --peers): 1.37–1.6 for a hit of 1 KiB, 2.4 for 1 MiB, 1.6 and 2.3 over TLS; 596 B \
          and 15.5 KB for an idle connection, plain and TLS; every stored byte is written",
};

const HAPROXY: Measured = Measured {
    name: "HAProxy 2.6",
    parse: us(3.0, 3.5, 4.0),
    send_kib: us(0.19, 0.35, 0.45),
    record: us(3.0, 5.3, 7.0),
    seal_kib: us(0.6, 0.73, 0.9),
    slot_bytes: 1100.0,
    tls_slot_bytes: 15_500.0,
    how: "beside ours in one run, as multiples of ours (cargo xtask compare; cargo xtask bench hit \
          --tls --peers): 1.08–1.2 for a hit of 1 KiB from its memory, 1.6 for 1 MiB, 1.6 and 2.1 \
          over TLS; 1.1 KB and 15.5 KB for an idle connection, plain and TLS. Its cache is memory \
          only: what it would write is not counted",
};

/// Likely wake of the machine on which the peers were measured, seconds.
const FLOOR_WAKE: f64 = 6.35e-6;
/// Kernel memory of a socket's registration with epoll (208 B), and of its place in the table of
/// descriptors.
const EPOLL_BYTES: f64 = 216.0;

#[cfg(test)]
mod tests {
    use super::{HAPROXY, Peer};
    use crate::coefficients::{Basis, Coefficients, Key};
    use crate::range::Range;

    #[test]
    fn a_peers_hit_is_the_one_that_was_measured() {
        let check = |peer: Peer, low: f64, high: f64| {
            let table = Coefficients::longhold().of_peer(peer);
            let parts = [Key::Wake, Key::Parse, Key::Send].map(|key| table.value(key));
            let hit = parts.into_iter().fold(Range::ZERO, |sum, part| sum + part);
            assert!((hit.low * 1e6 - low).abs() < 0.5, "{peer:?} {hit:?}");
            assert!((hit.high * 1e6 - high).abs() < 0.5, "{peer:?} {hit:?}");
        };
        check(Peer::Nginx, 14.4, 17.0);
        check(Peer::Haproxy, 11.2, 12.9);
    }

    #[test]
    fn a_peer_on_a_faster_machine_is_faster_too() {
        let mut fast = Coefficients::longhold();
        let half = fast.value(Key::Wake) * Range::exact(0.5);
        assert!(fast.set(Key::Wake, half, Basis::Measured, "a test"));
        let parse = fast.of_peer(Peer::Haproxy).value(Key::Parse);
        assert!((parse.likely - HAPROXY.parse.likely / 2.0).abs() < 1e-12);
    }

    #[test]
    fn every_replaced_row_names_its_source() {
        for peer in [Peer::Nginx, Peer::Haproxy] {
            let (ours, theirs) = (Coefficients::longhold(), Coefficients::longhold().of_peer(peer));
            for (ours, theirs) in ours.rows().iter().zip(theirs.rows()) {
                let is_ours = ours.value == theirs.value;
                assert!(is_ours || theirs.source.starts_with(peer.name()), "{}", ours.id);
            }
        }
    }
}
