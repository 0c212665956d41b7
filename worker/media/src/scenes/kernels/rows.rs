//! The rows of pixels that the kernels read and write.

/// Pixels per vector; rows are padded to a multiple.
pub const LANES: usize = 16;

/// One source row of a 4:2:0 picture.
#[derive(Debug, Clone, Copy)]
pub struct YuvRow<'a> {
    /// One sample per pixel.
    pub y: &'a [u8],
    /// One sample every two pixels.
    pub u: &'a [u8],
    /// One sample every two pixels.
    pub v: &'a [u8],
}

/// One source row, reduced to the columns of the small picture: blue, green, red in 1/128 of a
/// step, zero beyond the last column up to a multiple of [`LANES`].
pub type WeighedRow = [Vec<i16>; 3];

/// Rows of three planes: blue, green, red or hue, saturation, value.
pub type Planes<'a> = [&'a [u8]; 3];
/// Mutable rows of three planes.
pub type PlanesMut<'a> = [&'a mut [u8]; 3];
