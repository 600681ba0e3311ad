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
