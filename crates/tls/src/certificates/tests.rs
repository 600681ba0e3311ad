//! Which certificate a name gets, and files that are not in order.

use std::path::PathBuf;

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;

use super::{CertificateFiles, Certificates, LoadError, Shown};
use super::{is_covered, pick};
use crate::{Acceptor, ServerSettings};

/// A folder of certificates.
struct Shelf {
    folder: tempfile::TempDir,
}

impl Shelf {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.add_with(file, names, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    fn add_with(
        &self,
        file: &str,
        names: &[&str],
        algorithm: &'static rcgen::SignatureAlgorithm,
    ) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let signing_key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let parameters = rcgen::CertificateParams::new(names).unwrap();
        let cert = parameters.self_signed(&signing_key).unwrap();
        let certificate = self.path(&format!("{file}.pem"));
        let key = self.path(&format!("{file}.key"));
        std::fs::write(&certificate, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        CertificateFiles { certificate, key, ..CertificateFiles::default() }
    }
}

fn load(files: &[CertificateFiles], refuse: bool) -> Result<Certificates, LoadError> {
    Certificates::load(files, refuse, &rustls::crypto::aws_lc_rs::default_provider())
}

#[test]
fn name_finds_its_certificate() {
    let shelf = Shelf::new();
    let files = [
        shelf.add("first", &["first.example", "also.example"]),
        shelf.add("star", &["*.star.example"]),
        shelf.add("exact", &["exact.star.example"]),
    ];
    let certificates = load(&files, false).unwrap();
    let strict = load(&files, true).unwrap();
    for (name, expected) in [
        (Some("first.example"), Some(0)),
        (Some("FIRST.example"), Some(0)),
        (Some("first.example."), Some(0)),
        (Some("also.example"), Some(0)),
        (Some("a.star.example"), Some(1)),
        (Some("A.Star.Example"), Some(1)),
        (Some("exact.star.example"), Some(2)),
        (Some("a.b.star.example"), None),
        (Some("star.example"), None),
        (Some("other.example"), None),
        (Some("localhost"), None),
        (None, Some(0)),
    ] {
        let is_of = |found: Option<&[std::sync::Arc<Shown>]>, at: usize| {
            let expected: CertificateDer<'static> =
                super::load_chain(&files[at].certificate).unwrap().remove(0);
            found.is_some_and(|found| found[0].bare.cert[0] == expected)
        };
        let found = certificates.find(name);
        assert!(is_of(found, expected.unwrap_or(0)), "{name:?}");
        let found = strict.find(name);
        assert_eq!(found.is_some(), expected.is_some(), "{name:?} where unknown names are refused");
        assert!(expected.is_none_or(|at| is_of(found, at)), "{name:?}");
    }
}

/// One name may have several certificates, whose keys are of different kinds.
#[test]
fn client_is_shown_the_certificate_whose_signature_it_understands() {
    let shelf = Shelf::new();
    let names = ["a.example"];
    let files = [
        shelf.add("usual", &names),
        shelf.add_with("edwards", &names, &rcgen::PKCS_ED25519),
        shelf.add("other", &["b.example"]),
    ];
    let certificates = load(&files, true).unwrap();
    for (name, expected) in [(Some("a.example"), 2), (None, 2), (Some("b.example"), 1)] {
        assert_eq!(certificates.find(name).unwrap().len(), expected, "{name:?}");
    }
    let found = certificates.find(Some("a.example")).unwrap();
    for (schemes, expected) in [
        (&[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519][..], 0),
        (&[SignatureScheme::ED25519], 1),
        (&[SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256], 0),
        (&[SignatureScheme::RSA_PSS_SHA256], 0),
        (&[], 0),
    ] {
        let picked = pick(found, schemes).unwrap();
        assert!(std::sync::Arc::ptr_eq(picked, &found[expected]), "{schemes:?}");
    }
}

#[test]
fn names_that_are_set_come_before_those_in_the_certificate() {
    let shelf = Shelf::new();
    let mut files = shelf.add("star", &["*.star.example"]);
    files.names = vec!["One.star.example".into()];
    let certificates = load(&[files.clone()], true).unwrap();
    assert!(certificates.find(Some("one.star.example")).is_some());
    assert!(certificates.find(Some("two.star.example")).is_none());
    files.names = vec!["one.star.example".into(), "elsewhere.example".into()];
    let error = load(&[files], true).unwrap_err();
    assert!(error.reason.contains("not valid for elsewhere.example"), "{error}");
}

#[test]
fn star_covers_one_label() {
    let own = ["*.a.example".to_owned(), "b.example".to_owned()];
    for (name, covered) in [
        ("x.a.example", true),
        ("*.a.example", true),
        ("a.example", false),
        ("x.y.a.example", false),
        ("b.example", true),
        ("x.b.example", false),
        ("example", false),
    ] {
        assert_eq!(is_covered(name, &own), covered, "{name}");
    }
}

/// Each fault names its file, and what is wrong with it.
#[test]
fn files_that_are_not_in_order_are_named() {
    let shelf = Shelf::new();
    let good = shelf.add("good", &["a.example"]);
    let other = shelf.add("other", &["a.example"]);
    std::fs::write(shelf.path("empty"), "").unwrap();
    std::fs::write(shelf.path("text"), "no PEM here\n").unwrap();
    std::fs::write(shelf.path("half"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    let with = |certificate: &str, key: &str, ocsp: Option<&str>| CertificateFiles {
        certificate: shelf.path(certificate),
        key: shelf.path(key),
        ocsp: ocsp.map(|name| shelf.path(name)),
        names: Vec::new(),
    };
    for (files, path, reason) in [
        (with("missing", "good.key", None), "missing", "cannot be read as PEM"),
        (with("empty", "good.key", None), "empty", "no certificate in it"),
        (with("half", "good.key", None), "half", "PEM"),
        (with("good.pem", "missing", None), "missing", "no private key"),
        (with("good.pem", "text", None), "text", "no private key"),
        (with("good.pem", "other.key", None), "other.key", "is not the key of"),
        (with("good.pem", "good.key", Some("missing")), "missing", "No such file"),
        (with("good.pem", "good.key", Some("text")), "text", "no OCSP response"),
    ] {
        let error = load(&[good.clone(), files, other.clone()], false).unwrap_err();
        assert_eq!(error.path, shelf.path(path), "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }
    assert!(load(&[], false).unwrap_err().reason.contains("there are none"));
}

/// RFC 6960, section 4.2.2.1: what its nextUpdate has passed is not to be relied upon.
#[test]
fn stale_staple_is_not_shown() {
    let shelf = Shelf::new();
    let mut files = shelf.add("stapled", &["a.example"]);
    let path = shelf.path("staple");
    let until_s = 1_767_225_600;
    std::fs::write(&path, crate::staple::tests::response(&[Some("20260101000000Z")])).unwrap();
    files.ocsp = Some(path.clone());
    let certificates = load(&[files.clone()], false).unwrap();
    assert_eq!(certificates.staples(), [(path.clone(), until_s)]);
    let has_staple = |certificates: &Certificates, now_s| {
        let [shown] = certificates.find(None).unwrap() else { panic!("one certificate") };
        shown.at(now_s).ocsp.is_some()
    };
    let times = [0, until_s - 1, until_s, u64::MAX];
    assert_eq!(times.map(|now_s| has_staple(&certificates, now_s)), [true, true, false, false]);
    // One that does not say so holds for as long as it is there.
    std::fs::write(&path, crate::staple::tests::response(&[None])).unwrap();
    let certificates = load(&[files], false).unwrap();
    assert_eq!(certificates.staples(), []);
    assert_eq!(times.map(|now_s| has_staple(&certificates, now_s)), [true; 4]);
}

/// One that has passed long ago, one that has not yet, and one that does not say.
#[test]
fn stale_staples_are_told_by_their_files() {
    let shelf = Shelf::new();
    let times = [Some("20000101000000Z"), Some("99991231235959Z"), None];
    let files = ["old", "new", "silent"].into_iter().zip(times).map(|(name, next_update)| {
        let mut files = shelf.add(name, &[&format!("{name}.example")]);
        let path = shelf.path(&format!("{name}.staple"));
        std::fs::write(&path, crate::staple::tests::response(&[next_update])).unwrap();
        files.ocsp = Some(path);
        files
    });
    let settings = ServerSettings { certificates: files.collect(), ..ServerSettings::default() };
    let acceptor = Acceptor::new(settings).unwrap();
    assert_eq!(acceptor.stale_staples(), [shelf.path("old.staple")]);
}
