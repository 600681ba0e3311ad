//! Waves against a scripted server: all come, all go, and who does not come is counted once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{WavesPlan, waves};
use crate::plan::{LoadError, Moment};
use crate::scripted::{aim, serve, transport};
use crate::series::Counts;

fn plan(address: SocketAddr) -> WavesPlan {
    WavesPlan { aim: aim(address), connections: 40, waves: 3, within_ms: 50, active_max: 16 }
}

#[test]
fn each_wave_is_held_and_dropped_whole() {
    let seen = Arc::new(AtomicU32::new(0));
    let asked = Arc::clone(&seen);
    let address = serve(move |mut request| {
        asked.fetch_add(1, Ordering::Relaxed);
        request.answer("")
    });
    let report =
        waves(&mut transport(), &plan(address), &mut |_: Moment| {}).expect("the load runs");
    assert_eq!(report.waves.len(), 3);
    assert!(report.waves.iter().all(|wave| (wave.held, wave.lost) == (40, 0)), "{report:?}");
    assert_eq!((report.answers.count, report.faults.total()), (120, 0));
    assert_eq!(seen.load(Ordering::Relaxed), 120);
}

#[test]
fn who_gets_no_answer_is_lost_with_its_reason_and_the_others_come() {
    let address = serve(|mut asked| asked.connection % 10 != 3 && asked.answer(""));
    let report =
        waves(&mut transport(), &plan(address), &mut |_: Moment| {}).expect("the load runs");
    assert_eq!(report.waves.iter().map(|wave| wave.lost).sum::<u32>(), 12);
    assert_eq!(report.answers.count, 108);
    let last = report.series.points().last().expect("a point").counts;
    let all = Counts { opened: 120, held: 36, lost: 12, answers: 108, faults: 12 };
    assert_eq!(last, all, "{report:?}");
    assert_eq!(report.faults.count("closed-unanswered"), 12);
}

#[test]
fn plans_beyond_the_bounds_are_refused() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let check = |change: fn(&mut WavesPlan), expected: LoadError| {
        let mut plan = plan(address);
        change(&mut plan);
        assert_eq!(waves(&mut transport(), &plan, &mut |_: Moment| {}).err(), Some(expected));
    };
    check(|plan| plan.waves = 0, LoadError::Waves);
    check(|plan| plan.within_ms = 0, LoadError::Waves);
    check(|plan| plan.active_max = 0, LoadError::Active { asked: 0 });
    check(|plan| plan.connections = 65, LoadError::Slots { slots: 64, asked: 65 });
}
