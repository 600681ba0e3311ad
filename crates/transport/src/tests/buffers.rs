//! [`Buffer`] against a plain vector, and the pool's bound.

use proptest::prelude::*;

use crate::buffers::{BUFFER_BYTES, Buffer, BufferPool};

#[derive(Clone, Debug)]
enum Step {
    Extend(Vec<u8>),
    Consume(usize),
    Compact,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Extend),
        3 => (0_usize..30).prop_map(Step::Consume),
        1 => Just(Step::Compact),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn buffer_holds_what_a_vector_would(steps in proptest::collection::vec(step(), 0..60)) {
        let mut buffer = Buffer::with_capacity(64);
        let mut model = Vec::new();
        for step in steps {
            match step {
                Step::Extend(bytes) => {
                    let fits = bytes.len() <= buffer.spare_len();
                    prop_assert_eq!(buffer.extend_from_slice(&bytes), fits);
                    model.extend(bytes.into_iter().filter(|_| fits));
                }
                Step::Consume(bytes) => {
                    buffer.consume(bytes);
                    model.drain(..bytes.min(model.len()));
                }
                Step::Compact => {
                    buffer.compact();
                    prop_assert_eq!(buffer.spare_len(), buffer.capacity() - model.len());
                }
                Step::Clear => {
                    buffer.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(buffer.filled(), &model[..]);
            prop_assert_eq!((buffer.len(), buffer.is_empty()), (model.len(), model.is_empty()));
            prop_assert!(buffer.spare_len() + buffer.len() <= buffer.capacity());
        }
    }
}

#[test]
fn emptied_buffer_is_all_spare() {
    let mut buffer = Buffer::with_capacity(4);
    assert!(buffer.extend_from_slice(b"abcd"));
    buffer.consume(3);
    assert_eq!(buffer.spare_len(), 0);
    buffer.consume(1);
    assert_eq!(buffer.spare_len(), 4);
}

#[test]
fn pool_counts_what_is_out() {
    let mut pool = BufferPool::new(2);
    assert_eq!(pool.out_count(), 0);
    let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
    assert_eq!((one.capacity(), two.spare_len()), (BUFFER_BYTES, BUFFER_BYTES));
    assert!(pool.take().is_none());
    assert_eq!(pool.out_count(), 2);
    pool.put(one);
    pool.put(Buffer::with_capacity(BUFFER_BYTES));
    assert_eq!(pool.out_count(), 1, "a foreign buffer does not count");
}

#[test]
fn pool_of_none_has_none() {
    assert!(BufferPool::new(0).take().is_none());
}
