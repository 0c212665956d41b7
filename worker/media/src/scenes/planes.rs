//! A decoded frame's planes as slices.

use super::kernels::rows::YuvRow;
use super::yuv::{FULL, LIMITED, Matrix};
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::c_int;
use std::slice;

/// The planes of an 8-bit 4:2:0 picture.
pub struct Yuv420<'a> {
    /// The matrix from samples to colours.
    pub matrix: Matrix,
    planes: [Plane<'a>; 3],
}

struct Plane<'a> {
    samples: &'a [u8],
    stride: usize,
    width: usize,
}

impl<'a> Yuv420<'a> {
    /// Returns the planes of a frame in yuv420p or yuvj420p with top-down rows; none for other
    /// frames.
    pub fn of(frame: &'a frame::Video) -> Option<Self> {
        const YUV420P: c_int = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
        const YUVJ420P: c_int = ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as c_int;
        let matrix = match raw_format(frame) {
            YUV420P => LIMITED,
            YUVJ420P => FULL,
            _ => return None,
        };
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let planes = [
            plane(frame, 0, width, height)?,
            plane(frame, 1, half_width, half_height)?,
            plane(frame, 2, half_width, half_height)?,
        ];
        Some(Self { matrix, planes })
    }

    /// Returns the samples of row `y` of the picture.
    pub fn row(&self, y: usize) -> YuvRow<'_> {
        let row = |plane: usize, y: usize| {
            let Plane { samples, stride, width } = self.planes[plane];
            &samples[y * stride..][..width]
        };
        YuvRow { y: row(0, y), u: row(1, y / 2), v: row(2, y / 2) }
    }
}

#[expect(unsafe_code, reason = "a frame may have a format that the Rust enum does not know")]
fn raw_format(frame: &frame::Video) -> c_int {
    // SAFETY: the frame is alive; a plain integer is read.
    unsafe { (*frame.as_ptr()).format }
}

/// Returns plane `index` of a frame if its rows lie top-down inside one of the frame's buffers.
#[expect(unsafe_code, reason = "ffmpeg-next makes slices of planes without looking at their buffers")]
fn plane(frame: &frame::Video, index: usize, width: usize, height: usize) -> Option<Plane<'_>> {
    // SAFETY: the frame is alive and borrowed for as long as the slice lives; the slice lies inside
    // a buffer that the frame holds a reference to, and nothing writes to a decoded frame.
    unsafe {
        let raw = frame.as_ptr();
        let begin = (*raw).data[index];
        let stride = usize::try_from((*raw).linesize[index]).ok()?;
        if begin.is_null() || width == 0 || height == 0 || stride < width {
            return None;
        }
        let length = stride * (height - 1) + width;
        let inside = (*raw).buf.iter().filter(|buffer| !buffer.is_null()).any(|&buffer| {
            let (from, size) = ((*buffer).data as usize, (*buffer).size);
            begin as usize >= from && begin as usize + length <= from + size
        });
        inside.then(|| Plane { samples: slice::from_raw_parts(begin, length), stride, width })
    }
}
