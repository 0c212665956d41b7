//! The inputs of a model: how a movie and a user are described, and the GL-score.

use crate::settings::Strategy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The description of a movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Trailer pictures.
    Video,
    /// Trailer sound.
    Audio,
    /// Both.
    AudioVideo,
    /// The multi-hot vector of its genres.
    Genre,
    /// Catalogue metadata: description and people as reduced TF-IDF, year and whether it is
    /// missing, rating, languages, genres. Fitted on the movies of training pairs.
    Metadata,
}

/// A column of the catalogue that the ensemble reads only on request: a shortcut to the crowd's
/// verdict, or to the source of a movie's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentColumn {
    /// The public's rating of the movie.
    Rating,
    /// The digits of the movie's id.
    IdNumber,
    /// The length of the release date's text, which differs between sources.
    ReleaseDateLength,
}

impl ContentColumn {
    /// Every column.
    pub const ALL: [ContentColumn; 3] =
        [ContentColumn::Rating, ContentColumn::IdNumber, ContentColumn::ReleaseDateLength];
}

/// Identifies one of the video embeddings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// How the keyframes were chosen.
    pub strategy: Strategy,
    /// The model that embedded them, by its name in the registry.
    pub model: String,
}

impl Modality {
    /// Every modality, in the order of reports.
    pub const ALL: [Modality; 5] =
        [Modality::Video, Modality::Audio, Modality::AudioVideo, Modality::Genre, Modality::Metadata];
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::AudioVideo => "audio+video",
            Self::Genre => "genre",
            Self::Metadata => "metadata",
        })
    }
}

/// The source of the modality's embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingSource {
    /// The rows are used unchanged.
    Given,
    /// A genre head is trained on the given rows in every fold; its 512 numbers are the embedding.
    GenreHead,
}

/// Which of a user's movies make up the user embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UserEmbedding {
    /// Liked: the paper's choice.
    #[serde(rename = "L")]
    Liked,
    /// Liked and disliked.
    #[serde(rename = "L+D")]
    LikedDisliked,
    /// Liked and neutral.
    #[serde(rename = "L+N")]
    LikedNeutral,
    /// All rated.
    #[serde(rename = "L+D+N")]
    All,
}

impl UserEmbedding {
    /// Every choice, in the order of the paper's tables.
    pub const ALL: [UserEmbedding; 4] = [Self::Liked, Self::LikedDisliked, Self::LikedNeutral, Self::All];

    /// Whether movies with the label of this index are taken: [dislike, neutral, like].
    #[must_use]
    pub fn takes(self) -> [bool; 3] {
        match self {
            Self::Liked => [false, false, true],
            Self::LikedDisliked => [true, false, true],
            Self::LikedNeutral => [false, true, true],
            Self::All => [true; 3],
        }
    }
}

/// How the GL-score is computed and used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlSettings {
    /// The score where no genre of the movie was ever rated (0 / 0).
    pub undefined: f32,
    /// Every use multiplies the score by this.
    pub scale: f32,
}
