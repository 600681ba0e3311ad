//! The queue's bound, and who gets which share of it (FL-4).

use super::*;

fn job() -> FillJob {
    FillJob {
        kind: JobKind::Revalidate,
        key: Vec::new(),
        head: Arc::from([]),
        site: SiteRef::plain(0),
        peer: SocketAddr::from(([192, 0, 2, 1], 1)),
        scheme: "http",
        reply: None,
        asker: None,
    }
}

#[test]
fn background_work_leaves_half_of_the_queue_to_those_who_wait() {
    let (port, mut queue) = queue(4);
    for taken in [true, true, false, false] {
        assert_eq!(port.submit_background(job()).is_ok(), taken);
    }
    assert_eq!(port.waiting(), 2);
    for taken in [true, true, false] {
        assert_eq!(port.submit(job()).is_ok(), taken);
    }
    assert_eq!(port.waiting(), 4);
    assert!(port.submit_background(job()).is_err());
    for _ in 0..3 {
        assert!(queue.try_next().is_some());
    }
    assert!(port.submit_background(job()).is_ok());
    assert_eq!(port.waiting(), 2);
}
