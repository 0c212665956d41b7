//! Tests of the options of a cell: accepted, refused, and their defaults.

use super::*;
use clap::Parser;
use jhalak_common::evaluation::{Balance, Edition, EmbeddingSource, TrainingSettings, UserEmbedding};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    cell: CellArgs,
}

fn spec(line: &str) -> Result<CellSpec> {
    let words = std::iter::once("x").chain(line.split_whitespace());
    Line::try_parse_from(words).expect("a line that can be parsed").cell.spec(&Settings::default())
}

#[test]
fn the_defaults_are_the_cells_of_the_grid() {
    let model = Model::Classifier { heads: 4 };
    let published = CellSpec::published(Modality::Genre, model, UserEmbedding::Liked, true);
    assert_eq!(spec("--protocol paper").expect("valid"), published);
    let strict = CellSpec::strict(Split::Users { known: 5 }, Modality::Genre, Model::Ann, UserEmbedding::All, false);
    let line = "--split users --model ann --user-embedding L+D+N --no-gl-score";
    assert_eq!(spec(line).expect("valid"), strict);
    assert_eq!(spec("--modality audio+video").expect("valid").embedding, EmbeddingSource::GenreHead);
    assert_eq!(spec("--modality audio --embedding given").expect("valid").embedding, EmbeddingSource::Given);
}

#[test]
fn every_switch_reaches_the_cell() {
    let changed = spec(
        "--protocol paper --errata upsampling --hyperparameters paper --class-balance class-weights --seed 7 --folds 3",
    );
    let changed = changed.expect("valid");
    let errata = Errata { upsample_before_split: true, ..Errata::none() };
    assert_eq!(changed.protocol, Protocol::Paper { errata });
    assert_eq!((changed.seed, changed.folds, changed.training.balance), (7, 3, Balance::ClassWeights));
    assert_eq!(changed.training.fit, TrainingSettings::paper().fit);
    assert!(!changed.scale_user_embedding && changed.gl_score.scale == 1.0);
    assert_eq!(changed.edition, Edition::Paper);
    assert_eq!(spec("--model bias --control permuted-labels").expect("valid").control, Control::PermutedLabels);
    assert!(spec("--model ensemble --ablation").expect("valid").ablation);
    let notebook = spec("--hyperparameters notebook --epochs 3").expect("valid");
    assert_eq!((notebook.training.fit.epochs, notebook.gl_score.scale), (3, 100.0));
}

#[test]
fn every_name_of_the_evaluation_is_a_value_of_its_option() {
    for model in Model::ALL {
        // One model needs trailers.
        let modality = if model == Model::TrailerAttention { "--modality video" } else { "" };
        assert_eq!(spec(&format!("--model {} {modality}", model.name())).expect("valid").model, model);
    }
    for modality in Modality::ALL {
        assert_eq!(spec(&format!("--modality {modality}")).expect("valid").modality, modality);
    }
    for user in UserEmbedding::ALL {
        assert_eq!(spec(&format!("--user-embedding {}", user.name())).expect("valid").user_embedding, user);
    }
}

#[test]
fn old_option_names_are_aliases() {
    for (old, new) in [
        ("--model honest", "--model ensemble"),
        ("--without-gl", "--no-gl-score"),
        ("--settings paper", "--hyperparameters paper"),
        ("--even none", "--class-balance none"),
    ] {
        assert_eq!(spec(old).expect(old), spec(new).expect(new));
    }
}

#[test]
fn options_that_contradict_each_other_are_refused_with_the_way_out() {
    for (line, advice) in [
        ("--protocol paper --split movies", "--protocol strict"),
        ("--errata none", "--protocol paper"),
        ("--known 3", "--split users or movies"),
        ("--split last --folds 3", "one fold"),
        ("--test-share 10", "--split last"),
        ("--split last --test-share 100", "below 100"),
        ("--model bias --user-embedding L+D", "--user-embedding has no effect on bias"),
        ("--model bias --epochs 3", "--epochs has no effect"),
        ("--model ensemble --even none", "--class-balance has no effect"),
        ("--embedding given", "video"),
        ("--ablation", "ensemble"),
        ("--model bias --control random-embeddings", "permuted"),
        ("--protocol paper --errata none,copies", "combined"),
    ] {
        let error = spec(line).expect_err(line);
        assert!(error.to_string().contains(advice), "{line}: {error}");
    }
}
