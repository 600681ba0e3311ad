//! Connections as the admin plane shows and closes them.

use serde_json::Value;

use crate::stage::{Edge, FRESH, Origin, Setting, reply};

fn conns(edge: &Edge, arguments: &[&str]) -> Value {
    let output = edge.command(&[&["conns", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn connections_are_counted_listed_and_closed_by_a_filter() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let edge = Edge::before(&origin);
    let mut quiet = edge.client();
    let mut busy = edge.client();
    for _ in 0..3 {
        busy.get("/");
    }
    edge.wait("the rest of both", |edge| conns(edge, &[])["by_state"]["parked"] == 2);
    let said = conns(&edge, &["--list", "1"]);
    assert_eq!((&said["total"], &said["by_listener"][0]["connections"]), (&2.into(), &2.into()));
    assert_eq!(said["by_listener"][0]["address"], edge.address().to_string());
    assert_eq!(said["busiest"][0]["requests"], 3);
    assert_eq!(said["oldest"].as_array().map(Vec::len), Some(1));
    assert_eq!(conns(&edge, &["--source", "127.0.0.0/8"])["total"], 2);
    assert_eq!(conns(&edge, &["--source", "10.0.0.0/8"])["total"], 0);
    assert_eq!(conns(&edge, &["--protocol", "http"])["total"], 2);
    assert_eq!(conns(&edge, &["--protocol", "tunnel"])["total"], 0);

    assert_eq!(conns(&edge, &["--close", "--source", "10.0.0.0/8"])["closed"], 0);
    busy.get("/");
    edge.wait("the rest of both", |edge| conns(edge, &[])["by_state"]["parked"] == 2);
    assert_eq!(conns(&edge, &["--close", "--state", "parked"])["closed"], 2);
    quiet.sees_the_end();
    busy.sees_the_end();
    edge.wait("the end", |edge| conns(edge, &[])["total"] == 0);
    let closed = &conns(&edge, &[])["closed"];
    assert_eq!((&closed["ordered"], &closed["idle-timeout"]), (&2.into(), &0.into()));
    edge.client().get("/");
    let status = edge.status();
    let accounting = &status["accounting"];
    assert_eq!((&accounting["balanced"], &accounting["leaks"]), (&true.into(), &0.into()));
}

#[test]
fn close_without_a_filter_is_refused_and_so_is_one_that_means_nothing() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for (arguments, told) in [
        (&["conns", "--close"][..], "--close needs a filter"),
        (&["conns", "--close", "--all", "--state", "parked"], "--close needs a filter"),
        (&["conns", "--state", "asleep"], "the state is none of handshaking, parked"),
        (&["conns", "--listener", "127.0.0.1:1"], "no listener has that address"),
        (&["conns", "--idle-over", "soon"], "a time is no number with a unit"),
    ] {
        let output = edge.command(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(told), "{arguments:?}: {said}");
    }
    edge.wait("the connection", |edge| conns(edge, &[])["total"] == 1);
    assert_eq!(conns(&edge, &["--close", "--all"])["closed"], 1);
    client.sees_the_end();
}

/// Each of the two workers has half of what is allowed.
#[test]
fn source_beyond_its_connections_is_refused_until_some_have_ended() {
    let origin = Origin::answering(|call| call.answer(reply("200 OK", &[FRESH], "x")));
    let setting = Setting::before(&origin).limits("connections_per_source = 4");
    let edge = setting.start();
    let mut clients: Vec<_> = (0..40).map(|_| edge.client()).collect();
    edge.wait_for("longhold_connections_refused_total{limit=source}", 36);
    edge.wait("the end of the others", |edge| conns(edge, &[])["total"] == 4);
    clients.clear();
    edge.wait("the end of all", |edge| conns(edge, &[])["total"] == 0);
    assert_eq!(edge.client().get("/").status, 200);
}

#[test]
fn top_is_plain_text_where_there_is_no_terminal() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let output = edge.command(&["top"]);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && said.starts_with("longhold "), "{said}");
    assert!(said.contains("\nconnections   0 of 20,000 ") && !said.contains('\x1b'), "{said}");
}
