//! Purges of many at once: by prefix, tag, host, and of everything; in force and durable when they
//! are acknowledged, for what is stored and for what is on its way.

use serde_json::{Value, json};

use crate::stage::{Call, Client, Edge, FRESH, Origin, Setting, reply};

/// What the edge holds: host, target, and by which fields the origin tags it.
const THINGS: [(&str, &str, &[&str]); 6] = [
    ("play.test", "/img/a", &["Surrogate-Key: red blue"]),
    ("play.test", "/img/b?q=/img/", &["Cache-Tag: red, big one"]),
    ("play.test", "/page", &["surrogate-key: blue", "Surrogate-Key: green"]),
    ("play.test", "/plain", &[]),
    ("play.test:8080", "/img/a", &["Cache-Tag: RED"]),
    ("other.test", "/img/a", &["Surrogate-Key: red"]),
];

/// What of it each purge concerns, by number.
fn purges() -> Vec<(Value, Vec<usize>)> {
    vec![
        (json!({ "url": "http://play.test/img/a" }), vec![0]),
        (json!({ "url": ["http://play.test/page", "http://play.test/none"] }), vec![2]),
        (json!({ "prefix": "http://play.test/img/" }), vec![0, 1]),
        (json!({ "prefix": "HTTP://Play.Test:80/x/../p" }), vec![2, 3]),
        (json!({ "prefix": "http://play.test/img/b?q=" }), vec![1]),
        (json!({ "tag": "red" }), vec![0, 1, 5]),
        (json!({ "tag": "big one" }), vec![1]),
        (json!({ "tag": ["green", "RED"] }), vec![2, 4]),
        (json!({ "tag": "re" }), vec![]),
        (json!({ "host": "play.test" }), vec![0, 1, 2, 3, 4]),
        (json!({ "host": "play.test:8080" }), vec![4]),
        (json!({ "host": "PLAY.test:80" }), vec![0, 1, 2, 3]),
        (json!({ "host": "lay.test" }), vec![]),
        (json!({ "tag": "green", "host": "other.test" }), vec![2, 5]),
        (json!({ "all": true }), vec![0, 1, 2, 3, 4, 5]),
    ]
}

fn ask(client: &mut Client, host: &str, target: &str, fields: &str) {
    client.say(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
}

/// An origin that answers by itself, with the tags of each thing.
fn tagging() -> Origin {
    Origin::answering(|call: Call| {
        let host = call.field("Host").expect("a host").to_owned();
        let thing = THINGS.iter().find(|(h, t, _)| *h == host && *t == call.target());
        let fields = [&[FRESH], thing.expect("a thing").2].concat();
        call.answer(reply("200 OK", &fields, host));
    })
}

/// Brings in what is missing, which must be these.
fn refill(edge: &Edge, client: &mut Client, missing: &[usize]) {
    let stored = edge.counter("longhold_store_stored_total");
    for (number, (host, target, _)) in THINGS.into_iter().enumerate() {
        ask(client, host, target, "");
        let response = client.response();
        assert_eq!(response.body, host.as_bytes());
        assert_eq!(response.is_hit(), !missing.contains(&number), "{host}{target}: {response:?}");
        for own in ["Surrogate-Key", "Cache-Tag"] {
            assert_eq!(response.field(own), None, "{host}{target}");
        }
    }
    edge.wait_for_stored(stored + missing.len() as u64);
}

/// The things that the store does not have, without asking the origin for them.
fn missing(client: &mut Client) -> Vec<usize> {
    let is_missing = |(_, (host, target, _)): &(usize, (&str, &str, &[&str]))| {
        ask(client, host, target, "Cache-Control: only-if-cached\r\n");
        client.response().status == 504
    };
    THINGS.into_iter().enumerate().filter(is_missing).map(|(number, _)| number).collect()
}

#[test]
fn purge_concerns_what_it_names_and_no_more() {
    let origin = tagging();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut gone = vec![0, 1, 2, 3, 4, 5];
    for (order, concerned) in purges() {
        refill(&edge, &mut client, &gone);
        let said = edge.purge_all_of(&order);
        assert!(said["duration_us"].as_u64() > Some(0) && said["at_ms"].as_u64() > Some(0));
        match (order["url"].is_null(), order["all"].is_null()) {
            (false, _) => {
                assert_eq!((&said["found"], &said["count"]), (&json!(true), &json!(1)), "{order}");
            }
            (true, true) => assert!(said["count"].is_null() && said["found"].is_null(), "{said}"),
            (true, false) => assert_eq!(said["count"], 6, "{said}"),
        }
        assert_eq!(missing(&mut client), concerned, "{order}");
        gone = concerned;
    }
}

#[test]
fn acknowledged_purge_of_many_survives_kill_9() {
    let origin = tagging();
    let mut edge = Setting::before(&origin).on_disk().start();
    let mut gone = vec![0, 1, 2, 3, 4, 5];
    for (order, concerned) in purges().into_iter().step_by(2) {
        let mut client = edge.client();
        refill(&edge, &mut client, &gone);
        edge.purge_all_of(&order);
        edge.kill();
        edge = edge.start_again();
        assert_eq!(missing(&mut edge.client()), concerned, "{order}");
        gone = concerned;
    }
}

/// An order by which `/page`, which is tagged `red`, is purged, and one by which it is not.
fn orders() -> Vec<(Value, Value)> {
    vec![
        (json!({ "prefix": "http://play.test/p" }), json!({ "prefix": "http://play.test/q" })),
        (json!({ "tag": "red" }), json!({ "tag": "blue" })),
        (json!({ "host": "play.test" }), json!({ "host": "other.test" })),
        (json!({ "all": true }), json!({ "url": "http://play.test/pages" })),
        (json!({ "tag": "red", "soft": true }), json!({ "tag": "blue", "soft": true })),
        (json!({ "url": "http://play.test/page", "soft": true }), json!({ "tag": "page" })),
    ]
}

const RED: &str = "Surrogate-Key: red";

/// By which tags a response can be purged is known when its head is there; what it was purged by
/// before that counts all the same.
#[test]
fn purge_before_the_head_keeps_the_response_out_of_the_store_and_from_followers() {
    for (order, other) in orders() {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut leader = edge.client();
        leader.ask("GET", "/page", &[]);
        let call = origin.call();
        let mut follower = edge.client();
        follower.ask("GET", "/page", &[]);
        edge.wait_for_misses(2);
        edge.purge_all_of(&other);
        edge.purge_all_of(&order);
        let mut late = edge.client();
        late.ask("GET", "/page", &[]);
        edge.wait_for_misses(3);
        call.answer(reply("200 OK", &[FRESH, RED], "before"));
        let response = leader.response();
        assert_eq!(response.body, b"before");
        assert!(!response.cache().contains("stored"), "{order}: {}", response.cache());
        origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH, RED], "after"));
        assert_eq!(follower.response().body, b"after", "{order}");
        assert_eq!(late.response().body, b"after", "{order}");
        edge.wait_for_stored(1);
        let hit = leader.get("/page");
        assert!(hit.is_hit() && hit.body == b"after", "{order}: {hit:?}");
        assert_eq!((edge.fetches(), edge.counter("longhold_fetches_purged_total")), (2, 1));
    }
}

#[test]
fn purge_inside_a_body_keeps_it_out_of_the_store_and_from_those_who_come_later() {
    for (order, _) in orders() {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        client.ask("GET", "/page", &[]);
        let mut call = origin.call();
        call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\n{RED}\r\nContent-Length: 8\r\n\r\nbefo"));
        let mut response = client.response_head();
        edge.purge_all_of(&order);
        let mut late = edge.client();
        late.ask("GET", "/page", &[]);
        origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH, RED], "after"));
        assert_eq!(late.response().body, b"after", "{order}");
        edge.wait_for_stored(1);
        call.answer("re!!");
        assert!(client.rest_of(&mut response));
        assert_eq!(response.body, b"before!!", "{order}");
        edge.wait("the fetch's end", |edge| {
            edge.counter("longhold_requests_total{cache=uri-miss}") == 2
        });
        let hit = late.get("/page");
        assert!(hit.is_hit() && hit.body == b"after", "{order}: {hit:?}");
    }
}

/// The answer to a POST that may answer later GETs (RFC 9110 section 9.3.3) is purged like others
/// on its way, not only by its own invalidation of what was there.
#[test]
fn purge_before_the_answer_to_a_post_keeps_it_out_of_the_store() {
    for (order, other) in orders() {
        for (order, stored) in [(&order, false), (&other, true)] {
            let origin = Origin::start();
            let edge = Edge::before(&origin);
            let mut client = edge.client();
            client.ask("POST", "/page", &["Content-Length: 0"]);
            let call = origin.call_for("POST", "/page");
            edge.purge_all_of(order);
            call.answer(reply("200 OK", &[FRESH, RED, "Content-Location: /page"], "state"));
            let response = client.response();
            assert_eq!(response.body, b"state");
            assert_eq!(response.cache().contains("stored"), stored, "{order}");
            if stored {
                edge.wait_for_stored(1);
            }
            let probe = client.get_with("/page", &["Cache-Control: only-if-cached"]);
            assert_eq!(probe.is_hit(), stored, "{order}: {probe:?}");
        }
    }
}

/// What does not concern a response on its way leaves it alone: followers share it, and it is
/// stored.
#[test]
fn purge_of_something_else_disturbs_no_fetch() {
    for (_, other) in orders() {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let (mut leader, mut follower) = (edge.client(), edge.client());
        leader.ask("GET", "/page", &[]);
        let mut call = origin.call();
        follower.ask("GET", "/page", &[]);
        edge.wait_for_misses(2);
        edge.purge_all_of(&other);
        call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\n{RED}\r\nContent-Length: 4\r\n\r\non"));
        let (mut first, mut second) = (leader.response_head(), follower.response_head());
        edge.purge_all_of(&other);
        call.answer("ly");
        assert!(leader.rest_of(&mut first) && follower.rest_of(&mut second));
        assert_eq!((&*first.body, &*second.body), (&b"only"[..], &b"only"[..]), "{other}");
        edge.wait_for_stored(1);
        assert!(leader.get("/page").is_hit(), "{other}");
        assert_eq!(edge.fetches(), 1);
    }
}

/// RFC 9111 section 4.3.4 meets a purge by tag: neither the tags that the stored response has nor
/// those that the 304 brings let the old body live on.
#[test]
fn purge_inside_a_validation_gives_the_old_body_no_new_life() {
    for tag in ["red", "new"] {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        client.ask("GET", "/page", &[]);
        let fields = ["Cache-Control: max-age=60", "Age: 100", "ETag: \"v1\"", RED];
        origin.call().answer(reply("200 OK", &fields, "old"));
        assert_eq!(client.response().body, b"old");
        edge.wait_for_stored(1);
        client.ask("GET", "/page", &[]);
        let call = origin.call();
        edge.purge_all_of(&json!({ "tag": tag }));
        call.answer(
            "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=600\r\n\
             Surrogate-Key: new\r\n\r\n",
        );
        if tag == "red" {
            // The confirmed body is gone with the purge: it takes a fetch of its own.
            origin.call().answer(reply("200 OK", &[FRESH], "new"));
            assert_eq!(client.response().body, b"new");
        } else {
            // It was confirmed for this request, and for no later one.
            assert_eq!(client.response().body, b"old");
            client.ask("GET", "/page", &[]);
            let call = origin.call();
            assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
            call.answer(reply("200 OK", &[FRESH], "new"));
            assert_eq!(client.response().body, b"new");
        }
        edge.wait_for_stored(2);
        let hit = client.get("/page");
        assert!(hit.is_hit() && hit.body == b"new", "{tag}: {hit:?}");
    }
}

/// RFC 9111 section 3.2: what a 304 says of tags counts from then on; what it does not say stays.
#[test]
fn tags_are_kept_and_replaced_by_freshening() {
    let confirmed =
        |tags: &str| format!("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n{FRESH}\r\n{tags}\r\n");
    for (tags, tag, concerned) in [
        ("", "red", true),
        ("Surrogate-Key: new\r\n", "new", true),
        ("Surrogate-Key: new\r\n", "red", false),
        ("Cache-Tag: new\r\n", "red", true),
    ] {
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        client.ask("GET", "/page", &[]);
        let fields = ["Cache-Control: max-age=60", "Age: 100", "ETag: \"v1\"", RED];
        origin.call().answer(reply("200 OK", &fields, "old"));
        assert_eq!(client.response().body, b"old");
        edge.wait_for_stored(1);
        client.ask("GET", "/page", &[]);
        origin.call().answer(confirmed(tags));
        assert_eq!(client.response().body, b"old");
        edge.wait_for_stored(2);
        let hit = client.get("/page");
        assert!(hit.is_hit() && hit.field("Surrogate-Key").is_none(), "{hit:?}");
        edge.purge_all_of(&json!({ "tag": tag }));
        let probe = client.get_with("/page", &["Cache-Control: only-if-cached"]);
        assert_eq!(probe.status == 504, concerned, "{tags:?} {tag}");
    }
}

/// A record carries 63 tags of its own. With more it goes with every purge of a tag, not with none.
#[test]
fn response_with_too_many_tags_goes_with_every_tag() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut stored = 0;
    for (count, tag, concerned) in [
        (63, "tag-0", true),
        (63, "tag-62", true),
        (63, "another", false),
        (64, "tag-63", true),
        (64, "another", true),
    ] {
        let words: Vec<String> = (0..count).map(|number| format!("tag-{number}")).collect();
        let tags = format!("Surrogate-Key: {}", words.join(" "));
        client.ask("GET", "/page", &[]);
        origin.call().answer(reply("200 OK", &[FRESH, &tags], "many"));
        assert_eq!(client.response().body, b"many");
        stored += 1;
        edge.wait_for_stored(stored);
        edge.purge_all_of(&json!({ "tag": tag }));
        let probe = client.get_with("/page", &["Cache-Control: only-if-cached"]);
        assert_eq!(probe.status == 504, concerned, "{count} {tag}");
        edge.purge("http://play.test/page");
    }
}

/// A fetch is not stored when more purges have come since it began than are remembered.
#[test]
fn fetch_that_is_older_than_all_remembered_purges_is_not_stored() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (orders, stored) in [(4, true), (5, false)] {
        client.ask("GET", "/page", &[]);
        let call = origin.call();
        for order in 0..orders {
            let tags: Vec<String> = (0..256).map(|tag| format!("{order}-{tag}")).collect();
            edge.purge_all_of(&json!({ "tag": tags }));
        }
        call.answer(reply("200 OK", &[FRESH, RED], "slow"));
        let response = client.response();
        assert_eq!(response.cache().contains("stored"), stored, "{}", response.cache());
        edge.purge("http://play.test/page");
    }
}

#[test]
fn command_line_purges_many() {
    let origin = tagging();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut gone = vec![0, 1, 2, 3, 4, 5];
    for (arguments, said, concerned) in [
        (&["--prefix", "http://play.test/img/"][..], "http://play.test/img/: purged;", vec![0, 1]),
        (&["--tag", "red"], "red: purged;", vec![0, 1, 5]),
        (&["--tag", "green", "--host", "other.test"], "2 purges: purged;", vec![2, 5]),
        (
            &["--url", "http://play.test/page", "--url", "http://play.test/none"],
            "2 URLs: purged (1 were stored);",
            vec![2],
        ),
        (&["--host", "play.test:8080"], "play.test:8080: purged;", vec![4]),
        (&["--all"], "everything: purged (6 records);", vec![0, 1, 2, 3, 4, 5]),
    ] {
        refill(&edge, &mut client, &gone);
        let output = edge.command(&[&["purge"], arguments].concat());
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(out.starts_with(said) && out.contains("durable after"), "{out}");
        assert_eq!(missing(&mut client), concerned, "{arguments:?}");
        gone = concerned;
    }
    let output = edge.command(&["purge", "--tag", "red", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&said["tag"], &said["soft"], &said["count"]),
        (&json!("red"), &json!(false), &Value::Null)
    );
    for (arguments, said) in [
        (["--prefix", "http://"], "the prefix is not the beginning of an absolute"),
        (["--prefix", "/img/"], "the prefix is not the beginning of an absolute"),
        (["--prefix", "http://play.test/a/.."], "the prefix ends in dots"),
        (["--prefix", "http://play.test/a/%2E"], "the prefix ends in dots"),
        (["--host", "play.test/a"], "not the name or address of one host"),
        (["--host", "*.test"], "not the name or address of one host"),
        (["--tag", " "], "a tag is empty"),
    ] {
        let output = edge.command(&[&["purge"], &arguments[..]].concat());
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}
