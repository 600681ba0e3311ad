//! Catalogs: which URL a key is, what is asked for it, and what is right.

use super::{Catalog, CatalogError, Demand, Drawing};
use crate::answer::Answer;
use crate::content::Content;
use crate::fault::Fault;
use crate::target::Target;
use crate::verify::Body;

const DEMAND: Demand = Demand { exponent: 1.0, seed: 1 };

fn target(path: &str) -> Target {
    Target::parse(&format!("http://127.0.0.1:8080{path}")).expect("a target")
}

fn generated(path: &str, keys: u32, sizes: &[u64]) -> Result<Catalog, CatalogError> {
    Catalog::generated(&target(path), keys, sizes, DEMAND)
}

fn check_path(path: &str, sizes: &[u64], expected: &str) {
    let catalog = generated(path, 100, sizes).expect("a catalog");
    assert_eq!(catalog.path(42), expected, "{path} {sizes:?}");
}

#[test]
fn keys_stand_behind_the_path_and_before_the_query() {
    check_path("/bytes/1024", &[], "/bytes/1024/42");
    check_path("/bytes/1024/a/b?max_age=60", &[], "/bytes/1024/a/b/42?max_age=60");
    check_path("/bytes/1024?etag=0", &[7], "/bytes/7/42?etag=0");
    check_path("/", &[7], "/bytes/7/42");
    check_path("/?a=1", &[], "/42?a=1");
    check_path("/images/?v=2", &[], "/images/42?v=2");
}

#[test]
fn a_mix_of_sizes_has_each_size_for_its_share_of_keys() {
    let catalog = generated("/", 10_000, &[1, 1, 1, 900]).expect("a catalog");
    let large = (0..10_000).filter(|key| catalog.path(*key).starts_with("/bytes/900/")).count();
    assert!((2300..2700).contains(&large), "{large} of 10,000");
    assert_eq!(catalog.path(5), catalog.path(5));
}

#[test]
fn listed_urls_are_taken_as_they_are() {
    let text = "\n# most wanted first\n/a?x=1\r\n  http://127.0.0.1:8080/b \n";
    let catalog = Catalog::listed(&target("/"), text, DEMAND).expect("a catalog");
    assert_eq!((catalog.keys(), &*catalog.path(0), &*catalog.path(1)), (2, "/a?x=1", "/b"));
}

#[test]
fn what_cannot_be_a_catalog_is_refused_by_name() {
    let error = |path, keys, sizes: &[u64]| generated(path, keys, sizes).expect_err("refused");
    assert_eq!(error("/", 0, &[1]), CatalogError::Keys(0));
    assert_eq!(error("/", super::KEYS_MAX + 1, &[1]), CatalogError::Keys(4_194_305));
    assert_eq!(error("/a", 1, &[1]), CatalogError::Sizes);
    assert_eq!(error("/", 1, &[5, 1 << 40]), CatalogError::Size(1 << 40));
    for exponent in [-0.1, 10.1, f64::NAN] {
        let demand = Demand { exponent, ..DEMAND };
        let refused = Catalog::generated(&target("/"), 1, &[], demand);
        assert_eq!(refused.err(), Some(CatalogError::Exponent), "{exponent}");
    }
    let listed = |text| Catalog::listed(&target("/"), text, DEMAND).expect_err("refused");
    for text in
        ["/a\nb", "/a\nhttp://127.0.0.1:80801/b", "/a\nhttps://127.0.0.1:8080/b", "/a\n/b c"]
    {
        assert_eq!(listed(text), CatalogError::Line(2), "{text}");
    }
    assert_eq!(listed("# nothing\n"), CatalogError::Keys(0));
    let socket = Target::parse("ws://127.0.0.1/").expect("a target");
    let refused = Catalog::generated(&socket, 1, &[], DEMAND);
    assert_eq!(refused.err(), Some(CatalogError::WebSocket));
}

#[test]
fn questions_name_the_path_and_bound_the_answer() {
    let target = target("/bytes/5000?max_age=60");
    let catalog = Catalog::generated(&target, 1, &[], DEMAND).expect("a catalog");
    let (key, question) = Drawing::new(&catalog).draw(&target);
    let request = String::from_utf8(question.request.to_vec()).expect("ASCII");
    assert!(
        request.starts_with("GET /bytes/5000/0?max_age=60 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
    );
    assert_eq!((key, question.length_bytes_max), (0, 5000));
}

#[test]
fn each_key_has_its_own_body_settled_by_content_or_by_the_first_right_answer() {
    let answer = |status, length_bytes, hash| Answer {
        status,
        body: Body { length_bytes, hash },
        hit: None,
        reusable: true,
    };
    let catalog = generated("/bytes/40", 10, &[]).expect("a catalog");
    let mut drawing = Drawing::new(&catalog);
    let hash = Content::of_target("/bytes/40/3").expect("content").hash();
    for _ in 0..2 {
        assert_eq!(drawing.check(3, &answer(200, 40, hash)), Ok(()));
        let wrong = Err(Fault::WrongBody { found_hash: hash });
        assert_eq!(drawing.check(4, &answer(200, 40, hash)), wrong);
    }
    let target = target("/");
    let catalog = Catalog::listed(&target, "/a\n/b", DEMAND).expect("a catalog");
    let mut listed = Drawing::new(&catalog);
    let missing = Err(Fault::WrongStatus { found: 404 });
    assert_eq!(listed.check(0, &answer(404, 9, 9)), missing, "settles nothing");
    assert_eq!(listed.check(0, &answer(200, 5, 1)), Ok(()));
    assert_eq!(listed.check(1, &answer(200, 6, 2)), Ok(()));
    assert_eq!(listed.check(0, &answer(200, 5, 2)), Err(Fault::WrongBody { found_hash: 2 }));
    assert_eq!(listed.check(1, &answer(200, 5, 2)), Err(Fault::WrongLength { found_bytes: 5 }));
    assert_eq!(listed.check(0, &answer(200, 5, 1)), Ok(()));
}
