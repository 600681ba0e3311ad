//! A crowd at once for one thing that is not there yet.
//!
//! `cargo test --release -p longhold-edge --test plays -- --ignored crowd --nocapture` prints what
//! it took; it needs 10,000 descriptors in each of two processes.

use std::time::Instant;

use crate::stage::{Client, FRESH, Origin, Setting, body_of};

/// One request reaches the origin; everybody has its first bytes before the origin goes on, and all
/// of it in the end; the edge holds neither a copy of it nor a buffer for each of them.
#[test]
#[ignore = "10,000 connections and 20 GB of traffic: for a release build on a quiet machine"]
fn ten_thousand_share_one_slow_large_fetch() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).server("max_connections = 12000").start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| edge.client()).collect();
    edge.wait("the connections", |edge| edge.status()["connections"]["parked"] == CLIENTS);
    let resting_bytes = edge.resident_bytes();
    let begun = Instant::now();
    clients.iter_mut().for_each(|client| client.ask("GET", "/big", &[]));
    let mut call = origin.call_for("GET", "/big");
    edge.wait_for_misses(CLIENTS as u64);
    let waiting_bytes = edge.resident_bytes() - resting_bytes;
    println!("{CLIENTS} wait after {:?}, {} KiB", begun.elapsed(), waiting_bytes >> 10);

    let body = body_of(97, BODY_BYTES);
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nContent-Length: {}\r\n\r\n", body.len()));
    let mut grown_bytes_max = waiting_bytes;
    let mut some = vec![0; PART_BYTES];
    for (number, part) in body.chunks(PART_BYTES).enumerate() {
        call.say(part);
        for client in &mut clients {
            if number == 0 {
                let head = client.response_head();
                assert_eq!(head.status, 200);
            }
            // The origin has said nothing beyond this part.
            client.hears_by(part, &mut some);
        }
        let grown_bytes = edge.resident_bytes() - resting_bytes;
        grown_bytes_max = grown_bytes_max.max(grown_bytes);
        if number == 0 {
            println!("all have {PART_BYTES} bytes after {:?}", begun.elapsed());
        }
    }
    call.done();
    println!("all have {BODY_BYTES} after {:?}, {} KiB", begun.elapsed(), grown_bytes_max >> 10);
    assert_eq!(edge.fetches(), 1);
    origin.was_left_alone();
    // Its window, and what an exchange is while it waits.
    let most = 2 * WINDOW_BYTES + CLIENTS as u64 * EXCHANGE_BYTES_MAX;
    assert!(grown_bytes_max < most, "{grown_bytes_max} bytes more, {most} allowed");
    edge.wait_for("longhold_requests_coalesced_total", CLIENTS as u64 - 1);
    edge.wait_for_stored(1);
    assert!(clients.iter_mut().all(|client| {
        client.ask("HEAD", "/big", &[]);
        client.response_head().is_hit()
    }));
}

const CLIENTS: usize = 10_000;
const BODY_BYTES: usize = 2 << 20;
/// Less than a socket takes before its reader reads.
const PART_BYTES: usize = 32 << 10;
/// `limits.download_window`
const WINDOW_BYTES: u64 = 1 << 20;
/// A waiting exchange in the edge: its request's head, its places in two tables, its reader.
const EXCHANGE_BYTES_MAX: u64 = 8 << 10;
