//! The messages of every version.

use super::*;
use crate::evaluation::{Modality, Model, Split, UserEmbedding};
use serde_json::json;

/// One message of each kind, as written by this version.
fn messages() -> Vec<(&'static str, Value)> {
    let content = hash::of_bytes(b"a trailer");
    let recipe = |kind| Recipe { kind, contract: 1, params: json!({"x": 1}), models: vec![content], upstream: vec![] };
    let job = |task| Job {
        version: 1,
        id: "a-job".into(),
        run: "films-0123456789ab".into(),
        store: "s3://bucket/prefix".into(),
        attempt: 2,
        failed_on: BTreeSet::new(),
        is_copy: false,
        traceparent: None,
        signature: None,
        task,
    };
    let extract = job(Task::Extract(ExtractTask {
        trailer: Trailer {
            subject: Subject { id: "tt9900001".into(), content },
            store: "s3://bucket/dataset".into(),
            key: "trailers/tt9900001.mp4".into(),
            size: 123,
            tag: Some("\"etag\"".into()),
        },
        wanted: vec![recipe(ArtifactKind::Keyframes)],
    }));
    let (split, model) = (Split::Users { known: 5 }, Model::Classifier { heads: 4 });
    let cell = job(Task::Cell(Box::new(CellTask {
        dataset: Subject { id: "films".into(), content },
        cell: CellSpec::strict(split, Modality::AudioVideo, model, UserEmbedding::All, true),
        fold: 3,
        recipe: recipe(ArtifactKind::Cell),
        tables: BTreeMap::from([(ArtifactKind::VideoTable, content)]),
        table_subject: Subject { id: "films".into(), content },
        subjects: BTreeMap::new(),
    })));
    let probe = job(Task::Probe(ProbeTask {
        workers: WorkKind::Train,
        subject: Subject { id: "probe".into(), content },
        recipe: Some(recipe(ArtifactKind::Probe)),
    }));
    let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = Job { traceparent: Some(place.into()), ..probe.clone() };
    let fit = job(Task::Fit(Box::new(FitTask {
        dataset: Subject { id: "films".into(), content },
        fit: FitSpec {
            network: Some(CellSpec::strict(Split::Pairs, Modality::Video, model, UserEmbedding::Liked, true)),
            ensembles: vec![Split::Pairs, split],
            trailers: None,
            seed: 7,
            left_out: vec![],
        },
        recipe: recipe(ArtifactKind::Model),
        tables: BTreeMap::from([(ArtifactKind::VideoTable, content)]),
        table_subject: Subject { id: "films".into(), content },
        subjects: BTreeMap::new(),
    })));
    let result = |outcome| JobResult {
        version: 1,
        job: "a-job".into(),
        run: "films-0123456789ab".into(),
        attempt: None,
        worker: None,
        outcome,
    };
    let seconds = BTreeMap::from([("decode".to_string(), 1.5)]);
    let done = result(Outcome::Committed { made: 3, seconds });
    let dropped = result(Outcome::Cancelled);
    let given_up = result(Outcome::Quarantined { error: ErrorKind::InvalidInput, reason: "no video".into() });
    let value = |message: &dyn Fn() -> Bytes| serde_json::from_slice(&message()).expect("JSON");
    vec![
        ("job-extract-v1", value(&|| extract.encode().expect("it serialises"))),
        ("job-cell-v1", value(&|| cell.encode().expect("it serialises"))),
        ("job-probe-v1", value(&|| probe.encode().expect("it serialises"))),
        ("job-probe-traced-v1", value(&|| traced.encode().expect("it serialises"))),
        ("job-fit-v1", value(&|| fit.encode().expect("it serialises"))),
        ("result-committed-v1", value(&|| done.encode().expect("it serialises"))),
        ("result-quarantined-v1", value(&|| given_up.encode().expect("it serialises"))),
        ("result-cancelled-v1", value(&|| dropped.encode().expect("it serialises"))),
    ]
}

/// Golden messages of every version are still read, and this version writes its own golden
/// message. Set `JHALAK_WRITE_GOLDEN` to write the golden files of a new version.
#[test]
fn messages_of_every_version_are_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/run/golden");
    for (name, message) in messages() {
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("JHALAK_WRITE_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&message).expect("it serialises");
            std::fs::write(&path, text + "\n").expect("a folder that can be written");
        }
        let golden = std::fs::read(&path).expect("a golden file");
        assert_eq!(serde_json::from_slice::<Value>(&golden).expect("JSON"), message, "{name}");
        let again = match name.starts_with("job") {
            true => Job::decode(&golden).and_then(|job| job.encode()),
            false => JobResult::decode(&golden).and_then(|result| result.encode()),
        };
        let again: Value = serde_json::from_slice(&again.expect("it is read")).expect("JSON");
        assert_eq!(again, message, "{name}");
    }
}

#[test]
fn a_newer_message_is_refused_with_advice() {
    let mut newer = messages().remove(0).1;
    newer["version"] = json!(MESSAGE_VERSION + 1);
    let error = Job::decode(newer.to_string().as_bytes()).expect_err("it is newer");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.chain().contains("upgrade"), "{}", error.chain());
    for bad in ["", "no json", "{}", r#"{"version": 1}"#, r#"{"version": "1"}"#, "[]"] {
        assert_eq!(Job::decode(bad.as_bytes()).expect_err(bad).kind(), ErrorKind::InvalidInput);
    }
}
