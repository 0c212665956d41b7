//! Other embedders by a registry entry alone: clips, sound as it is, and entries or files that are
//! wrong. The models are the tiny ones of `worker/tests/seeded`.

use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{command, files, run};
use serde_json::Value;

fn seeded() -> PathBuf {
    jhalak_tests::repository().join("worker/tests/seeded")
}

/// `jhalak` with the registry of the tiny models.
fn jhalak(store: &Path, video: &str) -> Command {
    let mut jhalak = command("jhalak", store);
    jhalak
        .env("JHALAK__MODELS__REGISTRY", seeded().join("models.toml"))
        .env("JHALAK__MODELS__FOLDER", seeded())
        .env("JHALAK__MODELS__VIDEO", video)
        .env("JHALAK__MODELS__AUDIO", "seeded-tiny-wav2vec2-base");
    jhalak
}

fn facts(store: &Path, kind: &str) -> Vec<Value> {
    files(store)
        .iter()
        .filter(|(name, _)| name.starts_with(&format!("artifacts/{kind}/")) && name.ends_with("commit.json"))
        .map(|(_, bytes)| serde_json::from_slice::<Value>(bytes).expect("a commit record")["facts"].clone())
        .collect()
}

#[test]
fn a_run_takes_its_embedders_from_the_registry() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let go = |video: &str| {
        let ended = run(jhalak(&store, video).args(["run", "--quiet", "--dataset"]).arg(&dataset));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    };
    go("seeded-tiny-timesformer-k600");
    let seen = facts(&store, "video-embedding");
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|f| f["dim"] == 32 && f["frames"] == 4), "{seen:?}");
    let heard = facts(&store, "audio-embedding");
    assert_eq!(heard.iter().filter(|f| f["dim"] == 16).count(), 3, "{heard:?}");
    // Three seconds at 16 kHz are 149 frames of 400 samples each 320; an encoder may add some.
    assert!(heard.iter().any(|f| f["windows"].as_u64().is_some_and(|n| (147..156).contains(&n))), "{heard:?}");
    go("seeded-tiny-resnet50");
    assert_eq!(facts(&store, "video-embedding").iter().filter(|f| f["dim"] == 2_048).count(), 4);
    assert_eq!(facts(&store, "audio-embedding").len(), 4, "another video model makes no sound again");
}

#[test]
fn nan_outputs_quarantine_the_trailer_with_model_and_node() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    let ended = run(jhalak(&store, "not-a-number").args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    let reasons: Vec<String> = files(&store)
        .iter()
        .filter(|(name, _)| name.contains("/quarantine/"))
        .map(|(_, bytes)| serde_json::from_slice::<Value>(bytes).expect("a record"))
        .inspect(|record| assert_eq!(record["attempts"], 1, "trying again would give the same: {record}"))
        .map(|record| record["reason"].as_str().unwrap_or_default().to_string())
        .collect();
    assert_eq!(reasons.len(), 4);
    for reason in reasons {
        assert!(reason.contains("not-a-number") && reason.contains("NaN") && reason.contains("`vector`"), "{reason}");
    }
}

#[test]
fn file_that_is_not_onnx_is_reported_with_model_and_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store, models) =
        (folder.path().join("data"), folder.path().join("store"), folder.path().join("models"));
    Made::new(&dataset, true);
    std::fs::create_dir(&models).expect("a new folder");
    for name in ["seeded-tiny-wav2vec2-base.onnx", "seeded-tiny-wav2vec2-base-moments.onnx"] {
        std::fs::copy(seeded().join(name), models.join(name)).expect("room on disk");
    }
    std::fs::write(models.join("fixed-batch.onnx"), "<html>404</html>").expect("room on disk");
    let registry = std::fs::read_to_string(seeded().join("models.toml")).expect("in the repository");
    let entry = registry.find("name = \"fixed-batch\"").expect("its entry");
    let sha256 = registry[entry..].find("sha256 = \"").expect("its checksum") + entry + 10;
    // The checksum of those words: the registry and the file agree, and it is still no ONNX.
    let found = sha256_of(&models.join("fixed-batch.onnx"));
    let registry = format!("{}{found}{}", &registry[..sha256], &registry[sha256 + 64..]);
    let file = folder.path().join("models.toml");
    std::fs::write(&file, registry).expect("room on disk");
    let mut jhalak = jhalak(&store, "fixed-batch");
    jhalak.env("JHALAK__MODELS__REGISTRY", &file).env("JHALAK__MODELS__FOLDER", &models);
    let ended = run(jhalak.args(["run", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    for words in ["fixed-batch", "cannot be loaded"] {
        assert!(ended.err.contains(words), "{words} is missing in:\n{}", ended.err);
    }
    assert!(!store.join("runs").exists(), "a run that cannot start is not planned");
}

fn sha256_of(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().expect("sha256sum is installed");
    String::from_utf8_lossy(&output.stdout)[..64].to_string()
}

#[test]
fn missing_provider_is_an_error_at_start_without_fallback() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, false);
    for provider in ["cuda", "tensorrt"] {
        let with = |name: &str| {
            let mut program = command(name, &store);
            program.env("JHALAK__INFERENCE__PROVIDER", provider);
            program
        };
        let ran = run(with("jhalak").args(["run", "--dataset"]).arg(&dataset));
        let worked = run(with("jhalak-worker").env("JHALAK__QUEUE", "amqp://127.0.0.1:9"));
        let looked = run(with("jhalak").arg("doctor"));
        for (ended, code) in [(&ran, 6), (&worked, 6), (&looked, 5)] {
            assert_eq!(ended.code, Some(code), "{ended:?}");
            let words = format!("inference.provider is {provider}");
            assert!(ended.err.contains(&words) || ended.out.contains(&words), "{ended:?}");
        }
    }
    let ended = run(command("jhalak", &store).env("JHALAK__INFERENCE__PROVIDER", "gpu").args(["models", "ls"]));
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("gpu") && ended.err.contains("cuda"), "{}", ended.err);
}

#[test]
fn one_file_is_embedded_by_one_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    let made = Made::new(&dataset, true);
    let trailer = |movie: usize| made.folder.join(format!("trailers/{}.mp4", id(movie)));
    let out = folder.path().join("vectors.safetensors");
    let ended = run(command("jhalak", &store).args(["embed", "--json"]).arg(trailer(0)).arg("--out").arg(&out));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let answer: Value = serde_json::from_str(&ended.out).expect("JSON on standard output");
    let embeddings = answer["embeddings"].as_array().expect("a list");
    for (embedding, (modality, dimension)) in embeddings.iter().zip([("video", 1280), ("audio", 96)]) {
        assert_eq!((&embedding["modality"], &embedding["dimension"]), (&modality.into(), &dimension.into()));
        assert_eq!(embedding["vector"].as_array().map(Vec::len), Some(dimension));
    }
    let written = std::fs::read(&out).expect("--out writes it");
    let length = u64::from_le_bytes(written[..8].try_into().expect("eight bytes"));
    let head = String::from_utf8_lossy(&written[8..8 + length as usize]).into_owned();
    for tensor in ["efficientnet-lite0", "efficientnet-lite0.parts", "speech-embedding"] {
        assert!(head.contains(&format!("\"{tensor}\"")), "{tensor} is missing in {head}");
    }
    // The same vectors as a run commits.
    let ended = run(command("jhalak", &store).args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let vector = embeddings[0]["vector"].as_array().expect("a list");
    let first: Vec<u8> = vector.iter().flat_map(|v| (v.as_f64().expect("a number") as f32).to_le_bytes()).collect();
    let committed = files(&store).into_iter().any(|(name, bytes)| {
        name.starts_with("artifacts/video-embedding/") && bytes.windows(first.len()).any(|w| w == first.as_slice())
    });
    assert!(committed, "no committed embedding has the command's numbers");

    let silent =
        run(command("jhalak", &store).args(["embed", "--json", "--model", "speech-embedding"]).arg(trailer(2)));
    assert_eq!(silent.code, Some(0), "{}", silent.err);
    let answer: Value = serde_json::from_str(&silent.out).expect("JSON on standard output");
    assert_eq!(answer["embeddings"][0]["dimension"], 0);
    assert!(answer["embeddings"][0]["without"].as_str().is_some_and(|why| !why.is_empty()));

    for (args, code, words) in [
        (vec!["embed", "/nowhere/film.mp4"], 3, "/nowhere/film.mp4"),
        (vec!["embed", "/dev/null"], 3, "/dev/null"),
        (vec!["embed"], 2, "VIDEO"),
    ] {
        let ended = run(command("jhalak", &store).args(args));
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        assert!(ended.err.contains(words), "{words} is missing in {}", ended.err);
    }
    let ended = run(command("jhalak", &store).args(["embed", "--model", "nobody"]).arg(trailer(0)));
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("`nobody`") && ended.err.contains("speech-embedding"), "{}", ended.err);
}
