//! A decoded frame as packed BGR, converted like OpenCV's video reader does.
//!
//! OpenCV uses a plain swscale context over the *coded* size, of which the frame is the upper part,
//! without colour space: always BT.601. [`assumed_size`] keeps that from reading beyond a frame's
//! memory, which ffmpeg-next does not expose: hence the unsafe code.

use crate::error::MediaError;
use crate::picture::check_size;
use crate::picture::scaler::{Order, Scaler};
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::c_int;

/// Most rows or columns that a codec may add to the displayed size.
const MAX_PADDING: u32 = 128;

/// Returns the size that swscale assumes for a frame: the decoder's `coded` size if it is slightly
/// larger than the frame, and the frame's own size otherwise.
pub fn assumed_size(frame: &frame::Video, coded: (u32, u32)) -> (u32, u32) {
    let shown = (frame.width(), frame.height());
    let near = |coded: u32, shown: u32| coded >= shown && coded - shown <= MAX_PADDING;
    if near(coded.0, shown.0) && near(coded.1, shown.1) && holds_columns(frame, coded.0) { coded } else { shown }
}

/// Whether every plane's memory holds `width` columns in all displayed rows.
#[expect(unsafe_code, reason = "ffmpeg-next does not expose a frame's buffers")]
fn holds_columns(frame: &frame::Video, width: u32) -> bool {
    // SAFETY: the frame is alive; addresses are compared as numbers and never followed. FFmpeg
    // checks the format.
    unsafe {
        let raw = frame.as_ptr();
        let known = 0..ffi::AVPixelFormat::AV_PIX_FMT_NB as c_int;
        if !known.contains(&(*raw).format) {
            return false;
        }
        let format = std::mem::transmute::<c_int, ffi::AVPixelFormat>((*raw).format);
        let descriptor = ffi::av_pix_fmt_desc_get(format);
        if descriptor.is_null() {
            return false;
        }
        (0..4).filter(|&plane| !(*raw).data[plane].is_null()).all(|plane| {
            let columns = ffi::av_image_get_linesize(format, width as c_int, plane as c_int);
            let shift = if plane == 1 || plane == 2 { (*descriptor).log2_chroma_h } else { 0 };
            let rows = frame.height().div_ceil(1 << shift) as usize;
            let (Ok(columns), Ok(stride)) = (usize::try_from(columns), usize::try_from((*raw).linesize[plane])) else {
                return false;
            };
            let begin = (*raw).data[plane] as usize;
            let end = begin + stride * rows.saturating_sub(1) + columns;
            (*raw).buf.iter().filter(|buffer| !buffer.is_null()).any(|&buffer| {
                let from = (*buffer).data as usize;
                (from..=from + (*buffer).size).contains(&begin) && end <= from + (*buffer).size
            })
        })
    }
}

/// Converts frames to packed BGR. Keeps its context while the shape of the frames stays the same.
#[derive(Default)]
pub struct BgrConverter {
    scaler: Option<(Shape, Scaler)>,
    bgr: Vec<u8>,
}

/// The frame properties that the context depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    width: u32,
    height: u32,
    format: c_int,
}

impl BgrConverter {
    /// Returns the frame's rows as BGR, and their stride in bytes. `assumed` comes from
    /// [`assumed_size`].
    #[expect(unsafe_code, reason = "see the module documentation")]
    pub fn convert(&mut self, frame: &frame::Video, assumed: (u32, u32)) -> Result<(&[u8], usize), MediaError> {
        let (width, height) = assumed;
        check_size(width, height)?;
        // SAFETY: the frame is alive; a plain integer is read.
        let format = unsafe { (*frame.as_ptr()).format };
        let shape = Shape { width, height, format };
        // Pads rows for vector code that writes beyond the end of a row.
        let stride = (width as usize * 3).next_multiple_of(64) + 64;
        if self.scaler.as_ref().is_none_or(|(current, _)| *current != shape) {
            self.scaler = None;
            self.scaler = Some((shape, Scaler::new(assumed, format, Order::Bgr, &[])?));
            self.bgr = vec![0; stride * height as usize + 64];
        }
        let (_, scaler) = self.scaler.as_mut().ok_or_else(|| MediaError::bug("no swscale context"))?;
        // SAFETY: the context was made for this format and for a size of which the frame holds the
        // upper rows in full (`assumed_size`); the target holds `height` rows of `stride` bytes and
        // 64 bytes more.
        let rows = unsafe { scaler.convert(frame, &mut self.bgr, stride) };
        if rows < 0 {
            return Err(MediaError::permanent(format!("cannot convert a {width}x{height} frame to BGR")));
        }
        Ok((&self.bgr, stride))
    }
}
