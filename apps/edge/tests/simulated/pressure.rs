//! What a worker does while the governor has it save.

use longhold_conn::State;
use longhold_edge::pressure::Level;
use longhold_transport::sim::Profile;

use crate::stage::Stage;

#[test]
fn newcomers_are_refused_under_pressure_and_those_who_are_in_stay() {
    let mut stage = Stage::new(1, Profile::default());
    stage.store("/x", b"hello");
    let before = stage.client();
    stage.run_for_ms(100);
    stage.pressure.set(Level::RefuseNewcomers);
    let refused = stage.client();
    stage.run_for_ms(100);
    assert!(refused.is_ended() || refused.is_reset());
    assert_eq!(stage.count(State::Parked), 1);
    let answer = stage.exchange(&before, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with(b"hello"));

    stage.pressure.set(Level::Calm);
    let after = stage.client();
    stage.run_for_ms(100);
    assert!(!after.is_ended() && !after.is_reset());
    drop((before, refused, after));
    stage.run_for_ms(100);
    stage.assert_clean();
}
