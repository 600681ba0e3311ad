//! Responses that vary: each request gets the one that was meant for it.

use crate::stage::{Client, Edge, FRESH, Origin, reply};

const VARY: &str = "Vary: Accept-Language";
const ENGLISH: &str = "Accept-Language: en";
const GERMAN: &str = "Accept-Language: de";

/// Asks with these fields; the origin answers.
fn fetch(origin: &Origin, client: &mut Client, fields: &[&str], body: &str) {
    client.ask("GET", "/word", fields);
    origin.call_for("GET", "/word").answer(reply("200 OK", &[FRESH, VARY], body));
    let response = client.response();
    assert_eq!(String::from_utf8_lossy(&response.body), body);
    assert!(response.cache().ends_with("; stored"), "{}", response.cache());
}

/// Asks with these fields; the store answers.
fn hit(client: &mut Client, fields: &[&str], body: &str) {
    let response = client.get_with("/word", fields);
    assert_eq!(String::from_utf8_lossy(&response.body), body, "{fields:?}");
    assert!(response.is_hit(), "{fields:?}: {}", response.cache());
}

#[test]
fn variants_live_beside_each_other_and_are_purged_together() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    fetch(&origin, &mut client, &[ENGLISH], "hello");
    edge.wait("the variant and its base", |edge| edge.status()["store"]["objects"] == 2);
    fetch(&origin, &mut client, &[GERMAN], "hallo");
    fetch(&origin, &mut client, &[], "?");
    edge.wait_for_stored(3);
    for _ in 0..2 {
        hit(&mut client, &[ENGLISH], "hello");
        hit(&mut client, &[GERMAN], "hallo");
        hit(&mut client, &["accept-language:   de  "], "hallo");
        hit(&mut client, &["Cookie: a=b"], "?");
    }
    assert_eq!(edge.fetches(), 3);

    assert!(edge.purge("http://play.test/word"));
    fetch(&origin, &mut client, &[ENGLISH], "hello again");
    fetch(&origin, &mut client, &[GERMAN], "hallo wieder");
    edge.wait_for_stored(5);
    hit(&mut client, &[ENGLISH], "hello again");
    hit(&mut client, &[GERMAN], "hallo wieder");
}

/// One of two that wait for the same head is not the one that it is meant for.
#[test]
fn follower_of_another_variant_fetches_its_own() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (mut english, mut german) = (edge.client(), edge.client());
    english.ask("GET", "/word", &[ENGLISH]);
    let call = origin.call();
    german.ask("GET", "/word", &[GERMAN]);
    edge.wait_for_active(2);
    call.answer(reply("200 OK", &[FRESH, VARY], "hello"));
    assert_eq!(english.response().body, b"hello");
    let call = origin.call();
    assert_eq!(call.field("Accept-Language"), Some("de"));
    call.answer(reply("200 OK", &[FRESH, VARY], "hallo"));
    assert_eq!(german.response().body, b"hallo");
    edge.wait_for_stored(2);
    hit(&mut english, &[ENGLISH], "hello");
    hit(&mut german, &[GERMAN], "hallo");
}

/// What `Connection` names does not reach the origin, so the origin's answer is to another request
/// than the one whose fields would select it.
#[test]
fn client_cannot_poison_a_variant_by_taking_a_field_away() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut attacker = edge.client();
    attacker.ask("GET", "/word", &[GERMAN, "Connection: Accept-Language"]);
    let call = origin.call();
    assert_eq!(call.field("Accept-Language"), None);
    call.answer(reply("200 OK", &[FRESH, VARY], "not German"));
    assert_eq!(attacker.response().body, b"not German");
    let mut victim = edge.client();
    fetch(&origin, &mut victim, &[GERMAN], "hallo");
    edge.wait_for_stored(1);
    hit(&mut victim, &[GERMAN], "hallo");
    assert_eq!(edge.fetches(), 2);
}

/// RFC 9111 section 4.1: clients that say the same in other words share a variant, and the origin
/// is asked in the words that the variant is kept under.
#[test]
fn equal_lists_in_other_words_select_one_variant() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &["Accept-Encoding: gzip, BR;q=1.0", "Accept-Encoding: gzip"]);
    let call = origin.call();
    assert_eq!(call.field("Accept-Encoding"), Some("br, gzip"));
    call.answer(reply("200 OK", &[FRESH, "Vary: Accept-Encoding"], "packed"));
    assert_eq!(client.response().body, b"packed");
    edge.wait_for_stored(1);
    assert!(client.get_with("/page", &["Accept-Encoding:br,gzip"]).is_hit());
    client.ask("GET", "/page", &["Accept-Encoding: br, gzip;q=0.5"]);
    origin.call().answer(reply("200 OK", &[FRESH, "Vary: Accept-Encoding"], "other"));
    assert_eq!(client.response().body, b"other");
}
