//! Tickets over rotations, and what is no ticket.

use std::time::{Duration, Instant};

use rustls::server::ProducesTickets as _;

use super::{NAME_BYTES, SEALED_MAX, Ticketer};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn ticket_opens_to_what_was_sealed() {
    let now = Instant::now();
    let ticketer = Ticketer::new(HOUR, now).unwrap();
    for plain in [&b""[..], b"x", &[7; 5000]] {
        let ticket = ticketer.seal_at(plain, now).unwrap();
        assert_eq!(ticketer.open_at(&ticket, now).unwrap(), plain);
        assert_ne!(ticketer.seal_at(plain, now).unwrap(), ticket, "nonces are random");
    }
}

#[test]
fn changed_or_foreign_tickets_do_not_open() {
    let now = Instant::now();
    let ticketer = Ticketer::new(HOUR, now).unwrap();
    let ticket = ticketer.seal_at(b"secret", now).unwrap();
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert!(ticketer.open_at(&changed, now).is_none(), "byte {at}");
    }
    for length in 0..ticket.len() {
        assert!(ticketer.open_at(&ticket[..length], now).is_none(), "length {length}");
    }
    assert!(Ticketer::new(HOUR, now).unwrap().open_at(&ticket, now).is_none());
    let long = [ticket.as_slice(), &[0; 70_000]].concat();
    assert!(ticketer.open_at(&long, now).is_none());
}

#[test]
fn ticket_is_good_for_one_to_two_rotations() {
    let start = Instant::now();
    for (sealed, opened, is_good) in [
        (0, 59, true),
        (0, 61, true),
        (0, 119, true),
        (0, 121, false),
        (59, 119, true),
        (59, 121, false),
        (61, 179, true),
        (61, 181, false),
    ] {
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let ticketer = Ticketer::new(HOUR, start).unwrap();
        let ticket = ticketer.seal_at(b"secret", at(sealed)).unwrap();
        // Others ask in between, or nobody does.
        for asks in [&[][..], &[70, 118]] {
            for &minutes in asks.iter().filter(|&&minutes| sealed < minutes && minutes < opened) {
                ticketer.seal_at(b"another", at(minutes)).unwrap();
            }
        }
        let found = ticketer.open_at(&ticket, at(opened));
        assert_eq!(found.is_some(), is_good, "sealed at {sealed}, opened at {opened}");
    }
}

/// SP 800-38D, 8.3: random nonces are good for so many only.
#[test]
fn key_changes_when_it_has_sealed_enough() {
    let now = Instant::now();
    let ticketer = Ticketer::new(HOUR, now).unwrap();
    let before = ticketer.seal_at(b"secret", now).unwrap();
    ticketer.keys.lock().unwrap().sealed = SEALED_MAX;
    let after = ticketer.seal_at(b"secret", now).unwrap();
    assert_ne!(before[..NAME_BYTES], after[..NAME_BYTES]);
    assert!(ticketer.open_at(&before, now).is_some() && ticketer.open_at(&after, now).is_some());
}

#[test]
fn lifetime_that_clients_are_told_is_bounded() {
    let now = Instant::now();
    assert_eq!(Ticketer::new(HOUR, now).unwrap().lifetime(), 7200);
    let week = 7 * 24 * 3600;
    assert_eq!(Ticketer::new(HOUR * 24 * 30, now).unwrap().lifetime(), week);
}
