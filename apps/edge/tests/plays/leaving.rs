//! Clients that leave while their origin is silent, and such as only look as if they had.

use crate::stage::{Edge, FRESH, Origin, reply};

/// What is asked for one client alone is given up with it.
#[test]
fn client_that_resets_is_noticed_at_once() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (method, fields) in [("POST", &["Content-Length: 0"][..]), ("DELETE", &[])] {
        let mut client = edge.client();
        client.ask(method, "/thing", fields);
        let call = origin.call_for(method, "/thing");
        client.reset();
        edge.wait_for_active(0);
        assert_eq!(call.sees_the_end(), b"");
    }
    assert_eq!(edge.left(), 2);
    assert_eq!(edge.counter("longhold_origin_errors_total{error=abandoned}"), 2);
}

/// One that says nothing when it goes is found out by what is said to it.
#[test]
fn client_that_goes_quietly_is_found_out() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("POST", "/thing", &["Content-Length: 4"]);
    client.say("body");
    let mut call = origin.call_for("POST", "/thing");
    assert_eq!(call.body(), b"body");
    drop(client);
    edge.wait_for_active(0);
    assert_eq!(call.sees_the_end(), b"");
}

/// One that has merely said all that it will say is spoken to, and has its answer.
#[test]
fn client_that_listens_on_is_kept() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/slow", &[]);
    client.half_close();
    let call = origin.call_for("GET", "/slow");
    client.hears("HTTP/1.1 100 Continue\r\n\r\n");
    call.answer(reply("200 OK", &[FRESH], "slow"));
    assert_eq!(client.response().body, b"slow");
    client.sees_the_end();
    // HTTP/1.0 knows nothing of the kind.
    let mut client = edge.client();
    client.say("GET /old HTTP/1.0\r\nHost: play.test\r\n\r\n");
    client.half_close();
    origin.call_for("GET", "/old").answer(reply("200 OK", &[FRESH], "old"));
    assert!(client.response().line.starts_with("HTTP/1.1 200"));
}

/// A response that is for all is fetched for those who come later.
#[test]
fn what_can_be_stored_is_fetched_without_its_client() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let call = origin.call_for("GET", "/page");
    client.reset();
    edge.wait_for_active(0);
    call.answer(reply("200 OK", &[FRESH], "page"));
    edge.wait_for_stored(1);
    assert!(edge.client().get("/page").is_hit());
}

/// A follower that has gone does not become a leader.
#[test]
fn nobody_who_has_gone_leads() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (mut leader, mut gone, mut stays) = (edge.client(), edge.client(), edge.client());
    leader.ask("GET", "/page", &[]);
    let call = origin.call_for("GET", "/page");
    gone.ask("GET", "/page", &["X-Who: gone"]);
    edge.wait_for_misses(2);
    stays.ask("GET", "/page", &["X-Who: stays"]);
    edge.wait_for_misses(3);
    gone.reset();
    edge.wait_for_active(2);
    call.hang_up();
    assert_eq!(leader.response().status, 502);
    let next = origin.call_for("GET", "/page");
    assert_eq!(next.field("X-Who"), Some("stays"));
    next.answer(reply("200 OK", &[FRESH], "page"));
    assert_eq!(stays.response().body, b"page");
}

/// Watched or not, a connection serves one request after the other, from rest and in a row.
#[test]
fn watched_connection_goes_on() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for round in 0..6 {
        let target = format!("/page/{round}");
        client.ask("GET", &target, &[]);
        if round % 2 == 0 {
            // The next request comes while the first waits.
            client.ask("GET", "/next", &[]);
        }
        origin.call_for("GET", &target).answer(reply("200 OK", &[FRESH], "page"));
        assert_eq!(client.response().body, b"page");
        if round % 2 == 0 {
            origin.call_for("GET", "/next").answer(reply("200 OK", &[], "next"));
            assert_eq!(client.response().body, b"next");
        }
        edge.wait_for_stored(round + 1);
        assert!(client.get(&target).is_hit());
        if round > 2 {
            edge.wait("a parked connection", |edge| edge.status()["connections"]["parked"] == 1);
        }
    }
    drop(client);
    edge.wait("no connection", |edge| edge.status()["connections"]["parked"] == 0);
}
