//! Converts Y, U, V to blue, green, red like swscale's vector code for 4:2:0 on x86: 16-bit fixed
//! point, every product truncated separately, chroma from the nearest sample.

/// The matrix of BT.601 in swscale's fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// Subtracted from 8 Y.
    pub luma_offset: i16,
    /// Weight of Y, in 1/8192.
    pub luma: i16,
    /// Weight of U in blue.
    pub blue_u: i16,
    /// Weight of U in green.
    pub green_u: i16,
    /// Weight of V in green.
    pub green_v: i16,
    /// Weight of V in red.
    pub red_v: i16,
}

/// Subtracted from 8 U and 8 V.
pub const CHROMA_OFFSET: i16 = 1024;

/// Y from 16 to 235, U and V from 16 to 240.
pub const LIMITED: Matrix =
    Matrix { luma_offset: 128, luma: 9539, blue_u: 16525, green_u: -3209, green_v: -6660, red_v: 13075 };

/// Y, U and V from 0 to 255 (pixel format yuvj420p).
pub const FULL: Matrix =
    Matrix { luma_offset: 0, luma: 8192, blue_u: 14516, green_u: -2819, green_v: -5850, red_v: 11485 };

impl Matrix {
    /// Converts one pixel to blue, green and red.
    #[inline(always)]
    pub fn bgr(self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let product = |value: i16, weight: i16| ((i32::from(value) * i32::from(weight)) >> 16) as i16;
        let luma = product(i16::from(y) * 8 - self.luma_offset, self.luma);
        let [u, v] = [u, v].map(|sample| i16::from(sample) * 8 - CHROMA_OFFSET);
        let blue = luma + product(u, self.blue_u);
        let green = luma + (product(u, self.green_u) + product(v, self.green_v));
        let red = luma + product(v, self.red_v);
        [blue, green, red].map(|colour| colour.clamp(0, 255) as u8)
    }
}
