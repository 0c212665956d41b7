//! The training tasks of a plan: folds of cells and the final model, each with the tables of
//! embeddings that it reads.

use std::collections::BTreeMap;

use jhalak_common::Result;
use jhalak_common::artifact::{ArtifactKind, Subject};
use jhalak_common::evaluation::{CellSpec, FitSpec, LeftOutPart, Modality, Pictures, network_name};
use jhalak_common::hash::Hash;
use jhalak_common::run::job::{CellTask, FitTask};

use crate::artifacts::embedding_tables::GatheredTable;
use crate::plan::Plan;

/// The cells of a run that can be evaluated, and why the others cannot.
#[derive(Debug, Clone)]
pub struct CellTasks {
    /// One task for each fold of each cell whose tables exist, in the order of the plan.
    pub tasks: Vec<CellTask>,
    /// The reason by the name of the cell, for cells without a table.
    pub left_out: BTreeMap<String, String>,
}

/// Lists the folds of all cells whose tables exist.
pub fn cell_tasks(plan: &Plan, tables: &[GatheredTable]) -> Result<CellTasks> {
    let mut tasks = Vec::new();
    let mut left_out = BTreeMap::new();
    for cell in &plan.spec.cells {
        let Some(found) = tables_of(plan, cell, tables) else {
            left_out.insert(cell.name(), format!("no trailer of the dataset has an embedding for {}", cell.modality));
            continue;
        };
        for fold in 0..cell.folds {
            let hashes: Vec<_> = found.iter().map(|table| table.sha256).collect();
            let recipe = CellTask::recipe_of(cell, fold, &hashes)?;
            let TableRefs { tables, subject, others } = TableRefs::of(&found, &plan.spec.dataset);
            tasks.push(CellTask {
                dataset: plan.spec.dataset.clone(),
                cell: cell.clone(),
                fold,
                recipe,
                tables,
                table_subject: subject,
                subjects: others,
            });
        }
    }
    Ok(CellTasks { tasks, left_out })
}

/// Returns the task of the final model. A network whose tables do not exist is left out of the
/// model, and its ensembles read the tables that exist; None when nothing is left to fit.
pub fn fit_task(plan: &Plan, tables: &[GatheredTable]) -> Result<Option<FitTask>> {
    let Some(fit) = fit_spec(plan, tables).filter(|fit| fit.parts() > 0) else { return Ok(None) };
    let found: Vec<&GatheredTable> = fit.tables().iter().filter_map(|kind| filled(plan, *kind, tables)).collect();
    let hashes: Vec<_> = found.iter().map(|table| table.sha256).collect();
    let TableRefs { tables, subject, others } = TableRefs::of(&found, &plan.spec.dataset);
    let (dataset, recipe) = (plan.spec.dataset.clone(), FitTask::recipe_of(&fit, &hashes)?);
    Ok(Some(FitTask { dataset, recipe, fit, tables, table_subject: subject, subjects: others }))
}

/// Returns the parts of the final model that have an input, and why the others are left out.
pub fn fit_spec(plan: &Plan, tables: &[GatheredTable]) -> Option<FitSpec> {
    let mut fit = plan.spec.fit.clone()?;
    let lacks = |kind: &ArtifactKind| filled(plan, *kind, tables).is_none();
    let why = |modality: Modality| format!("no trailer of the dataset has an embedding for {modality}");
    if let Some(cell) = fit.network.take_if(|cell| cell.modality.tables().iter().any(lacks)) {
        fit.left_out.push(LeftOutPart { part: network_name(&cell), reason: why(cell.modality) });
    }
    if let Some(wanted) = fit.trailers.filter(|_| !fit.ensembles.is_empty()) {
        let kinds: Vec<ArtifactKind> = wanted.tables().iter().copied().filter(|kind| !lacks(kind)).collect();
        let of = |kinds: &[ArtifactKind]| {
            Modality::ALL.into_iter().find(|modality| !kinds.is_empty() && *modality.tables() == *kinds)
        };
        fit.trailers = of(&kinds);
        for missing in wanted.tables().iter().filter(|kind| lacks(kind)).filter_map(|kind| of(&[*kind])) {
            fit.left_out.push(LeftOutPart { part: format!("{missing} in the ensemble"), reason: why(missing) });
        }
    }
    Some(fit)
}

/// The table of this kind, if it has a row.
fn filled<'a>(plan: &Plan, kind: ArtifactKind, tables: &'a [GatheredTable]) -> Option<&'a GatheredTable> {
    table_of(plan, kind, None, tables).filter(|table| table.rows > 0)
}

/// The tables that a cell reads, in the order of [`CellSpec::tables`]; None when one of them does
/// not exist.
fn tables_of<'a>(plan: &Plan, cell: &CellSpec, tables: &'a [GatheredTable]) -> Option<Vec<&'a GatheredTable>> {
    cell.tables().iter().map(|kind| table_of(plan, *kind, cell.pictures.as_ref(), tables)).collect()
}

/// The table of the embeddings of these pictures, or of the sound.
fn table_of<'a>(
    plan: &Plan,
    kind: ArtifactKind,
    pictures: Option<&Pictures>,
    tables: &'a [GatheredTable],
) -> Option<&'a GatheredTable> {
    if let Some(given) = plan.spec.given.iter().find(|given| given.recipe.kind == kind) {
        return tables.iter().find(|table| table.recipe == given.recipe.hash());
    }
    let source = match kind {
        ArtifactKind::VideoTable | ArtifactKind::VideoParts => plan.spec.video_embedding(pictures),
        _ => plan.spec.recipe(ArtifactKind::AudioEmbedding),
    };
    let source = source?.hash();
    tables.iter().find(|table| table.source == source && table.kind == kind)
}

/// Tables as the message of a job refers to them.
struct TableRefs {
    /// The recipe of each table.
    tables: BTreeMap<ArtifactKind, Hash>,
    /// The subject of the first table; the dataset when there is none.
    subject: Subject,
    /// The subjects of the tables that hold other trailers than the first table.
    others: BTreeMap<ArtifactKind, Subject>,
}

impl TableRefs {
    fn of(tables: &[&GatheredTable], dataset: &Subject) -> TableRefs {
        let subject = tables.first().map_or(dataset, |first| &first.subject).clone();
        let others = tables.iter().filter(|t| t.subject != subject).map(|t| (t.kind, t.subject.clone())).collect();
        TableRefs { tables: tables.iter().map(|t| (t.kind, t.recipe)).collect(), others, subject }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::embedding_tables;
    use crate::plan::testing::{commit_one, empty_store, plan};

    #[tokio::test]
    async fn ensembles_of_the_final_model_read_the_tables_that_exist() {
        let (_folder, store) = empty_store();
        let mut plan = plan(1);
        let fit = plan.spec.fit.as_mut().expect("a final model");
        fit.trailers = Some(Modality::AudioVideo);
        let none = fit_task(&plan, &[]).expect("a plan").expect("the ensemble is left");
        assert_eq!((none.fit.trailers, none.fit.network.is_some(), none.tables.len()), (None, false, 0));
        let (kind, source) = plan.embeddings().next().expect("video embeddings");
        commit_one(store.as_ref(), source, &plan.trailers.trailers[0].subject).await;
        let table = embedding_tables::gather(store.as_ref(), &plan, kind, source).await.expect("a store");
        let silent = fit_task(&plan, &[table.expect("a row")]).expect("a plan").expect("the ensemble is left");
        assert_eq!((silent.fit.trailers, silent.fit.network.is_some()), (Some(Modality::Video), false));
        assert_eq!((silent.tables.len(), silent.recipe.upstream.len()), (1, 1));
        assert_ne!(silent.recipe.hash(), none.recipe.hash());
        let left_out = |task: &FitTask| task.fit.left_out.iter().map(|of| of.part.clone()).collect::<Vec<_>>();
        let network = network_name(plan.spec.fit.as_ref().and_then(|fit| fit.network.as_ref()).expect("a network"));
        assert_eq!(left_out(&silent), [network.clone(), "audio in the ensemble".to_owned()]);
        assert_eq!(left_out(&none), [network, "video in the ensemble".into(), "audio in the ensemble".into()]);
        plan.spec.fit.as_mut().expect("a final model").ensembles.clear();
        assert!(fit_task(&plan, &[]).expect("a plan").is_none(), "nothing is left to fit");
        assert_eq!(fit_spec(&plan, &[]).expect("a final model").left_out.len(), 1, "and the reason is known");
    }
}
