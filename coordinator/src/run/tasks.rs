//! The training tasks of a plan: folds of cells and the final model, each with the tables of
//! embeddings that it reads.

use std::collections::BTreeMap;

use jhalak_common::Result;
use jhalak_common::artifact::{ArtifactKind, Subject};
use jhalak_common::evaluation::CellSpec;
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
/// model; None when nothing is left to fit.
pub fn fit_task(plan: &Plan, tables: &[GatheredTable]) -> Result<Option<FitTask>> {
    let Some(mut fit) = plan.spec.fit.clone() else { return Ok(None) };
    let found = match fit.network.as_ref().map(|cell| tables_of(plan, cell, tables)) {
        Some(Some(found)) if found.iter().all(|table| table.rows > 0) => found,
        Some(_) => {
            fit.network = None;
            Vec::new()
        }
        None => Vec::new(),
    };
    if fit.parts() == 0 {
        return Ok(None);
    }
    let hashes: Vec<_> = found.iter().map(|table| table.sha256).collect();
    let TableRefs { tables, subject, others } = TableRefs::of(&found, &plan.spec.dataset);
    let (dataset, recipe) = (plan.spec.dataset.clone(), FitTask::recipe_of(&fit, &hashes)?);
    Ok(Some(FitTask { dataset, recipe, fit, tables, table_subject: subject, subjects: others }))
}

/// The tables that a cell reads, video before audio; None when one of them does not exist.
fn tables_of<'a>(plan: &Plan, cell: &CellSpec, tables: &'a [GatheredTable]) -> Option<Vec<&'a GatheredTable>> {
    let of_kind = |kind: &ArtifactKind| {
        let source = match kind {
            ArtifactKind::VideoTable => plan.spec.video_embedding(cell.pictures.as_ref()),
            _ => plan.spec.recipe(ArtifactKind::AudioEmbedding),
        };
        let source = source?.hash();
        tables.iter().find(|table| table.source == source)
    };
    cell.modality.tables().iter().map(of_kind).collect()
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
