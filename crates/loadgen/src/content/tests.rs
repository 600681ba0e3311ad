//! Content is a function of the path, and any part of it equals the same part of the whole.

use xxhash_rust::xxh3::xxh3_64;

use super::{CONTENT_BYTES_MAX, Content};

fn whole(target: &str) -> Vec<u8> {
    let content = Content::of_target(target).expect("a content target");
    let mut bytes = vec![0; content.length_bytes() as usize];
    content.fill(0, &mut bytes);
    bytes
}

#[test]
fn every_part_equals_the_same_part_of_the_whole() {
    let target = "/bytes/97";
    let all = whole(target);
    let content = Content::of_target(target).expect("a content target");
    for start in 0..all.len() {
        for end in start..=all.len() {
            let mut part = vec![0; end - start];
            content.fill(start as u64, &mut part);
            assert_eq!(part, all[start..end], "{start}..{end}");
        }
    }
}

#[test]
fn query_is_no_part_of_the_content_and_the_path_is() {
    assert_eq!(whole("/bytes/64"), whole("/bytes/64?max_age=1"));
    assert_ne!(whole("/bytes/64"), whole("/bytes/64/b"));
    assert_ne!(whole("/bytes/64/a"), whole("/bytes/64/b"));
}

#[test]
fn hash_is_that_of_the_bytes() {
    for target in ["/bytes/0", "/bytes/1", "/bytes/65536", "/bytes/200001"] {
        let content = Content::of_target(target).expect("a content target");
        assert_eq!(content.hash(), xxh3_64(&whole(target)), "{target}");
    }
}

#[test]
fn other_targets_have_no_content() {
    let over = format!("/bytes/{}", CONTENT_BYTES_MAX + 1);
    for target in ["/", "/bytes", "/bytes/", "/bytes/x", "/bytes/-1", "/bytes/+1", "/byte/1", &over]
    {
        assert_eq!(Content::of_target(target), None, "{target}");
    }
}
