//! Unsafe methods: what they change is not served from the store any more (RFC 9111 section 4.4).

use crate::stage::{Edge, FRESH, Origin, reply};

#[test]
fn unsafe_method_that_succeeds_invalidates_what_is_stored() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut stored = 0;
    for (method, status, invalidates) in [
        ("POST", "200 OK", true),
        ("PUT", "201 Created", true),
        ("DELETE", "204 No Content", true),
        ("PATCH", "303 See Other", true),
        ("FROB", "200 OK", true),
        ("POST", "404 Not Found", false),
        ("PUT", "500 Oops", false),
        ("OPTIONS", "200 OK", false),
    ] {
        client.ask("GET", "/thing", &[]);
        origin.call_for("GET", "/thing").answer(reply("200 OK", &[FRESH], "state"));
        assert_eq!(client.response().body, b"state");
        stored += 1;
        edge.wait_for_stored(stored);
        assert!(client.get("/thing").is_hit());

        client.ask(method, "/thing", &["Content-Length: 0"]);
        let bodiless = status.starts_with("204");
        let answer = if bodiless {
            format!("HTTP/1.1 {status}\r\n\r\n").into_bytes()
        } else {
            reply(status, &[], "done")
        };
        origin.call_for(method, "/thing").answer(answer);
        let response = client.response();
        assert_eq!(response.status.to_string(), status[..3], "{method}");
        assert_eq!(response.cache(), "longhold; fwd=method", "{method}");

        if invalidates {
            continue;
        }
        assert!(client.get("/thing").is_hit(), "{method} {status}");
        assert!(edge.purge("http://play.test/thing"));
    }
    let fetched = edge.fetches();
    assert_eq!(fetched, 16);
}

/// RFC 9111 section 4.4: what the response names on the same origin has changed, too; nothing that
/// belongs to others, and nothing where the change failed.
#[test]
fn location_and_content_location_are_invalidated_on_the_same_origin() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut stored = 0;
    for (status, field, invalidates) in [
        ("201 Created", "Location: /list/item", true),
        ("201 Created", "Location: http://play.test/list/item", true),
        ("200 OK", "Content-Location: ../list/./item", true),
        ("303 See Other", "Location: http://PLAY.test:80/list/%69tem#part", true),
        ("201 Created", "Location: //play.test/list/item", true),
        ("201 Created", "Location: http://other.test/list/item", false),
        ("201 Created", "Location: https://play.test/list/item", false),
        ("201 Created", "Location: /list/item?other", false),
        ("404 Not Found", "Location: /list/item", false),
        ("500 Oops", "Content-Location: /list/item", false),
    ] {
        if !client.get_with("/list/item", &["Cache-Control: only-if-cached"]).is_hit() {
            client.ask("GET", "/list/item", &[]);
            origin.call_for("GET", "/list/item").answer(reply("200 OK", &[FRESH], "state"));
            assert_eq!(client.response().body, b"state");
            stored += 1;
            edge.wait_for_stored(stored);
        }
        client.ask("POST", "/form/", &["Content-Length: 0"]);
        origin.call_for("POST", "/form/").answer(reply(status, &[field], "done"));
        assert_eq!(client.response().body, b"done");
        let found = client.get_with("/list/item", &["Cache-Control: only-if-cached"]);
        assert_eq!(found.is_hit(), !invalidates, "{status} {field}");
    }
    origin.was_left_alone();
}

/// A safe method changes nothing, whatever it names.
#[test]
fn location_of_a_safe_request_invalidates_nothing() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/item", &[]);
    origin.call_for("GET", "/item").answer(reply("200 OK", &[FRESH], "state"));
    assert_eq!(client.response().body, b"state");
    edge.wait_for_stored(1);
    for method in ["GET", "OPTIONS"] {
        client.ask(method, "/list", &[]);
        origin.call_for(method, "/list").answer(reply("200 OK", &["Location: /item"], "done"));
        assert_eq!(client.response().body, b"done");
        assert!(client.get("/item").is_hit());
    }
}

/// RFC 9110 section 9.3.3: with explicit freshness and its own target as Content-Location, the
/// answer to a POST is the answer to later GETs.
#[test]
fn answer_to_a_post_may_answer_later_gets() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/state", &[]);
    origin.call_for("GET", "/state").answer(reply("200 OK", &[FRESH], "old"));
    assert_eq!(client.response().body, b"old");
    edge.wait_for_stored(1);
    client.ask("POST", "/state", &["Content-Length: 3"]);
    client.say("new");
    let mut call = origin.call_for("POST", "/state");
    assert_eq!(call.body(), b"new");
    call.answer(reply("200 OK", &[FRESH, "Content-Location: /state"], "new"));
    let response = client.response();
    assert_eq!(
        (&*response.body, &*response.cache()),
        (&b"new"[..], "longhold; fwd=method; stored")
    );
    edge.wait_for_stored(2);
    let hit = client.get("/state");
    assert!(hit.is_hit() && hit.body == b"new");
    // Another POST goes to the origin all the same; what it leaves is not fresh, and not stored.
    client.ask("POST", "/state", &["Content-Length: 0"]);
    origin.call_for("POST", "/state").answer(reply("200 OK", &["Content-Location: /state"], "3"));
    assert_eq!(client.response().cache(), "longhold; fwd=method");
    client.ask("GET", "/state", &[]);
    origin.call_for("GET", "/state").answer(reply("200 OK", &[FRESH], "third"));
    assert_eq!(client.response().body, b"third");
    origin.was_left_alone();
}
