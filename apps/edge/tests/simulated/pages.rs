//! ED-5: stored bytes that are not in memory. The pager is played by hand.

use longhold_edge::fill::JobKind;
use longhold_edge::inbox::Event;
use longhold_origin::FetchError;
use longhold_transport::sim::Profile;

use crate::stage::{Stage, body, take_response};

const ASK: &[u8] = b"GET /cold HTTP/1.1\r\nHost: a\r\n\r\n";

/// A stage with `/cold` on its disk and not in memory, and `/hot` in both.
fn stage(cold_bytes: usize) -> Stage {
    let stage = Stage::on_disk();
    stage.store("/cold", &body(cold_bytes));
    stage.store("/hot", b"hot");
    stage.drop_pages("/cold");
    stage
}

/// The whole answer to a request whose page-ins are read as they come.
fn answer(stage: &mut Stage, client: &longhold_transport::sim::Client) -> Vec<u8> {
    let mut received = Vec::new();
    for _ in 0..200 {
        stage.run_for_ms(50);
        received.extend(client.read());
        stage.pages.read();
    }
    received
}

#[test]
fn a_cold_hit_waits_for_its_pages_and_the_others_do_not() {
    let mut stage = stage(700);
    let (cold, hot) = (stage.client(), stage.client());
    cold.write(ASK);
    stage.run_for_ms(10);
    assert_eq!(stage.pages.waiting(), (1, 0));
    hot.write(b"GET /hot HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(1_000);
    // It lies in the same block of pages as the cold one, or in another; in its turn it is served.
    if hot.read().is_empty() {
        stage.pages.read();
        stage.run_for_ms(10);
    }
    let received = answer(&mut stage, &cold);
    let (status, got, rest) = take_response(&received);
    assert_eq!((status, rest.len()), (200, 0));
    assert!(got == body(700));
    assert!(String::from_utf8_lossy(&received).contains("; hit"), "it is a hit all the same");
    stage.no_job();
    drop((cold, hot));
    stage.run_for_ms(6_000);
    stage.assert_clean();
}

#[test]
fn every_window_of_a_large_body_comes_cold_and_whole() {
    let mut stage = stage(3_000_000);
    let client = stage.client();
    client.write(ASK);
    let mut received = Vec::new();
    let (mut waited, mut ahead) = (0, 0);
    for round in 0..4_000 {
        stage.run_for_ms(5);
        received.extend(client.read());
        ahead += stage.pages.waiting().1;
        waited += stage.pages.read();
        // Memory is short: what was read goes again now and then.
        if round % 5 == 0 {
            stage.drop_pages("/cold");
        }
    }
    let (status, got, rest) = take_response(&received);
    assert_eq!((status, rest.len()), (200, 0));
    assert!(got == body(3_000_000), "{} bytes", got.len());
    assert!(waited > 3 && ahead > 3, "{waited} windows waited for, {ahead} read ahead");
}

#[test]
fn a_full_pager_sends_the_request_to_the_origin() {
    let mut stage = stage(700);
    stage.pages.refuse(true);
    let client = stage.client();
    client.write(ASK);
    stage.run_for_ms(10);
    let job = stage.job();
    assert!(matches!(job.kind, JobKind::Pass { upload: None, .. }), "nothing may be stored of it");
    assert_eq!(stage.pages.waiting(), (0, 0));
    job.reply.expect("somebody waits").post(Event::Failed(FetchError::ConnectRefused));
    stage.run_for_ms(10);
    assert!(client.read().starts_with(b"HTTP/1.1 502 "));
}

#[test]
fn what_may_not_go_to_the_origin_is_told_to_come_back() {
    let mut stage = stage(700);
    stage.pages.refuse(true);
    let client = stage.client();
    client.write(b"GET /cold HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\n\r\n");
    stage.run_for_ms(10);
    let received = String::from_utf8(client.read()).unwrap();
    assert!(received.starts_with("HTTP/1.1 503 "), "{received}");
    assert!(received.to_ascii_lowercase().contains("retry-after: 1"), "{received}");
    stage.no_job();
}

#[test]
fn a_response_under_way_asks_a_full_pager_again() {
    let mut stage = stage(1_000_000);
    let client = stage.client();
    client.write(ASK);
    let mut received = Vec::new();
    // Until the head and the first window are there.
    while received.is_empty() {
        stage.run_for_ms(5);
        received.extend(client.read());
        stage.pages.read();
    }
    stage.drop_pages("/cold");
    stage.pages.refuse(true);
    for _ in 0..100 {
        stage.run_for_ms(5);
        received.extend(client.read());
    }
    assert!(received.len() < 1_000_000 && !client.is_reset());
    stage.pages.refuse(false);
    received.extend(answer(&mut stage, &client));
    let (status, got, rest) = take_response(&received);
    assert_eq!((status, rest.len()), (200, 0));
    assert!(got == body(1_000_000));
}

#[test]
fn a_client_that_leaves_meanwhile_leaves_nothing_behind() {
    let mut stage = stage(700);
    let client = stage.client();
    client.write(ASK);
    stage.run_for_ms(10);
    assert_eq!(stage.pages.waiting(), (1, 0));
    drop(client);
    stage.run_for_ms(10);
    stage.pages.read();
    stage.run_for_ms(100_000);
    stage.assert_clean();
    stage.no_job();
}

#[test]
fn pages_that_always_go_again_end_at_the_origin() {
    let mut stage = stage(700);
    let client = stage.client();
    client.write(ASK);
    let mut rounds = 0;
    while stage.pages.waiting().0 == 0 && rounds == 0 || stage.pages.waiting().0 > 0 {
        stage.run_for_ms(5);
        stage.pages.read();
        stage.drop_pages("/cold");
        stage.run_for_ms(5);
        rounds += 1;
        assert!(rounds < 100, "it asks without end");
    }
    assert!(rounds > 3);
    assert!(matches!(stage.job().kind, JobKind::Pass { .. }));
}

#[test]
fn news_of_a_stored_response_waits_for_its_pages() {
    let mut stage = Stage::on_disk();
    let client = stage.client();
    client.write(ASK);
    stage.run_for_ms(10);
    let job = stage.job();
    stage.store("/cold", &body(700));
    stage.drop_pages("/cold");
    let news = Event::UseStored { answered: None, collapsed: true };
    job.reply.expect("somebody waits").post(news);
    stage.run_for_ms(10);
    assert_eq!(stage.pages.waiting(), (1, 0));
    assert!(client.read().is_empty());
    let received = answer(&mut stage, &client);
    let (status, got, _) = take_response(&received);
    assert_eq!(status, 200);
    assert!(got == body(700));
    stage.no_job();
}

#[test]
fn a_disk_that_does_not_give_its_pages_is_a_miss_from_then_on() {
    let mut stage = stage(700);
    let (cold, hot) = (stage.client(), stage.client());
    cold.write(ASK);
    stage.run_for_ms(10);
    stage.cut_store();
    stage.pages.read();
    stage.run_for_ms(10);
    assert!(matches!(stage.job().kind, JobKind::Fill { share: true }));
    assert_eq!(stage.unreadable(), 1);
    hot.write(b"GET /hot HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(10);
    assert!(matches!(stage.job().kind, JobKind::Fill { share: true }));
}

#[test]
fn a_cut_file_under_a_response_ends_the_connection() {
    let mut stage = stage(1_000_000);
    let client = stage.client();
    client.write(ASK);
    let mut received = Vec::new();
    // Until the first window is there, and the second is asked for and not read. (The simulated
    // network copies bytes by itself; the kernel would return EFAULT.)
    loop {
        stage.run_for_ms(1);
        received.extend(client.read());
        if !received.is_empty() {
            break;
        }
        stage.pages.read();
    }
    stage.cut_store();
    for _ in 0..10 {
        stage.pages.read();
        stage.run_for_ms(5);
        received.extend(client.read());
    }
    assert!(client.is_reset() || client.is_ended(), "it must not look whole");
    let head_end = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let got = &received[head_end..];
    assert!(got.len() < 1_000_000 && *got == body(1_000_000)[..got.len()]);
    assert_eq!(stage.unreadable(), 1);
}

#[test]
fn a_store_in_memory_is_never_cold() {
    let mut stage = Stage::new(7, Profile::default());
    stage.store("/x", &body(1_000_000));
    let client = stage.client();
    let received = stage.exchange(&client, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(take_response(&received).1 == body(1_000_000));
    assert_eq!(stage.pages.waiting(), (0, 0));
}
