//! The paper's GenreLike score (GL-score).

use jhalak_common::evaluation::GlSettings;

/// Returns `GL = (l + n/2) / (l + n + d)`, with l, n, d the dot products of the movie's genre
/// vector with the sums of the genre vectors that the user liked, was neutral to, disliked. In [0,
/// 1]; `settings.undefined` where the user rated none of the movie's genres.
///
/// `sums` is [dislike, neutral, like], each as long as `genres`; `swapped` exchanges like and
/// dislike (erratum 3).
#[must_use]
pub fn gl_score(genres: &[f32], sums: [&[f32]; 3], swapped: bool, settings: &GlSettings) -> f32 {
    let dot = |sum: &[f32]| genres.iter().zip(sum).map(|(g, s)| g * s).sum::<f32>();
    let [d, n, l] = sums.map(dot);
    let (l, d) = if swapped { (d, l) } else { (l, d) };
    let all = l + n + d;
    if all > 0.0 { (l + n / 2.0) / all } else { settings.undefined }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: GlSettings = GlSettings { undefined: 0.01, scale: 100.0 };

    #[test]
    fn scores_match_the_formula_worked_out_by_hand() {
        // Two liked, one neutral, one disliked movie of the first genre; the second genre was never
        // rated.
        let sums: [&[f32]; 3] = [&[1.0, 0.0], &[1.0, 0.0], &[2.0, 0.0]];
        assert_eq!(gl_score(&[1.0, 0.0], sums, false, &SETTINGS), 2.5 / 4.0);
        assert_eq!(gl_score(&[1.0, 0.0], sums, true, &SETTINGS), 1.5 / 4.0);
        assert_eq!(gl_score(&[0.0, 1.0], sums, false, &SETTINGS), 0.01);
        assert_eq!(gl_score(&[0.0, 0.0], sums, false, &SETTINGS), 0.01);
    }

    proptest! {
        #[test]
        fn scores_stay_in_the_unit_interval_and_mirror_when_swapped(
            genres in proptest::collection::vec(0_u8..2, 4),
            sums in proptest::collection::vec(0_u16..50, 12),
        ) {
            let floats = |x: &[u16]| x.iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
            let (d, n, l) = (floats(&sums[..4]), floats(&sums[4..8]), floats(&sums[8..]));
            let genres: Vec<f32> = genres.iter().map(|&g| f32::from(g)).collect();
            let score = gl_score(&genres, [&d, &n, &l], false, &SETTINGS);
            let swapped = gl_score(&genres, [&d, &n, &l], true, &SETTINGS);
            prop_assert!((0.0..=1.0).contains(&score));
            prop_assert!(score == SETTINGS.undefined || (score + swapped - 1.0).abs() < 1e-5);
        }
    }
}
