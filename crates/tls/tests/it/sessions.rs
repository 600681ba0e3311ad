//! Sessions of both record layers against each other, and what they do at rest and at the end.

use longhold_tls::limits::CONTROL_BYTES_MAX;
use longhold_tls::{
    Fault, Opened, PARKED_BYTES, Parked, RecordLayer, Role, Session, TrafficSecrets, WakeError,
};

use crate::pair::{Ends, open_all, seal_all};

const LAYERS: [RecordLayer; 2] = [RecordLayer::Own, RecordLayer::Rustls];

fn pairs() -> impl Iterator<Item = Ends> {
    LAYERS.into_iter().flat_map(|client| LAYERS.map(|server| Ends::new(client, server)))
}

/// TL-8.
#[test]
fn what_one_seals_the_other_opens() {
    for mut ends in pairs() {
        let request = vec![7; 100_000];
        ends.to_server.extend(seal_all(&mut ends.client, &request));
        assert_eq!(open_all(&mut ends.server, &mut ends.to_server).unwrap(), request);
        let answer = vec![9; 200_000];
        ends.to_client.extend(seal_all(&mut ends.server, &answer));
        assert_eq!(open_all(&mut ends.client, &mut ends.to_client).unwrap(), answer);
    }
}

/// TL-1, TL-4.
#[test]
fn session_goes_on_after_any_number_of_naps() {
    let mut ends = Ends::new(RecordLayer::Rustls, RecordLayer::Own);
    for _ in 0..50 {
        ends.talk();
        let Ok(parked) = ends.server.park() else { panic!("it cannot rest") };
        assert_eq!(size_of_val(&parked), PARKED_BYTES);
        assert!(!parked.is_none());
        let words = *parked.as_words();
        ends.server = Session::wake(Parked::from_words(words)).expect("it wakes");
        assert_eq!(ends.server.role(), Role::Server);
    }
}

#[test]
fn sessions_of_rustls_do_not_rest() {
    let ends = Ends::new(RecordLayer::Own, RecordLayer::Rustls);
    let Err(mut server) = ends.server.park() else { panic!("it rests") };
    assert!(!seal_all(&mut server, b"and goes on").is_empty());
    assert_eq!(Session::wake(Parked::from_words([0; 16])).err(), Some(WakeError::None));
}

#[test]
fn end_is_heard_on_either_side() {
    for mut ends in pairs() {
        ends.talk();
        ends.server.close_notify();
        assert!(ends.server.owes() && ends.server.is_closed());
        let mut output = [0; CONTROL_BYTES_MAX];
        let written = ends.server.control(&mut output);
        assert!(written > 0 && !ends.server.owes());
        assert_eq!(ends.server.seal(&[b"more"], &mut output), Err(Fault::Ended));

        let mut wire = [&output[..written], b"ignored"].concat();
        let closed = Ok(Opened::Closed { consumed: written });
        assert_eq!(ends.client.open(&mut wire), closed);
        assert!(ends.client.is_peer_closed() && !ends.client.is_closed());
        let closed = Ok(Opened::Closed { consumed: 7 });
        assert_eq!(ends.client.open(&mut wire[written..]), closed);
        // The other half goes on.
        ends.to_server.extend(seal_all(&mut ends.client, b"last words"));
        assert_eq!(open_all(&mut ends.server, &mut ends.to_server).unwrap(), b"last words");
    }
}

/// TL-6.
#[test]
fn broken_records_end_the_session_with_an_alert() {
    for mut ends in pairs() {
        ends.talk();
        let mut wire = seal_all(&mut ends.client, b"question");
        *wire.last_mut().unwrap() ^= 1;
        assert_eq!(open_all(&mut ends.server, &mut wire), Err(Fault::BadRecord));
        assert_eq!(ends.server.open(&mut wire), Err(Fault::Ended));
        assert_eq!(ends.server.seal(&[b"answer"], &mut [0; 500]), Err(Fault::Ended));
        let mut output = [0; CONTROL_BYTES_MAX];
        let written = ends.server.control(&mut output);
        let told = ends.client.open(&mut output[..written]);
        assert_eq!(told, Err(Fault::PeerAlert(longhold_tls::Alert::BAD_RECORD_MAC)));
        assert!(ends.server.park().is_err());
    }
}

#[test]
fn what_no_record_can_be_is_refused() {
    for mut ends in pairs() {
        let mut wire = *b"\x17\x03\x03\xff\xff";
        assert_eq!(ends.server.open(&mut wire), Err(Fault::RecordOverflow));
        assert!(ends.server.owes());
    }
    for mut ends in pairs() {
        let mut wire = *b"GET / HTTP/1.1\r\n\r\n";
        assert!(ends.server.open(&mut wire).is_err());
        assert!(ends.server.owes());
    }
}

/// Ours asks, both answer.
#[test]
fn keys_are_updated_on_request() {
    for peer in LAYERS {
        let mut ends = Ends::new(peer, RecordLayer::Own);
        for and_peer in [false, true, true] {
            ends.server.update_keys(and_peer);
            ends.talk();
            ends.talk();
        }
    }
}

/// TL-5: a session is made of another's handshake only if the secrets fit.
#[test]
fn secrets_that_lead_elsewhere_are_refused() {
    let mut fits = 0;
    for (wrong_secret, wrong_suite) in [(false, false), (true, false), (false, true)] {
        let (secrets, extracted, suite) = crate::differential::client_secrets();
        let mut said = TrafficSecrets::default();
        for (label, secret) in &secrets {
            let mut secret = secret.clone();
            secret[3] ^= u8::from(wrong_secret);
            said.note(label, &secret);
        }
        let suite = if wrong_suite { 0x1302 } else { suite };
        match Session::from_secrets(Role::Client, suite, &said, &extracted) {
            Ok(_) => fits += 1,
            Err(fault) => assert_eq!(fault, Fault::Internal),
        }
    }
    assert_eq!(fits, 1);
    let (_, extracted, suite) = crate::differential::client_secrets();
    let nothing = TrafficSecrets::default();
    assert!(Session::from_secrets(Role::Client, suite, &nothing, &extracted).is_err());
    let old = Session::from_secrets(Role::Client, 0xc02b, &nothing, &extracted);
    assert_eq!(old.err(), Some(Fault::Incompatible));
}
