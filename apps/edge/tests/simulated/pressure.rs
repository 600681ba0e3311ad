//! What a worker does while the governor has it save.

use longhold_conn::State;
use longhold_edge::pressure::Level;
use longhold_transport::Transport as _;
use longhold_transport::sim::Profile;

use crate::stage::Stage;

#[test]
fn newcomers_are_refused_under_pressure_and_those_who_are_in_stay() {
    let mut stage = Stage::new(1, Profile::default());
    stage.store("/x", b"hello");
    let before = stage.client();
    stage.run_for_ms(100);
    stage.pressure.set(Level::RefuseNewcomers, 0, 0);
    let refused = stage.client();
    stage.run_for_ms(100);
    assert!(refused.is_ended() || refused.is_reset());
    assert_eq!(stage.count(State::Parked), 1);
    let answer = stage.exchange(&before, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with(b"hello"));

    stage.pressure.set(Level::Calm, 1, 0);
    let after = stage.client();
    stage.run_for_ms(100);
    assert!(!after.is_ended() && !after.is_reset());
    drop((before, refused, after));
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn pools_give_back_what_nobody_uses_and_nobody_rests_with_a_buffer() {
    let mut stage = Stage::new(2, Profile::default());
    stage.store("/x", b"hello");
    let client = stage.client();
    let get = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    stage.exchange(&client, get);
    stage.run_for_ms(10_000);
    assert!(stage.worker.transport().buffer_count() > 0, "a pool keeps its buffers");
    stage.pressure.set(Level::ShrinkPools, 100, 0);
    stage.run_for_ms(10_000);
    assert_eq!(stage.worker.transport().buffer_count(), 0);
    assert!(stage.exchange(&client, get).ends_with(b"hello"));
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}
