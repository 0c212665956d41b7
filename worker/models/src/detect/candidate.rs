//! A box that may hold an object.

/// A box that may hold an object, in input pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Left, top, right, bottom.
    pub edges: [f32; 4],
    /// 0 to 1.
    pub score: f32,
    /// The class with the highest score.
    pub class: usize,
}
