//! Every example of a configuration file is one, and a key that means nothing is refused.

use jhalak_common::ErrorKind;
use jhalak_common::models::Registry;
use jhalak_common::settings::Settings;
use jhalak_tests::repository;

#[test]
fn every_example_file_is_a_configuration() {
    for file in ["demo/jhalak.toml", "k8s/base/jhalak.toml"] {
        let path = repository().join(file);
        Settings::load(Some(&path), &[]).unwrap_or_else(|e| panic!("{file}: {}", e.chain()));
    }
    Registry::load(Some(&repository().join("models.toml"))).expect("the registry is one");
}

#[test]
fn unknown_keys_wrong_types_and_values_out_of_range_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (text, word) in [
        ("stroe = \"x\"", "stroe"),
        ("[worker]\nslotz = 3", "slotz"),
        ("[worker]\nslots = \"many\"", "slots"),
        ("[extract]\njpeg_quality = 101", "jpeg_quality"),
        ("[evaluate]\nfolds = 1", "evaluate.folds"),
    ] {
        let file = folder.path().join("jhalak.toml");
        std::fs::write(&file, text).expect("room on disk");
        let error = Settings::load(Some(&file), &[]).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.chain().contains(word), "{text}: {}", error.chain());
    }
    let error = Settings::load(Some(&folder.path().join("absent.toml")), &[]).expect_err("no file");
    assert!(error.chain().contains("absent.toml"));
}

#[test]
fn a_password_is_never_shown() {
    let settings = Settings { queue: "amqps://jhalak:s3cret@broker:5671/films?x=s3cret".into(), ..Settings::default() };
    let shown = format!("{settings:?} {}", settings.shown());
    assert!(!shown.contains("s3cret") && shown.contains("broker:5671"), "{shown}");
}
