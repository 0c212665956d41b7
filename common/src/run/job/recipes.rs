//! The recipes of training jobs: they follow from the rest of the task. A message in which they do
//! not would commit the result of one cell in the name of another.

use serde_json::json;

use super::{CellTask, FitTask};
use crate::artifact::{ArtifactKind, Recipe};
use crate::error::{Error, Result};
use crate::evaluation::{CellSpec, FitSpec};
use crate::hash::Hash;

impl CellTask {
    /// Returns the recipe of a fold of a cell over tables with these contents.
    pub fn recipe_of(cell: &CellSpec, fold: usize, tables: &[Hash]) -> Result<Recipe> {
        let recipe = Recipe::new(ArtifactKind::Cell, json!({ "cell": cell, "fold": fold }))?;
        Ok(Recipe { upstream: tables.to_vec(), ..recipe })
    }

    /// Checks that the recipe is that of the cell and of `tables`, the contents of its tables.
    ///
    /// # Errors
    /// InvalidInput if it is not.
    pub fn check_recipe(&self, tables: &[Hash]) -> Result<()> {
        check(&self.recipe, &Self::recipe_of(&self.cell, self.fold, &self.recipe.upstream)?, tables)
    }
}

impl FitTask {
    /// Returns the recipe of a final model over tables with these contents.
    pub fn recipe_of(fit: &FitSpec, tables: &[Hash]) -> Result<Recipe> {
        let recipe = Recipe::new(ArtifactKind::Model, json!({ "fit": fit }))?;
        Ok(Recipe { upstream: tables.to_vec(), ..recipe })
    }

    /// Checks that the recipe is that of the models and of `tables`, the contents of its tables.
    ///
    /// # Errors
    /// InvalidInput if it is not.
    pub fn check_recipe(&self, tables: &[Hash]) -> Result<()> {
        check(&self.recipe, &Self::recipe_of(&self.fit, &self.recipe.upstream)?, tables)
    }
}

fn check(recipe: &Recipe, expected: &Recipe, tables: &[Hash]) -> Result<()> {
    let sorted = |hashes: &[Hash]| {
        let mut hashes = hashes.to_vec();
        hashes.sort_unstable();
        hashes
    };
    if recipe.hash() == expected.hash() && sorted(&recipe.upstream) == sorted(tables) {
        return Ok(());
    }
    Err(Error::invalid("the job contradicts itself: its recipe does not follow from its task and its tables"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::artifact::Subject;
    use crate::evaluation::{Modality, Model, Split, UserEmbedding};
    use crate::hash;

    #[test]
    fn a_training_job_whose_recipe_is_that_of_another_cell_fold_or_table_is_refused() {
        let table = hash::of_bytes(b"a table");
        let cell = |modality| CellSpec::strict(Split::Pairs, modality, Model::Bias, UserEmbedding::All, false);
        let task = CellTask {
            dataset: Subject { id: "films".into(), content: table },
            cell: cell(Modality::Video),
            fold: 1,
            recipe: CellTask::recipe_of(&cell(Modality::Video), 1, &[table]).expect("JSON"),
            tables: BTreeMap::from([(ArtifactKind::VideoTable, table)]),
            table_subject: Subject { id: "films".into(), content: table },
            subjects: BTreeMap::new(),
        };
        assert!(task.check_recipe(&[table]).is_ok());
        assert!(task.check_recipe(&[]).is_err());
        assert!(task.check_recipe(&[hash::of_bytes(b"another")]).is_err());
        let forged = [CellTask { cell: cell(Modality::Audio), ..task.clone() }, CellTask { fold: 2, ..task }];
        for task in forged {
            let error = task.check_recipe(&[table]).expect_err("forged").to_string();
            assert!(error.contains("contradicts itself"), "{error}");
        }
    }
}
