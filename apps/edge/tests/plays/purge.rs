//! Purges: in force and durable when they are acknowledged, whatever is going on.

use crate::stage::{Client, Edge, FRESH, Origin, Setting, reply};

const URL: &str = "http://play.test/page";

/// Asks for the page, which the origin answers with this body.
fn fetch(origin: &Origin, client: &mut Client, body: &str) {
    client.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], body));
    assert_eq!(client.response().body, body.as_bytes());
}

#[test]
fn purged_url_is_fetched_anew() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    assert!(!edge.purge(URL), "nothing is there");
    fetch(&origin, &mut client, "one");
    edge.wait_for_stored(1);
    assert!(client.get("/page").is_hit());
    assert!(edge.purge(URL));
    assert!(!edge.purge(URL), "a second time");
    fetch(&origin, &mut client, "two");
    edge.wait_for_stored(2);
    let hit = client.get("/page");
    assert!(hit.is_hit() && hit.body == b"two", "{hit:?}");
}

/// Whoever spells the URL as some client might means the same page.
#[test]
fn command_line_purges_by_any_spelling_of_the_url() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let spellings = [
        "http://play.test/page",
        "HTTP://PLAY.Test:80/page",
        "http://play.test/%70age",
        "http://play.test/x/../page",
    ];
    for (stored, url) in spellings.into_iter().enumerate() {
        fetch(&origin, &mut client, url);
        edge.wait_for_stored(stored as u64 + 1);
        assert!(client.get("/page").is_hit());
        let output = edge.command(&["purge", "--url", url]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.starts_with(&format!("{url}: purged; durable after ")), "{said}");
    }
    let output = edge.command(&["purge", "--url", "play.test/page"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("not an absolute http or https URL"), "{said}");
}

/// What was fetched before a purge is what the purge was for.
#[test]
fn purge_inside_a_body_keeps_it_out_of_the_store() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let mut call = origin.call();
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: 8\r\n\r\nbefo"));
    let mut response = client.response_head();
    edge.purge(URL);
    // One who asks after the purge gets nothing from before it.
    let mut late = edge.client();
    late.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "after"));
    assert_eq!(late.response().body, b"after");
    edge.wait_for_stored(1);
    // One who asked before it gets what was on its way.
    call.answer("re!!");
    assert!(client.rest_of(&mut response));
    assert_eq!(response.body, b"before!!");
    edge.wait("the fetch's end", |edge| {
        edge.counter("longhold_requests_total{cache=uri-miss}") == 2
    });
    let hit = late.get("/page");
    assert!(hit.is_hit() && hit.body == b"after", "{hit:?}");
}

#[test]
fn purge_before_the_head_keeps_the_response_out_of_the_store_and_from_followers() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut leader = edge.client();
    leader.ask("GET", "/page", &[]);
    let call = origin.call();
    let mut follower = edge.client();
    follower.ask("GET", "/page", &[]);
    edge.wait_for_active(2);
    edge.purge(URL);
    let second = origin.call_for("GET", "/page");
    call.answer(reply("200 OK", &[FRESH], "before"));
    assert_eq!(leader.response().body, b"before");
    second.answer(reply("200 OK", &[FRESH], "after"));
    assert_eq!(follower.response().body, b"after");
    edge.wait_for_stored(1);
    let hit = leader.get("/page");
    assert!(hit.is_hit() && hit.body == b"after", "{hit:?}");
    assert_eq!(edge.counter("longhold_store_stored_total"), 1);
}

/// RFC 9111 section 4.3.4 meets a purge: the confirmed response was asked for before it.
#[test]
fn purge_inside_a_validation_gives_the_old_body_no_new_life() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let fields = ["Cache-Control: max-age=60", "Age: 100", "ETag: \"v1\""];
    origin.call().answer(reply("200 OK", &fields, "old"));
    assert_eq!(client.response().body, b"old");
    edge.wait_for_stored(1);
    client.ask("GET", "/page", &[]);
    let call = origin.call();
    assert!(edge.purge(URL));
    call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=600\r\n\r\n");
    // The confirmed body is gone with the purge: it takes a fetch of its own.
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "new"));
    assert_eq!(client.response().body, b"new");
    edge.wait_for_stored(2);
    let hit = client.get("/page");
    assert!(hit.is_hit() && hit.body == b"new", "{hit:?}");
}

#[test]
fn acknowledged_purge_survives_kill_9() {
    let origin = Origin::start();
    let mut edge = Setting::before(&origin).on_disk().start();
    let mut client = edge.client();
    for (stored, target) in ["/page", "/other"].into_iter().enumerate() {
        client.ask("GET", target, &[]);
        origin.call().answer(reply("200 OK", &[FRESH], target));
        assert_eq!(client.response().body, target.as_bytes());
        edge.wait_for_stored(stored as u64 + 1);
    }
    assert!(edge.purge(URL));
    edge.kill();
    let edge = edge.start_again();
    let mut client = edge.client();
    let hit = client.get("/other");
    assert!(hit.is_hit() && hit.body == b"/other", "{hit:?}");
    fetch(&origin, &mut client, "new");
    assert_eq!(edge.fetches(), 1);
}
