//! Collapsed requests whose leader fails or is slow, that wait too long, or that had better not
//! wait.

use crate::stage::{Call, Client, Edge, FRESH, Origin, Setting, reply};

/// So many clients have asked for the target and lead or follow.
fn crowd(edge: &Edge, target: &str, count: usize) -> Vec<Client> {
    let before = edge.counter("longhold_store_lookups_total{result=miss}");
    let ask = |_| {
        let mut client = edge.client();
        client.ask("GET", target, &[]);
        client
    };
    let clients = (0..count).map(ask).collect();
    edge.wait_for_misses(before + count as u64);
    clients
}

/// The leader's request was one that the origin cannot stand; the others' are not.
#[test]
fn follower_leads_when_the_leader_fails() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut leader = edge.client();
    leader.ask("GET", "/fragile", &["X-Poison: 1"]);
    let call = origin.call();
    let mut others = crowd(&edge, "/fragile", 3);
    call.reset();
    assert_eq!(leader.response().status, 502);
    let next = origin.call_for("GET", "/fragile");
    assert_eq!(next.field("X-Poison"), None);
    next.answer(reply("200 OK", &[FRESH], "whole"));
    for client in &mut others {
        assert_eq!(client.response().body, b"whole");
    }
    origin.was_left_alone();
    assert_eq!(edge.counter("longhold_coalesce_takeovers_total{leader=failed}"), 1);
}

/// An origin that is not there is not asked again for each of a crowd.
#[test]
fn failure_of_the_origin_as_a_whole_is_told_to_all_at_once() {
    let origin = Origin::start();
    let edge = Setting::before_with(&origin, "connections_max = 1").start();
    let mut first = edge.client();
    first.ask("GET", "/first", &[]);
    let call = origin.call();
    // The only connection is in use: the leader of these waits for its turn.
    let mut clients = crowd(&edge, "/gone", 4);
    drop(origin);
    call.hang_up();
    assert_eq!(first.response().status, 502);
    for client in &mut clients {
        assert_eq!(client.response().status, 502);
    }
    assert_eq!(edge.fetches(), 2);
}

/// The head does not come: another asks beside the leader, then one more, and whose answer comes
/// first is all's.
#[test]
fn slow_leader_is_overtaken() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).limits("leader_wait = \"50ms\"").start();
    for winner in 0..3 {
        let target = format!("/slow/{winner}");
        let ask = |number: usize| {
            let mut client = edge.client();
            client.ask("GET", &target, &[&format!("X-Who: {number}")]);
            client
        };
        let mut clients = vec![ask(0)];
        let who = |call: &Call| call.field("X-Who").and_then(|who| who.parse().ok());
        let mut calls = vec![origin.call_for("GET", &target)];
        clients.extend((1..5).map(ask));
        calls.extend((0..2).map(|_| origin.call_for("GET", &target)));
        let asked: Vec<usize> = calls.iter().map(|call| who(call).expect("a number")).collect();
        edge.wait_for_active(5);
        calls.remove(winner).answer(reply("200 OK", &[FRESH], "one answer"));
        // All have it but those whose own questions are still open.
        for (number, client) in clients.iter_mut().enumerate() {
            if number == asked[winner] || !asked.contains(&number) {
                assert_eq!(client.response().body, b"one answer", "{number} of {asked:?}");
            }
        }
        calls.into_iter().for_each(|call| call.answer(reply("200 OK", &[FRESH], "late")));
        for number in asked.iter().copied().filter(|number| *number != asked[winner]) {
            assert_eq!(clients[number].response().body, b"late", "{number} of {asked:?}");
        }
        edge.wait_for_stored(winner as u64 + 1);
        assert_eq!(edge.client().get(&target).body, b"one answer");
        drop(clients);
        edge.wait_for_active(0);
    }
    origin.was_left_alone();
    assert_eq!(edge.counter("longhold_coalesce_takeovers_total{leader=slow}"), 6);
    assert_eq!(edge.counter("longhold_store_stored_total"), 3);
}

/// While both fail or hang, the crowd is bounded in what it asks of the origin.
#[test]
fn leaders_of_one_key_are_few() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).limits("leader_wait = \"10ms\"").start();
    let mut clients = crowd(&edge, "/stuck", 12);
    let calls: Vec<_> = (0..3).map(|_| origin.call_for("GET", "/stuck")).collect();
    // Each of the three would be overtaken by now, could it be.
    let mut other = edge.client();
    other.ask("GET", "/other", &[]);
    let mut second = crowd(&edge, "/other", 1);
    let other_calls: Vec<_> = (0..2).map(|_| origin.call_for("GET", "/other")).collect();
    assert_eq!(edge.fetches(), 5);
    for call in calls.into_iter().chain(other_calls) {
        call.answer(reply("200 OK", &[FRESH], "at last"));
    }
    for client in clients.iter_mut().chain(&mut second).chain([&mut other]) {
        assert_eq!(client.response().body, b"at last");
    }
    origin.was_left_alone();
}

/// A follower's patience has a bound: then it asks for itself.
#[test]
fn follower_that_has_waited_too_long_goes_on_alone() {
    let origin = Origin::start();
    let limits = "follower_wait = \"50ms\"\nleader_wait = \"1h\"";
    let edge = Setting::before(&origin).limits(limits).start();
    let mut leader = edge.client();
    leader.ask("GET", "/late", &["X-Who: first"]);
    let leading = origin.call();
    let mut follower = crowd(&edge, "/late", 1).remove(0);
    let own = origin.call_for("GET", "/late");
    assert_eq!(own.field("X-Who"), None);
    own.answer(reply("200 OK", &[FRESH], "own"));
    assert_eq!(follower.response().body, b"own");
    leading.answer(reply("200 OK", &[FRESH], "leading"));
    assert_eq!(leader.response().body, b"leading");
    assert_eq!(edge.counter("longhold_coalesce_left_total"), 1);
    assert_eq!(edge.counter("longhold_coalesce_takeovers_total{leader=slow}"), 0);
}

/// Hit-for-miss: what was for its asker alone is asked for side by side from then on.
#[test]
fn requests_for_what_is_not_shared_do_not_queue() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (round, field) in
        ["Cache-Control: private", "Cache-Control: no-store", "Vary: *"].iter().enumerate()
    {
        let target = format!("/own/{round}");
        client.ask("GET", &target, &[]);
        origin.call_for("GET", &target).answer(reply("200 OK", &[field], "mine"));
        assert_eq!(client.response().body, b"mine");
        let mut clients = crowd(&edge, &target, 3);
        // All three are there though none is answered.
        let calls: Vec<_> = (0..3).map(|_| origin.call_for("GET", &target)).collect();
        for call in calls {
            call.answer(reply("200 OK", &[field], "own"));
        }
        clients.iter_mut().for_each(|client| assert_eq!(client.response().body, b"own"));
    }
    assert_eq!(edge.counter("longhold_coalesce_bypassed_total"), 9);

    // The first that may be stored is, and ends it.
    client.ask("GET", "/own/0", &[]);
    origin.call_for("GET", "/own/0").answer(reply("200 OK", &[FRESH], "everybody's"));
    assert_eq!(client.response().cache(), "longhold; fwd=uri-miss; stored");
    edge.wait_for_stored(1);
    assert!(client.get("/own/0").is_hit());
    assert!(edge.purge("http://play.test/own/0"));
    let mut clients = crowd(&edge, "/own/0", 3);
    origin.call_for("GET", "/own/0").answer(reply("200 OK", &[FRESH], "everybody's"));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().body, b"everybody's"));
    origin.was_left_alone();
}

/// What is about one request says nothing about the next (RFC 9111 section 3.5).
#[test]
fn credentials_are_remembered_for_requests_with_credentials_alone() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let secret = "Authorization: Basic c2VjcmV0";
    let mut owner = edge.client();
    owner.ask("GET", "/account", &[secret]);
    origin.call().answer(reply("200 OK", &[FRESH], "yours"));
    assert_eq!(owner.response().body, b"yours");
    // Two with credentials: side by side.
    let mut two = [edge.client(), edge.client()];
    two.iter_mut().for_each(|client| client.ask("GET", "/account", &[secret]));
    let calls = [origin.call(), origin.call()];
    calls.into_iter().for_each(|call| call.answer(reply("200 OK", &[FRESH], "yours")));
    two.iter_mut().for_each(|client| assert_eq!(client.response().body, b"yours"));
    // Two without: one after the other.
    let mut crowd = crowd(&edge, "/account", 2);
    origin.call().answer(reply("200 OK", &[FRESH], "all's"));
    crowd.iter_mut().for_each(|client| assert_eq!(client.response().body, b"all's"));
    origin.was_left_alone();
}

/// What is forgotten in time is asked for together again.
#[test]
fn memory_of_what_is_not_shared_has_an_end() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).limits("hit_for_miss = \"10ms\"").start();
    let mut client = edge.client();
    client.ask("GET", "/short", &[]);
    origin.call().answer(reply("200 OK", &["Cache-Control: private"], "mine"));
    assert_eq!(client.response().body, b"mine");
    edge.wait("the memory's end", |edge| {
        let known = edge.counter("longhold_coalesce_bypassed_total");
        let mut client = edge.client();
        client.ask("GET", "/short", &[]);
        // An error neither renews the memory nor ends it.
        origin.call().answer(reply("500 Oops", &[], ""));
        assert_eq!(client.response().status, 500);
        edge.counter("longhold_coalesce_bypassed_total") == known
    });
}
