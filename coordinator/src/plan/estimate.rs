//! What a run over many trailers takes, stated before anything is sent.

use crate::plan::Plan;

/// Memory of a coordinator without trailers, and of each trailer (BENCHMARKS.md, "Queue").
const BASE_MB: usize = 100;
const TRAILER_BYTES: usize = 200;
/// Objects in the store for each artifact: a file and its commit record.
const OBJECTS: usize = 2;
/// Keys in the answer to a LIST request.
const PAGE: usize = 1_000;

/// Returns the memory of the coordinator and its requests to the store, for people.
pub fn text(plan: &Plan) -> String {
    let trailers = plan.trailers.trailers.len();
    let (recipes, tables) = (plan.spec.recipes.len(), plan.embeddings().count());
    let memory = BASE_MB + trailers * TRAILER_BYTES / 1_000_000;
    let lists = recipes * (trailers * OBJECTS).div_ceil(PAGE);
    // A record and a file for each embedding.
    let gets = tables * OBJECTS * trailers;
    format!(
        "{trailers} trailers: this process takes about {memory} MB, finding what is committed about {lists} LIST requests \
         (each time), and gathering the tables {gets} GET requests"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::plan;

    #[test]
    fn estimate_grows_with_trailers_and_recipes() {
        let mut plan = plan(1_500);
        // Three recipes with two objects each; two of them are gathered.
        assert_eq!(
            text(&plan),
            "1500 trailers: this process takes about 100 MB, finding what is committed about 9 LIST requests (each time), \
             and gathering the tables 6000 GET requests"
        );
        plan.spec.recipes.truncate(1);
        assert!(text(&plan).contains("about 3 LIST requests") && text(&plan).contains("tables 0 GET"));
    }
}
