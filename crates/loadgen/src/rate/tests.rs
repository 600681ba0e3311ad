//! The closed loop against a scripted server: what is right is counted, what is wrong is named
//! (LG-2), and every load ends (LG-4, LG-5).
//!
//! Nothing here asserts on time; the timeouts of tests that need one to pass are short.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use super::{RateReport, rate};
use crate::catalog::{Catalog, Demand};
use crate::plan::{ACTIVE_MAX, End, LoadError, Moment, RatePlan};
use crate::scripted::{Asked, aim, answer_of, right_answer, serve, transport};

fn plan(address: SocketAddr) -> RatePlan {
    RatePlan {
        aim: aim(address),
        catalog: None,
        connections: 4,
        warmup_requests: 0,
        end: End::Requests(40),
    }
}

fn run(plan: &RatePlan) -> RateReport {
    rate(&mut transport(), plan, &mut |_: Moment| {}).expect("the load runs")
}

fn check(script: impl Fn(Asked) -> bool + Send + Sync + 'static, fault: &str) {
    let report = run(&plan(serve(script)));
    assert!(report.faults.count(fault) > 0, "{fault}: {report:?}");
    assert_eq!(report.faults.count(fault), report.faults.total(), "{fault}: {report:?}");
}

#[test]
fn right_answers_are_counted_with_bytes_and_hits() {
    let address = serve(|mut asked| {
        let hit = asked.request > 0;
        asked.answer(if hit { "Cache-Status: a; hit\r\n" } else { "Cache-Status: a; fwd=miss\r\n" })
    });
    let report = run(&plan(address));
    assert_eq!(report.answers.count, 40);
    assert_eq!(report.answers.body_bytes, 40 * 3000);
    assert_eq!(report.answers.hits, 36, "all but the first on each of four connections");
    assert_eq!(report.answers.hit_ratio, Some(0.9));
    assert_eq!((report.faults.total(), report.unanswered, report.reopened), (0, 0, 0));
    assert_eq!(report.answers.latency.count, 40);
    let last = report.series.points().last().expect("a point").counts;
    assert_eq!((last.opened, last.held, last.answers, last.faults), (4, 4, 40, 0));
}

#[test]
fn warm_up_is_verified_and_not_counted() {
    let address = serve(|mut asked| asked.answer(""));
    let plan = RatePlan { warmup_requests: 20, ..plan(address) };
    let mut moments = Vec::new();
    let report = rate(&mut transport(), &plan, &mut |moment: Moment| moments.push(moment))
        .expect("the load runs");
    assert_eq!(report.answers.count, 40);
    assert_eq!(report.answers.hit_ratio, None);
    assert_eq!(moments, [Moment::Begin, Moment::WarmedUp, Moment::Counted]);
}

#[test]
fn a_wrong_byte_is_reported() {
    check(
        |mut asked| {
            let mut answer = right_answer("");
            if asked.request == 5
                && let Some(last) = answer.last_mut()
            {
                *last ^= 1;
            }
            asked.write(answer)
        },
        "wrong-body",
    );
}

#[test]
fn a_wrong_byte_in_one_key_of_many_is_reported() {
    let paths = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&paths);
    let address = serve(move |mut asked| {
        let mut answer = answer_of(&asked.path, "");
        if asked.path == "/bytes/3000/7"
            && let Some(last) = answer.last_mut()
        {
            *last ^= 1;
        }
        seen.lock().expect("no panic").insert(asked.path.clone());
        asked.write(answer)
    });
    let plan = plan(address);
    let demand = Demand { exponent: 0.0, seed: 3 };
    let catalog = Catalog::generated(&plan.aim.target, 10, &[], demand).expect("a catalog");
    let plan = RatePlan { catalog: Some(catalog), end: End::Requests(400), ..plan };
    let report = run(&plan);
    let wrong = report.faults.count("wrong-body");
    assert!((20..60).contains(&wrong), "a tenth: {report:?}");
    assert_eq!((report.faults.total(), report.answers.count), (wrong, 400 - wrong));
    assert_eq!(paths.lock().expect("no panic").len(), 10);
}

#[test]
fn a_truncated_answer_is_reported() {
    check(
        |mut asked| {
            let answer = right_answer("");
            if asked.request < 5 {
                return asked.write(answer);
            }
            asked.write(&answer[..answer.len() - 1]);
            false
        },
        "truncated",
    );
}

#[test]
fn answers_of_other_length_or_status_are_reported() {
    check(
        |mut asked| asked.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
        "wrong-length",
    );
    check(
        |mut asked| asked.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        "wrong-status",
    );
}

#[test]
fn closed_connections_and_silence_are_told_apart() {
    check(|_| false, "closed-unanswered");
    let address =
        serve(|mut asked| asked.request > 0 || asked.write("HTTP/1.1 200 OK\r\nContent-"));
    let mut plan = plan(address);
    plan.aim.answer_timeout_ms = 200;
    let report = run(&plan);
    assert_eq!(report.faults.count("answer-timed-out"), 4, "{report:?}");
    assert_eq!(report.answers.count, 0);
}

#[test]
fn garbage_and_surplus_bytes_are_reported() {
    check(|mut asked| asked.write("220 smtp.example ESMTP\r\n\r\n"), "bad-syntax");
    check(|mut asked| asked.write([right_answer(""), b"more".to_vec()].concat()), "unsolicited");
    let endless_head = || format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(200_000));
    check(move |mut asked| asked.write(endless_head()), "bad-syntax");
}

#[test]
fn slow_answers_are_waited_for() {
    let address = serve(|mut asked| {
        let answer = right_answer("");
        answer.chunks(400).all(|piece| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            asked.write(piece)
        })
    });
    let report = run(&plan(address));
    assert_eq!((report.answers.count, report.faults.total()), (40, 0));
}

#[test]
fn an_announced_close_is_followed_by_a_new_connection() {
    let address = serve(|mut asked| {
        let last = asked.request == 4;
        asked.answer(if last { "Connection: close\r\n" } else { "" }) && !last
    });
    let report = run(&plan(address));
    assert_eq!((report.answers.count, report.faults.total()), (40, 0), "{report:?}");
    assert!(report.reopened >= 4, "{report:?}");
}

#[test]
fn nobody_listening_ends_the_load() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let report = run(&plan(address));
    assert_eq!(report.faults.count("connect-refused"), 4);
}

#[test]
fn a_load_by_time_ends() {
    let address = serve(|mut asked| asked.answer(""));
    let report = run(&RatePlan { end: End::AfterMs(50), ..plan(address) });
    assert!(report.answers.count > 0);
    assert_eq!((report.faults.total(), report.unanswered), (0, 0));
}

#[test]
fn the_time_limit_leaves_requests_unanswered() {
    let address = serve(|_| true);
    let mut plan = plan(address);
    plan.aim.time_max_ms = 100;
    let report = run(&plan);
    assert_eq!((report.answers.count, report.unanswered), (0, 4));
}

#[test]
fn plans_that_cannot_be_carried_out_are_refused() {
    let address = serve(|mut asked| asked.answer(""));
    let refused = |connections| {
        let plan = RatePlan { connections, ..plan(address) };
        rate(&mut transport(), &plan, &mut |_: Moment| {}).err()
    };
    let max = ACTIVE_MAX;
    assert_eq!(refused(0), Some(LoadError::Connections { asked: 0, max }));
    assert_eq!(refused(max + 1), Some(LoadError::Connections { asked: max + 1, max }));
    assert_eq!(refused(65), Some(LoadError::Slots { slots: 64, asked: 65 }));
}
