//! One fetch, many clients: leader and followers, their failures, and what must not be shared.

use crate::stage::{Client, Edge, FRESH, Origin, body_of, reply};

/// So many clients have asked for the target, and the origin has been asked once.
fn crowd(edge: &Edge, target: &str, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = edge.client();
        client.ask("GET", target, &[]);
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn followers_share_one_fetch_and_read_it_as_it_grows() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(3, 3 << 20);
    let mut clients = crowd(&edge, "/slow", 8);
    let mut call = origin.call_for("GET", "/slow");
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {}\r\n\r\n", body.len()));
    for part in body.chunks(body.len() / 4) {
        // Each client has this part before the origin says the next one.
        call.say(part);
        clients.iter_mut().for_each(|client| client.follows(part));
    }
    call.done();
    // One who comes late reads from the start.
    let late = edge.client().get("/slow");
    assert!(late.body == body);
    assert_eq!(edge.fetches(), 1);
    origin.was_left_alone();
    edge.wait_for("longhold_requests_total{cache=uri-miss}", 8);
    assert!(edge.counter("longhold_requests_coalesced_total") >= 7);
}

impl Client {
    /// Hears this part of a body; before its first part, the head.
    fn follows(&mut self, part: &[u8]) {
        if !self.is_inside() {
            let head = self.response_head();
            assert_eq!(head.status, 200);
            let cache = head.cache();
            let shared = ["longhold; fwd=uri-miss; stored", "longhold; fwd=uri-miss; collapsed"];
            assert!(shared.contains(&&*cache), "{cache}");
        }
        assert!(self.hear(part.len()) == part);
    }
}

#[test]
fn late_follower_reads_from_the_first_byte() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(4, 2 << 20);
    let (first, second) = body.split_at(body.len() - 1);
    let mut early = edge.client();
    early.ask("GET", "/late", &[]);
    let mut call = origin.call();
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {}\r\n\r\n", body.len()));
    call.say(first);
    early.follows(first);
    let mut late = edge.client();
    late.ask("GET", "/late", &[]);
    late.follows(first);
    call.answer(second);
    early.hears(second);
    late.hears(second);
    assert_eq!(edge.fetches(), 1);
}

/// However the body is framed, a part must not look like the whole.
#[test]
fn failure_of_the_origin_is_a_failure_for_leader_and_followers() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let heads = ["Content-Length: 5000", "Transfer-Encoding: chunked"];
    for (round, framing) in heads.iter().enumerate() {
        for reset in [false, true] {
            let target = format!("/broken/{round}/{reset}");
            let mut clients = crowd(&edge, &target, 4);
            let mut call = origin.call_for("GET", &target);
            call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\n{framing}\r\n\r\n"));
            call.say("5\r\nhello\r\n");
            let mut heads: Vec<_> = clients.iter_mut().map(Client::response_head).collect();
            if reset {
                call.reset()
            } else {
                call.hang_up()
            }
            for (client, head) in clients.iter_mut().zip(&mut heads) {
                assert_eq!(head.status, 200);
                assert!(!client.rest_of(head), "{framing}: a clean end after {:?}", head.body);
            }
            // Nothing of it was stored.
            let mut client = edge.client();
            client.ask("GET", &target, &[]);
            origin.call_for("GET", &target).answer(reply("200 OK", &[FRESH], "whole"));
            assert_eq!(client.response().body, b"whole");
        }
    }
}

#[test]
fn failure_before_a_head_is_told_to_all() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut clients = crowd(&edge, "/none", 6);
    let call = origin.call();
    edge.wait_for_misses(6);
    call.hang_up();
    // Two more try, in case that it was the first one's fault; not each of the crowd.
    (0..2).for_each(|_| origin.call_for("GET", "/none").hang_up());
    let mut codes: Vec<u16> = Vec::new();
    for client in &mut clients {
        let response = client.response();
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(body.contains("the origin closed the connection without a response"), "{body}");
        codes.push(response.status);
    }
    assert_eq!(codes, [502; 6]);
    origin.was_left_alone();
    assert_eq!(edge.fetches(), 3);
}

#[test]
fn leader_that_goes_away_leaves_its_followers_whole() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(5, 1 << 20);
    let mut leader = edge.client();
    leader.ask("GET", "/left", &[]);
    let mut call = origin.call();
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {}\r\n\r\n", body.len()));
    let (first, rest) = body.split_at(body.len() / 4);
    call.say(first);
    leader.follows(first);
    let mut followers = crowd(&edge, "/left", 3);
    followers.iter_mut().for_each(|follower| follower.follows(first));
    drop(leader);
    for part in rest.chunks(body.len() / 4) {
        call.say(part);
        followers.iter_mut().for_each(|follower| follower.hears(part));
    }
    edge.wait("the end", |edge| edge.left() == 1);
    edge.wait_for_stored(1);
    assert!(edge.client().get("/left").is_hit());
}

#[test]
fn fetch_that_is_stored_goes_on_without_any_client() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/alone", &[]);
    let mut call = origin.call();
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 100000\r\n\r\n"));
    assert_eq!(client.response_head().status, 200);
    drop(client);
    // Bytes that nobody takes are answered with a reset.
    let mut left = 100_000;
    while edge.left() == 0 {
        call.say("x");
        left -= 1;
    }
    call.answer("x".repeat(left));
    edge.wait_for_stored(1);
    let hit = edge.client().get("/alone");
    assert!(hit.is_hit() && hit.body == [b'x'; 100_000]);
}

#[test]
fn fetch_that_nobody_reads_and_nobody_stores_is_given_up() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/private", &[]);
    let mut call = origin.call();
    call.say("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 100000000\r\n\r\n");
    assert_eq!(client.response_head().status, 200);
    drop(client);
    // The origin would go on for long; it is told that there is no need.
    while call.try_say([b'x'; 1000]) {}
    edge.wait_for_active(0);
}

/// Responses that are for their asker alone: each of the crowd gets its own.
#[test]
fn followers_of_what_cannot_be_shared_go_on_their_own() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (round, field) in
        ["Cache-Control: private", "Cache-Control: no-store", "Vary: *"].iter().enumerate()
    {
        let target = format!("/own/{round}");
        let mut clients = crowd(&edge, &target, 4);
        let leading = origin.call_for("GET", &target);
        edge.wait_for_active(4);
        let mut number = 0;
        let mut answer = |call: crate::stage::Call| {
            number += 1;
            call.answer(reply("200 OK", &[field], format!("number {number}")));
        };
        answer(leading);
        (0..3).for_each(|_| answer(origin.call_for("GET", &target)));
        let mut bodies: Vec<_> = clients.iter_mut().map(|client| client.response().body).collect();
        bodies.sort();
        let own: Vec<_> = (1..=4).map(|number| format!("number {number}").into_bytes()).collect();
        assert_eq!(bodies, own, "{field}");
        // Nor is it there for one who comes later.
        let mut late = edge.client();
        late.ask("GET", &target, &[]);
        answer(origin.call_for("GET", &target));
        assert_eq!(late.response().body, b"number 5");
        drop((clients, late));
        edge.wait_for_active(0);
    }
    assert_eq!(edge.counter("longhold_store_stored_total"), 0);
}

#[test]
fn answer_to_credentials_is_not_for_others() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let secret = "Authorization: Basic c2VjcmV0";
    let mut owner = edge.client();
    owner.ask("GET", "/account", &[secret]);
    let leading = origin.call();
    assert_eq!(leading.field("Authorization"), Some("Basic c2VjcmV0"));
    let mut stranger = edge.client();
    stranger.ask("GET", "/account", &[]);
    edge.wait_for_active(2);
    leading.answer(reply("200 OK", &[FRESH], "yours"));
    assert_eq!(owner.response().body, b"yours");
    let call = origin.call();
    assert_eq!(call.field("Authorization"), None);
    call.answer(reply("401 Unauthorized", &[], "who?"));
    assert_eq!(stranger.response().status, 401);
    assert_eq!(edge.counter("longhold_store_stored_total"), 0);

    // Unless the origin says that it is for all (RFC 9111 section 3.5).
    owner.ask("GET", "/public", &[secret]);
    origin.call().answer(reply("200 OK", &["Cache-Control: public, max-age=60"], "ours"));
    assert_eq!(owner.response().body, b"ours");
    edge.wait_for_stored(1);
    assert!(stranger.get("/public").is_hit());
}

/// A client that forbids storing gets an answer of its own, and leaves nothing behind.
#[test]
fn request_that_forbids_storing_shares_nothing() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut one = edge.client();
    one.ask("GET", "/mine", &[]);
    let first = origin.call();
    let mut two = edge.client();
    two.ask("GET", "/mine", &["Cache-Control: no-store"]);
    let second = origin.call();
    second.answer(reply("200 OK", &[FRESH], "second"));
    assert_eq!(two.response().body, b"second");
    first.answer(reply("200 OK", &[FRESH], "first"));
    assert_eq!(one.response().body, b"first");
    edge.wait_for_stored(1);
    assert_eq!(edge.client().get("/mine").body, b"first");
}

/// What must be validated each time is its asker's alone, stored or not: an origin that says so may
/// answer each user otherwise (RFC 9111 sections 4 and 5.2.2.4).
#[test]
fn followers_of_what_is_validated_each_time_ask_for_themselves() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for (round, control) in ["no-cache", "max-age=0", "max-age=60, no-cache"].iter().enumerate() {
        let target = format!("/each/{round}");
        let control = format!("Cache-Control: {control}");
        let mut clients = crowd(&edge, &target, 4);
        let leading = origin.call_for("GET", &target);
        edge.wait_for_active(4);
        let mut number = 0;
        let mut answer = |call: crate::stage::Call| {
            number += 1;
            let tag = format!("ETag: \"{number}\"");
            call.answer(reply("200 OK", &[&control, &tag], format!("number {number}")));
        };
        answer(leading);
        (0..3).for_each(|_| answer(origin.call_for("GET", &target)));
        let mut bodies: Vec<_> = clients.iter_mut().map(|client| client.response().body).collect();
        bodies.sort();
        let own: Vec<_> = (1..=4).map(|number| format!("number {number}").into_bytes()).collect();
        assert_eq!(bodies, own, "{control}");
        drop(clients);
        edge.wait_for_active(0);
        // From now on nobody waits for another's answer to learn this.
        let mut clients = crowd(&edge, &target, 3);
        let calls: Vec<_> = (0..3).map(|_| origin.call_for("GET", &target)).collect();
        calls.into_iter().for_each(&mut answer);
        assert!(clients.iter_mut().all(|client| client.response().body.starts_with(b"number ")));
        drop(clients);
        edge.wait_for_active(0);
    }
}

/// The same for a 304: it answers the one request that it was asked for.
#[test]
fn followers_of_a_validation_validate_for_themselves_where_each_must() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let fields = ["Cache-Control: no-cache", "ETag: \"v1\""];
    let mut client = edge.client();
    client.ask("GET", "/each", &[]);
    origin.call().answer(reply("200 OK", &fields, "hello"));
    assert_eq!(client.response().body, b"hello");
    edge.wait_for_stored(1);
    let mut clients = crowd(&edge, "/each", 3);
    let leading = origin.call();
    edge.wait_for_active(3);
    let confirm = |call: crate::stage::Call| {
        assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
        call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
    };
    confirm(leading);
    confirm(origin.call());
    confirm(origin.call());
    for client in &mut clients {
        assert_eq!(client.response().body, b"hello");
    }
    assert_eq!(edge.fetches(), 4);
}

/// RFC 9111 section 5.2.2.7: fields that are one user's reach no other, neither from the store nor
/// beside a body that grows.
#[test]
fn private_fields_reach_their_asker_alone() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut owner = edge.client();
    owner.ask("GET", "/mixed", &[]);
    let mut call = origin.call();
    let mut follower = edge.client();
    follower.ask("GET", "/mixed", &[]);
    edge.wait_for_active(2);
    let control = "Cache-Control: max-age=60, private=\"set-cookie, x-name\", no-cache=x-id";
    let own = ["Set-Cookie: id=1", "X-Name: me", "X-Id: 7"];
    let fields = [&[control, "X-All: yes"][..], &own].concat();
    call.say(reply("200 OK", &fields, "ours"));
    call.done();
    let mut seen = vec![owner.response(), follower.response()];
    edge.wait_for_stored(1);
    seen.push(edge.client().get("/mixed"));
    for (at, response) in seen.iter().enumerate() {
        assert_eq!((&*response.body, response.field("X-All")), (&b"ours"[..], Some("yes")));
        for name in ["Set-Cookie", "X-Name", "X-Id"] {
            assert_eq!(response.field(name).is_some(), at == 0, "{name}: {response:?}");
        }
    }
    assert_eq!(edge.fetches(), 1);
}
