//! Connections that somebody outside the worker has closed.

use longhold_conn::{CloseReason, State};
use longhold_transport::Token;
use longhold_transport::sim::Profile;

use crate::stage::{SLOTS, Stage};

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// Orders all connections that are in this state to be closed.
fn close_all(stage: &Stage, state: State) -> usize {
    let mut count = 0;
    for slot in 0..SLOTS {
        let cell = stage.slots.get(slot).expect("a slot");
        if cell.state() == state {
            let token = Token { slot, generation: cell.generation() };
            count += usize::from(stage.member.close(token, CloseReason::Ordered));
        }
    }
    count
}

#[test]
fn parked_connections_are_closed_from_outside() {
    let mut stage = Stage::new(1, Profile::default());
    let clients: Vec<_> = (0..3).map(|_| stage.client()).collect();
    stage.run_for_ms(100);
    assert_eq!(close_all(&stage, State::Parked), 3);
    assert_eq!(stage.count(State::Closing), 3, "moved before the worker knows");
    stage.run_for_ms(100);
    assert!(clients.iter().all(|client| client.is_ended() || client.is_reset()));
    drop(clients);
    stage.run_for_ms(100);
    stage.assert_clean();
}

/// The request and the order come in the same turn: the order was first.
#[test]
fn order_overtakes_a_request_that_comes_with_it() {
    let mut stage = Stage::new(2, Profile::default());
    stage.store("/x", b"hello");
    let client = stage.client();
    stage.run_for_ms(100);
    client.write(GET);
    assert_eq!(close_all(&stage, State::Parked), 1);
    stage.run_for_ms(100);
    assert!(client.read().is_empty() && (client.is_ended() || client.is_reset()));
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn connection_in_the_middle_of_an_exchange_is_closed_by_its_worker() {
    let mut stage = Stage::new(3, Profile::default());
    let client = stage.client();
    client.write(GET);
    stage.run_for_ms(100);
    let _job = stage.job();
    assert_eq!(close_all(&stage, State::Active), 1);
    assert_eq!(stage.count(State::Active), 1, "only its worker moves it");
    stage.run_for_ms(100);
    assert!(client.is_ended() || client.is_reset());
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

/// Those who come next have the slot, not the order.
#[test]
fn order_for_a_former_connection_concerns_nobody() {
    let mut stage = Stage::new(4, Profile::default());
    stage.store("/x", b"hello");
    let former = stage.client();
    stage.run_for_ms(100);
    let slot = (0..SLOTS).find(|slot| stage.slots.get(*slot).unwrap().state() == State::Parked);
    let slot = slot.expect("it is parked");
    let token = Token { slot, generation: stage.slots.get(slot).unwrap().generation() };
    drop(former);
    stage.run_for_ms(100);
    let next: Vec<_> = (0..SLOTS).map(|_| stage.client()).collect();
    stage.run_for_ms(100);
    assert!(!stage.member.close(token, CloseReason::Ordered));
    stage.run_for_ms(100);
    assert_eq!(stage.count(State::Parked), SLOTS as usize);
    drop(next);
    stage.run_for_ms(100);
    stage.assert_clean();
}
