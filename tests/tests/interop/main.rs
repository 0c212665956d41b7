//! An export opens in other people's tools: pandas, polars, pyarrow, DuckDB, webdataset,
//! safetensors and onnxruntime.
//!
//! The tools are in a virtual environment that `scripts/setup.sh test` makes in the cache folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_common::settings::cache_folder;
use jhalak_tests::dataset::Made;
use jhalak_tests::markdown::Document;
use jhalak_tests::programs::{command, run};
use jhalak_tests::repository;

/// The Python with the tools.
fn python() -> PathBuf {
    let python = cache_folder().expect("a folder for downloads").join("venv-interop/bin/python");
    assert!(python.is_file(), "{} is missing: run scripts/setup.sh test", python.display());
    python
}

/// The run of a small dataset, exported to `folder`/results.
fn exported(folder: &Path) -> PathBuf {
    let (dataset, store, out) = (folder.join("data"), folder.join("store"), folder.join("results"));
    Made::new(&dataset, true);
    let mut jhalak = command("jhalak", &store);
    jhalak.args(["run", "--quiet", "--set", "extract.also=scene-middle,scene-object"]);
    let ran = run(jhalak.args(["--set", "extract.object_stride=25", "--dataset"]).arg(&dataset));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let export = run(command("jhalak", &store).args(["export", "--pictures", "--out"]).arg(&out));
    assert_eq!(export.code, Some(0), "{}", export.err);
    assert!(export.out.contains("embeddings.parquet"), "{}", export.out);
    let again = run(command("jhalak", &store).args(["export", "--out"]).arg(&out));
    assert_eq!(again.code, Some(3), "a folder with files is refused: {}", again.out);
    out
}

#[test]
fn every_file_of_an_export_opens_in_the_usual_tools() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = exported(folder.path());
    let opened = run(Command::new(python()).arg(repository().join("tests/interop/open_export.py")).arg(&out));
    assert_eq!(opened.code, Some(0), "{}\n{}", opened.out, opened.err);
    let checks = opened.out.lines().filter(|line| line.starts_with("right: ")).count();
    assert!(checks > 200, "only {checks} checks:\n{}", opened.out);

    let snippets: Vec<String> = Document::read("docs/python.md")
        .code_blocks()
        .into_iter()
        .filter(|block| block.language == "python")
        .map(|block| block.lines.join("\n"))
        .collect();
    assert!(snippets.len() >= 4, "the snippets of docs/python.md are found");
    for snippet in &snippets {
        let ended = run(Command::new(python()).current_dir(folder.path()).args(["-c", snippet]));
        assert_eq!(ended.code, Some(0), "{snippet}\n{}\n{}", ended.out, ended.err);
    }
}
