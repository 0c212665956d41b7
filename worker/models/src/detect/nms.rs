//! Non-maximum suppression, class by class.

use super::decode::Candidate;

/// Keeps, by descending score, the candidates whose intersection over union with each kept
/// candidate of their class is at most `overlap`; at most `limit`. Ties keep their order.
pub fn non_maximum_suppression(mut candidates: Vec<Candidate>, overlap: f32, limit: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() == limit {
            break;
        }
        let hides =
            |k: &Candidate| k.class == candidate.class && intersection_over_union(&k.edges, &candidate.edges) > overlap;
        if !kept.iter().any(hides) {
            kept.push(candidate);
        }
    }
    kept
}

/// Returns the intersection over union of two boxes (left, top, right, bottom).
pub fn intersection_over_union(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low])).max(0.0);
    let shared = side(0, 2) * side(1, 3);
    let area = |e: &[f32; 4]| (e[2] - e[0]).max(0.0) * (e[3] - e[1]).max(0.0);
    let union = area(a) + area(b) - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(left: f32, score: f32, class: usize) -> Candidate {
        Candidate { edges: [left, 0.0, left + 10.0, 10.0], score, class }
    }

    #[test]
    fn the_best_of_overlapping_boxes_of_a_class_is_kept() {
        let all = vec![candidate(0.0, 0.6, 1), candidate(2.0, 0.9, 1), candidate(2.0, 0.8, 2), candidate(20.0, 0.5, 1)];
        let kept = non_maximum_suppression(all.clone(), 0.45, 300);
        assert_eq!(kept, vec![all[1], all[2], all[3]]);
        assert_eq!(non_maximum_suppression(all.clone(), 0.45, 2), vec![all[1], all[2]]);
        assert_eq!(non_maximum_suppression(all.clone(), 1.0, 300).len(), 4);
        assert!(non_maximum_suppression(Vec::new(), 0.45, 300).is_empty());
    }
}
