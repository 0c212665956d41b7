//! Rotated boxes (OBB): their upright bounds, and non-maximum suppression as Ultralytics does it
//! for them.

use super::candidate::Candidate;

/// A rotated box: centre, width, height, and the angle in radians.
pub(super) type RotatedBox = [f32; 5];

/// Returns left, top, right and bottom of the upright box around a rotated one.
pub(super) fn upright(&[x, y, width, height, angle]: &RotatedBox) -> [f32; 4] {
    let (sin, cos) = (angle.sin().abs(), angle.cos().abs());
    let half = [(width * cos + height * sin) / 2.0, (width * sin + height * cos) / 2.0];
    [x - half[0], y - half[1], x + half[0], y + half[1]]
}

/// Drops the boxes whose likeness with a box of the same class and a higher score is at least
/// `overlap`, also if that one is dropped itself. The rest keep the order of `found`.
pub(super) fn suppressed(found: Vec<(RotatedBox, Candidate)>, overlap: f32) -> Vec<Candidate> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|&a, &b| found[b].1.score.total_cmp(&found[a].1.score));
    let hidden = |place: usize, rank: usize| {
        let (own, candidate) = &found[place];
        order[..rank]
            .iter()
            .any(|&other| found[other].1.class == candidate.class && likeness(&found[other].0, own) >= overlap)
    };
    let mut kept: Vec<usize> =
        order.iter().enumerate().filter(|&(rank, &place)| !hidden(place, rank)).map(|(_, &place)| place).collect();
    kept.sort_unstable();
    kept.into_iter().map(|place| found[place].1).collect()
}

/// Returns the probabilistic intersection over union of two rotated boxes, each seen as a normal
/// distribution (Llerena et al., "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union
/// for Object Detection", 2021).
fn likeness(one: &RotatedBox, other: &RotatedBox) -> f32 {
    const SMALL: f32 = 1e-7;
    let ((a1, b1, c1), (a2, b2, c2)) = (covariance(one), covariance(other));
    let (a, b, c) = (a1 + a2, b1 + b2, c1 + c2);
    let (dx, dy) = (one[0] - other[0], one[1] - other[1]);
    let area = a * b - c * c;
    let near = (a * dy * dy + b * dx * dx) / (area + SMALL) * 0.25 + c * -dx * dy / (area + SMALL) * 0.5;
    let own = (a1 * b1 - c1 * c1).max(0.0) * (a2 * b2 - c2 * c2).max(0.0);
    let alike = (area / (4.0 * own.sqrt() + SMALL) + SMALL).ln() * 0.5;
    let distance = (near + alike).clamp(SMALL, 100.0);
    1.0 - (1.0 - (-distance).exp() + SMALL).sqrt()
}

/// Returns the variances in x and y, and their covariance.
fn covariance(&[_, _, width, height, angle]: &RotatedBox) -> (f32, f32, f32) {
    let (a, b) = (width * width / 12.0, height * height / 12.0);
    let (sin, cos) = angle.sin_cos();
    (a * cos * cos + b * sin * sin, a * sin * sin + b * cos * cos, (a - b) * cos * sin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

    #[test]
    fn the_upright_box_encloses_the_rotated_one() {
        for (rotated, wanted) in [
            ([10.0, 20.0, 8.0, 4.0, 0.0], [6.0, 18.0, 14.0, 22.0]),
            ([10.0, 20.0, 8.0, 4.0, FRAC_PI_2], [8.0, 16.0, 12.0, 24.0]),
            ([10.0, 20.0, 8.0, 8.0, -FRAC_PI_4], [4.343_146, 14.343_146, 15.656_854, 25.656_854]),
        ] {
            let found = upright(&rotated);
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}");
        }
    }

    #[test]
    fn parallel_rotated_boxes_stay_although_their_upright_boxes_overlap() {
        let at = |x: f32, score: f32, class: usize| {
            let rotated = [x, x.mul_add(-1.0, 100.0), 60.0, 6.0, FRAC_PI_4];
            (rotated, Candidate { edges: upright(&rotated), score, class })
        };
        let kept = suppressed(vec![at(50.0, 0.8, 0), at(50.5, 0.9, 0), at(58.0, 0.7, 0), at(50.2, 0.6, 1)], 0.7);
        let scores: Vec<f32> = kept.iter().map(|candidate| candidate.score).collect();
        assert_eq!(scores, [0.9, 0.7, 0.6]);
    }
}
