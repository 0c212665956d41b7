//! The layout of artifacts in the store: the only code that builds their keys and parses them.

use serde::{Deserialize, Serialize};

use super::{ArtifactKind, Recipe, Subject};
use crate::hash::Hash;

/// The folder of all artifacts.
pub const ARTIFACTS_FOLDER: &str = "artifacts/";

/// The name of the record that commits an artifact.
pub const COMMIT_FILE: &str = "commit.json";

/// The parts of the key of one file of an artifact. Keys hold short hashes: the whole
/// [`ArtifactKey`] is in the commit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactPath<'a> {
    /// The kind of the artifact.
    pub kind: ArtifactKind,
    /// The short hash of its recipe.
    pub recipe: &'a str,
    /// The name of its subject's folder, see [`ArtifactKey::subject_folder`].
    pub subject: &'a str,
    /// The subject's id: a movie id or a dataset's name.
    pub id: &'a str,
    /// The name of the file.
    pub file: &'a str,
}

impl ArtifactPath<'_> {
    /// Whether the file is the commit record.
    pub fn is_commit(&self) -> bool {
        self.file == COMMIT_FILE
    }
}

/// The location of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ArtifactKey {
    /// The kind.
    pub kind: ArtifactKind,
    /// How it is made.
    pub recipe: Hash,
    /// The subject.
    pub subject: Subject,
}

impl ArtifactKey {
    /// Returns the location of the artifact that `recipe` makes from `subject`.
    pub fn new(recipe: &Recipe, subject: &Subject) -> Self {
        ArtifactKey { kind: recipe.kind, recipe: recipe.hash(), subject: subject.clone() }
    }

    /// Parses the key of an object; None if it is not the key of an artifact's file.
    pub fn parse(key: &str) -> Option<ArtifactPath<'_>> {
        let mut parts = key.strip_prefix(ARTIFACTS_FOLDER)?.splitn(4, '/');
        let kind = ArtifactKind::parse(parts.next()?).ok()?;
        let (recipe, subject, file) = (parts.next()?, parts.next()?, parts.next()?);
        let id = subject.rsplit_once('@')?.0;
        Some(ArtifactPath { kind, recipe, subject, id, file })
    }

    /// Returns the folder of an artifact of `kind` that a URL names by its location in a store,
    /// without a trailing `/`; None for any other URL.
    pub fn folder_in_url(url: &str, kind: ArtifactKind) -> Option<&str> {
        let url = url.trim_end_matches('/');
        let folder = &url[url.rfind(ARTIFACTS_FOLDER)?..];
        let record = format!("{folder}/{COMMIT_FILE}");
        let path = Self::parse(&record)?;
        (path.kind == kind && path.is_commit()).then_some(folder)
    }

    /// Returns the folder of every artifact of one kind.
    pub fn kind_folder(kind: ArtifactKind) -> String {
        format!("{ARTIFACTS_FOLDER}{}/", kind.name())
    }

    /// Returns the folder of every artifact of one recipe.
    pub fn recipe_folder(kind: ArtifactKind, recipe: &Hash) -> String {
        format!("{}{}/", Self::kind_folder(kind), recipe.short())
    }

    /// Returns the common prefix of the folders of every content of the subject `id` under one
    /// recipe.
    pub fn subject_prefix(kind: ArtifactKind, recipe: &Hash, id: &str) -> String {
        format!("{}{id}@", Self::recipe_folder(kind, recipe))
    }

    /// Returns the name of the subject's folder below the recipe's folder.
    pub fn subject_folder(subject: &Subject) -> String {
        format!("{}@{}", subject.id, subject.content.short())
    }

    /// Returns the folder of this artifact, with a trailing `/`.
    pub fn folder(&self) -> String {
        format!("{}{}/", Self::recipe_folder(self.kind, &self.recipe), Self::subject_folder(&self.subject))
    }

    /// Returns the folder for checkpoints of the training that makes this artifact, without a
    /// trailing `/`.
    pub fn checkpoint_folder(&self) -> String {
        let Self { kind, recipe, subject } = self;
        format!("checkpoints/{}/{}/{}", kind.name(), recipe.short(), Self::subject_folder(subject))
    }

    /// Returns the key of one of its files.
    pub fn file(&self, name: &str) -> String {
        format!("{}{name}", self.folder())
    }

    /// Returns the key of its commit record.
    pub fn commit(&self) -> String {
        self.file(COMMIT_FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    #[test]
    fn the_key_of_an_artifacts_file_is_parsed_into_what_it_was_built_from() {
        let recipe = hash::of_bytes(b"recipe");
        for id in ["tt0240200", "u@host", "films"] {
            let subject = Subject { id: id.into(), content: hash::of_bytes(b"content") };
            let key = ArtifactKey { kind: ArtifactKind::VideoEmbedding, recipe, subject };
            let (commit, file) = (key.commit(), key.file("embedding.safetensors"));
            let parsed = ArtifactKey::parse(&commit).expect("the key of a commit record");
            assert!(parsed.is_commit());
            assert_eq!((parsed.kind, parsed.recipe), (ArtifactKind::VideoEmbedding, recipe.short().as_str()));
            assert_eq!((parsed.subject, parsed.id), (ArtifactKey::subject_folder(&key.subject).as_str(), id));
            let parsed = ArtifactKey::parse(&file).expect("the key of a file");
            assert_eq!((parsed.is_commit(), parsed.file), (false, "embedding.safetensors"));
        }
    }

    #[test]
    fn the_folder_of_an_artifact_is_found_in_its_url() {
        let folder = "artifacts/model/0123456789abcdef/films@0123456789abcdef";
        for url in [format!("s3://bucket/artifacts/a/{folder}/"), format!("file:///store/{folder}"), folder.into()] {
            assert_eq!(ArtifactKey::folder_in_url(&url, ArtifactKind::Model), Some(folder), "{url}");
            assert_eq!(ArtifactKey::folder_in_url(&url, ArtifactKind::Cell), None, "{url}");
        }
        for url in ["", "s3://bucket/films", "file:///artifacts/model/x", "s3://b/artifacts/model/x/a@b/../c"] {
            assert_eq!(ArtifactKey::folder_in_url(url, ArtifactKind::Model), None, "{url}");
        }
    }

    #[test]
    fn other_keys_are_not_parsed() {
        for key in [
            "",
            "artifacts/",
            "artifacts/cell/0123456789abcdef/films@0123456789abcdef",
            "artifacts/cell/0123456789abcdef/films/commit.json",
            "artifacts/unknown/0123456789abcdef/films@0123456789abcdef/commit.json",
            "checkpoints/cell/0123456789abcdef/films@0123456789abcdef/commit.json",
            "runs/films/spec.json",
        ] {
            assert_eq!(ArtifactKey::parse(key), None, "{key}");
        }
    }
}
