//! Finds cuts in the scores of frames.

use super::SceneSettings;

/// Finds cuts in a sequence of scores, like PySceneDetect's flash filter in mode MERGE: a candidate
/// far enough from the previous one is a cut. Closer candidates are merged into one cut at the last
/// of them, but only after a first cut.
#[derive(Debug, Clone)]
pub struct CutFinder {
    threshold: f64,
    min_scene_len: u64,
    frames: u64,
    /// The last frame that reached the threshold; 0 before the first.
    last_above: u64,
    /// Whether a cut was found, so that candidates may be merged.
    merging_allowed: bool,
    /// The first of the candidates being merged.
    merging_since: Option<u64>,
}

impl CutFinder {
    /// Starts before the first frame.
    pub fn new(settings: &SceneSettings) -> Self {
        Self {
            threshold: settings.threshold,
            min_scene_len: u64::from(settings.min_scene_len),
            frames: 0,
            last_above: 0,
            merging_allowed: false,
            merging_since: None,
        }
    }

    /// Takes the next frame's score. Returns a cut, if one is found: the first frame of a scene,
    /// which is this frame or, after merging, the frame `min_scene_len` frames ago.
    pub fn push(&mut self, score: f64) -> Option<u64> {
        let frame = self.frames;
        self.frames += 1;
        let above = score >= self.threshold;
        if self.min_scene_len == 0 {
            return above.then_some(frame);
        }
        let far = frame - self.last_above >= self.min_scene_len;
        if above {
            self.last_above = frame;
        }
        if self.merging_since.is_some() {
            let cut = self.pending().filter(|_| far && !above);
            if cut.is_some() {
                self.merging_since = None;
            }
            return cut;
        }
        if above && far {
            self.merging_allowed = true;
            return Some(frame);
        }
        if above && self.merging_allowed {
            self.merging_since = Some(frame);
        }
        None
    }

    /// Returns the frame of the next cut, if enough frames below the threshold follow.
    pub fn pending(&self) -> Option<u64> {
        let since = self.merging_since?;
        (self.last_above - since >= self.min_scene_len).then_some(self.last_above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(min_scene_len: u32, frames: u64, above: &[u64]) -> Vec<u64> {
        let mut finder = CutFinder::new(&SceneSettings { threshold: 27.0, min_scene_len });
        (0..frames).filter_map(|frame| finder.push(if above.contains(&frame) { 27.0 } else { 26.999 })).collect()
    }

    #[test]
    fn a_score_at_the_threshold_is_a_cut_if_the_scene_is_long_enough() {
        assert_eq!(cuts(15, 100, &[15, 40, 55]), [15, 40, 55]);
        assert_eq!(cuts(15, 100, &[14, 20, 30]), [0; 0]);
        assert_eq!(cuts(0, 100, &[1, 2, 50]), [1, 2, 50]);
    }

    #[test]
    fn close_candidates_are_merged_into_the_last_of_them_after_a_first_cut() {
        // 25 and 28 are within 15 of the cut at 20 but span less than 15 frames: no cut until a
        // later candidate.
        assert_eq!(cuts(15, 100, &[20, 25, 28]), [20]);
        assert_eq!(cuts(15, 100, &[20, 25, 28, 40]), [20, 40]);
        // The cut at 40 is reported at frame 55; a video that ends earlier has none.
        assert_eq!(cuts(15, 55, &[20, 25, 28, 40]), [20]);
        assert_eq!(cuts(15, 56, &[20, 25, 28, 40]), [20, 40]);
    }

    #[test]
    fn the_pending_cut_is_known_while_frames_below_the_threshold_are_counted() {
        let mut finder = CutFinder::new(&SceneSettings::default());
        for frame in 0..50 {
            let above = [20, 25, 42].contains(&frame);
            assert_eq!(finder.push(if above { 30.0 } else { 0.0 }), (frame == 20).then_some(20));
            assert_eq!(finder.pending(), (frame >= 42).then_some(42), "{frame}");
        }
    }
}
