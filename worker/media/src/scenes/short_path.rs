//! Checks whether converting single pixels here gives the same result as swscale for whole
//! pictures.
//!
//! It does on x86 with SSSE3, where swscale takes vector code with the arithmetic of
//! [`yuv`](crate::scenes::yuv). On other processors, or with other versions of FFmpeg, it may not.
//! A small picture is therefore converted both ways once.

use super::bgr::BgrConverter;
use super::planes::Yuv420;
use super::yuv::{LIMITED, Matrix};
use ffmpeg::format::Pixel;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::sync::OnceLock;

/// Width and height of the picture that is compared.
const SIDE: u32 = 64;

/// Whether the short path is exact for pictures with this matrix; the same on every call.
pub fn is_exact(matrix: Matrix) -> bool {
    static LIMITED_IS_EXACT: OnceLock<bool> = OnceLock::new();
    static FULL_IS_EXACT: OnceLock<bool> = OnceLock::new();
    if matrix == LIMITED {
        *LIMITED_IS_EXACT.get_or_init(|| agrees_with_swscale(Pixel::YUV420P))
    } else {
        *FULL_IS_EXACT.get_or_init(|| agrees_with_swscale(Pixel::YUVJ420P))
    }
}

/// Compares all pixels of a noise picture in one format.
fn agrees_with_swscale(format: Pixel) -> bool {
    let mut frame = frame::Video::new(format, SIDE, SIDE);
    let mut noise = 1u32;
    for plane in 0..3 {
        for sample in frame.data_mut(plane) {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = (noise >> 24) as u8;
        }
    }
    let mut converter = BgrConverter::default();
    let Ok((bgr, stride)) = converter.convert(&frame, (SIDE, SIDE)) else { return false };
    let Some(planes) = Yuv420::of(&frame) else { return false };
    (0..SIDE as usize).all(|y| {
        let row = planes.row(y);
        let pixels = bgr[y * stride..].chunks_exact(3).take(SIDE as usize).enumerate();
        pixels.into_iter().all(|(x, pixel)| planes.matrix.bgr(row.y[x], row.u[x / 2], row.v[x / 2]) == pixel)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenes::yuv::FULL;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_colour_is_converted_like_swscale() {
        // 4096 x 4096 pixels: each (u, v) has 64 blocks of 2x2 pixels with 256 values of y.
        const ALL: u32 = 4096;
        for format in [Pixel::YUV420P, Pixel::YUVJ420P] {
            let mut frame = frame::Video::new(format, ALL, ALL);
            let (stride, chroma_stride) = (frame.stride(0), frame.stride(1));
            let block = |x: usize, y: usize| (y / 2) * (ALL as usize / 2) + x / 2;
            for y in 0..ALL as usize {
                for x in 0..ALL as usize {
                    frame.data_mut(0)[y * stride + x] = ((block(x, y) % 64) * 4 + (y % 2) * 2 + x % 2) as u8;
                }
            }
            for (plane, shift) in [(1, 6), (2, 14)] {
                for y in 0..ALL as usize / 2 {
                    for x in 0..ALL as usize / 2 {
                        frame.data_mut(plane)[y * chroma_stride + x] = (block(2 * x, 2 * y) >> shift) as u8;
                    }
                }
            }
            let mut converter = BgrConverter::default();
            let (bgr, bgr_stride) = converter.convert(&frame, (ALL, ALL)).expect("swscale converts 4:2:0");
            let planes = Yuv420::of(&frame).expect("a plain frame");
            for y in 0..ALL as usize {
                let row = planes.row(y);
                for x in 0..ALL as usize {
                    let ours = planes.matrix.bgr(row.y[x], row.u[x / 2], row.v[x / 2]);
                    assert_eq!(ours, bgr[y * bgr_stride + x * 3..][..3], "{format:?} {x},{y}");
                }
            }
        }
        assert!(is_exact(LIMITED) && is_exact(FULL));
    }
}
