//! Any 128 bytes as a parked session.

use crate::parked::{PARKED_BYTES, Parked, WORDS};
use crate::{Opened, Session};

/// The first 128 bytes of `input` are a parked session, or they are not; what is behind them
/// comes off the wire to it (TL-4, TL-7).
pub fn fuzz_parked(input: &[u8]) {
    let Some((form, wire)) = input.split_first_chunk::<PARKED_BYTES>() else {
        return;
    };
    let words = words_of(form);
    let Ok(session) = Session::wake(Parked::from_words(words)) else {
        return;
    };
    let parked = session.park().ok().expect("what has just woken can park");
    assert_eq!(*parked.as_words(), words, "the form is not canonical");

    let mut session = Session::wake(parked).expect("what was parked wakes");
    let mut wire = wire.to_vec();
    match session.open(&mut wire) {
        // Nobody can have sealed this under secrets that the fuzzer has just made up, unless the
        // session ignores what comes.
        Ok(Opened::Data { .. } | Opened::Quiet { .. }) => panic!("an unsealed record was taken"),
        Ok(Opened::Closed { .. }) => assert!(session.is_peer_closed()),
        Ok(Opened::More { wanted }) => assert!(wanted > wire.len()),
        Err(_) => assert!(session.is_closed()),
    }
    let mut output = [0; 1024];
    if let Ok(sealed) = session.seal(&[b"answer"], &mut output) {
        assert_eq!(sealed.taken, 6);
    }
    let written = session.control(&mut output);
    assert!(written <= output.len() && !session.owes());
}

fn words_of(bytes: &[u8; PARKED_BYTES]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let (chunks, _) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}
