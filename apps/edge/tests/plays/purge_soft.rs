//! Soft purges: what they concern is stale and not gone.

use serde_json::{Value, json};

use crate::stage::{Client, Edge, FRESH, Origin, Setting, reply};

const URL: &str = "http://play.test/page";
const RED: &str = "Surrogate-Key: red";
const CONFIRMED: &str =
    "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=600\r\n\r\n";

/// Each way to name `/page`.
fn orders() -> Vec<Value> {
    vec![
        json!({ "url": URL, "soft": true }),
        json!({ "prefix": "http://play.test/", "soft": true }),
        json!({ "tag": "red", "soft": true }),
        json!({ "host": "play.test", "soft": true }),
        json!({ "all": true, "soft": true }),
    ]
}

/// Brings in a response, fresh for an hour, with one more directive.
fn fetch(origin: &Origin, edge: &Edge, client: &mut Client, (directive, body): (&str, &str)) {
    let stored = edge.counter("longhold_store_stored_total");
    client.ask("GET", "/page", &[]);
    let control = format!("{FRESH}{directive}");
    let fields = [&*control, "ETag: \"v1\"", RED, "Connection: close"];
    let mut call = origin.call_for("GET", "/page");
    call.say(reply("200 OK", &fields, body));
    call.hang_up();
    assert_eq!(client.response().body, body.as_bytes());
    edge.wait_for_stored(stored + 1);
    assert!(client.get("/page").is_hit());
}

#[test]
fn soft_purged_response_is_validated_and_lives_on() {
    for order in orders() {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        fetch(&origin, &edge, &mut client, ("", "one"));
        let said = edge.purge_all_of(&order);
        assert_eq!(said["soft"], true);
        // Nothing stale is served unless the origin allows it.
        let probe = client.get_with("/page", &["Cache-Control: only-if-cached"]);
        assert_eq!(probe.status, 504, "{order}");
        client.ask("GET", "/page", &[]);
        let call = origin.call_for("GET", "/page");
        assert_eq!(call.field("If-None-Match"), Some("\"v1\""), "{order}");
        call.answer(CONFIRMED);
        let response = client.response();
        assert_eq!(
            (&*response.body, response.cache()),
            (&b"one"[..], "longhold; fwd=stale; fwd-status=304".to_owned())
        );
        edge.wait_for_stored(2);
        let hit = client.get("/page");
        assert!(hit.is_hit() && hit.body == b"one", "{order}: {hit:?}");
        assert_eq!(edge.fetches(), 2);
        // A hard purge takes it, soft-purged or not.
        edge.purge_all_of(&order);
        assert!(edge.purge(URL));
        client.ask("GET", "/page", &[]);
        let call = origin.call_for("GET", "/page");
        assert_eq!(call.field("If-None-Match"), None, "{order}");
        call.answer(reply("200 OK", &[FRESH], "two"));
        assert_eq!(client.response().body, b"two");
    }
}

/// RFC 5861 section 3.
#[test]
fn soft_purged_response_is_served_while_it_is_fetched_anew_where_that_is_allowed() {
    for order in orders() {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        fetch(&origin, &edge, &mut client, (", stale-while-revalidate=600", "one"));
        edge.purge_all_of(&order);
        for _ in 0..3 {
            let response = client.get("/page");
            assert!(response.is_hit() && response.body == b"one", "{order}: {response:?}");
            let status = response.field("Cache-Status").expect("a field");
            assert!(status.contains("; ttl=0"), "{order}: {status}");
        }
        let call = origin.call_for("GET", "/page");
        assert_eq!(edge.fetches(), 2);
        call.answer(reply("200 OK", &[FRESH], "two"));
        edge.wait_for_stored(2);
        let hit = client.get("/page");
        assert!(hit.is_hit() && hit.body == b"two", "{order}: {hit:?}");
    }
}

/// RFC 5861 section 4.
#[test]
fn soft_purged_response_stands_in_for_an_error_where_it_may() {
    for (directive, status) in [(", stale-if-error=600", 200), (", must-revalidate", 502)] {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        fetch(&origin, &edge, &mut client, (directive, "one"));
        edge.purge_all_of(&json!({ "tag": "red", "soft": true }));
        client.ask("GET", "/page", &[]);
        origin.call_for("GET", "/page").reset();
        assert_eq!(client.response().status, status, "{directive}");
    }
}

#[test]
fn soft_purge_of_a_url_makes_all_its_variants_stale() {
    for order in orders() {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        let languages = ["Accept-Language: en", "Accept-Language: de"];
        let fields = [FRESH, "Vary: Accept-Language", "ETag: \"v1\"", RED];
        for (stored, language) in languages.into_iter().enumerate() {
            client.ask("GET", "/page", &[language]);
            origin.call().answer(reply("200 OK", &fields, language));
            assert_eq!(client.response().body, language.as_bytes());
            edge.wait_for_stored(stored as u64 + 1);
            assert!(client.get_with("/page", &[language]).is_hit());
        }
        let said = edge.purge_all_of(&order);
        assert!(order["url"].is_null() || said["count"] == 1, "{said}");
        for (stored, language) in languages.into_iter().enumerate() {
            client.ask("GET", "/page", &[language]);
            let call = origin.call();
            assert_eq!(call.field("If-None-Match"), Some("\"v1\""), "{order}");
            call.answer(CONFIRMED);
            assert_eq!(client.response().body, language.as_bytes());
            edge.wait_for_stored(stored as u64 + 3);
            assert!(client.get_with("/page", &[language]).is_hit(), "{order}");
        }
        assert_eq!(edge.fetches(), 4);
    }
}

#[test]
fn soft_purge_survives_kill_9() {
    for order in orders() {
        let origin = Origin::start();
        let mut edge = Setting::before(&origin).on_disk().start();
        let mut client = edge.client();
        fetch(&origin, &edge, &mut client, ("", "one"));
        edge.purge_all_of(&order);
        edge.kill();
        let edge = edge.start_again();
        let mut client = edge.client();
        client.ask("GET", "/page", &[]);
        let call = origin.call_for("GET", "/page");
        assert_eq!(call.field("If-None-Match"), Some("\"v1\""), "{order}");
        call.answer(CONFIRMED);
        assert_eq!(client.response().body, b"one");
        edge.wait_for_stored(1);
        assert!(client.get("/page").is_hit(), "{order}");
    }
}

#[test]
fn command_line_makes_it_stale() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    fetch(&origin, &edge, &mut client, ("", "one"));
    let output = edge.command(&["purge", "--url", URL, "--soft"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with(&format!("{URL}: is stale; durable after ")), "{said}");
    client.ask("GET", "/page", &[]);
    assert_eq!(origin.call().field("If-None-Match"), Some("\"v1\""));
}
