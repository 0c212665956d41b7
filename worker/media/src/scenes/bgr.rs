//! A decoded frame as packed BGR, converted like OpenCV's video reader does.
//!
//! OpenCV uses a plain swscale context over the *coded* size, of which the frame is the upper part,
//! without colour space: always BT.601. ffmpeg-next's wrapper requires equal sizes, hence the
//! unsafe code.

use crate::error::MediaError;
use crate::picture::check_size;
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use std::ffi::c_int;
use std::ptr;

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
pub struct BgrConverter {
    context: *mut ffi::SwsContext,
    shape: Option<(u32, u32, c_int)>,
    stride: usize,
    bgr: Vec<u8>,
}

impl Default for BgrConverter {
    fn default() -> Self {
        Self { context: ptr::null_mut(), shape: None, stride: 0, bgr: Vec::new() }
    }
}

#[expect(unsafe_code, reason = "see the module documentation")]
impl BgrConverter {
    /// Returns the frame's rows as BGR, and their stride in bytes. `assumed` comes from
    /// [`assumed_size`].
    pub fn convert(&mut self, frame: &frame::Video, assumed: (u32, u32)) -> Result<(&[u8], usize), MediaError> {
        let (width, height) = assumed;
        check_size(width, height)?;
        // SAFETY: the frame is alive; a plain integer is read.
        let format = unsafe { (*frame.as_ptr()).format };
        if self.shape != Some((width, height, format)) {
            self.configure(width, height, format)?;
        }
        let planes = [self.bgr.as_mut_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        let strides = [self.stride as c_int, 0, 0, 0];
        // SAFETY: the context was made for this format and for a size of which the frame holds the
        // upper rows in full (`assumed_size`); the target holds `height` rows of `stride` bytes and
        // what vector code writes beyond.
        let rows = unsafe {
            let raw = frame.as_ptr();
            ffi::sws_scale(
                self.context,
                ptr::addr_of!((*raw).data).cast(),
                ptr::addr_of!((*raw).linesize).cast(),
                0,
                frame.height() as c_int,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        };
        if rows < 0 {
            return Err(MediaError::permanent(format!("cannot convert a {width}x{height} frame to BGR")));
        }
        Ok((&self.bgr, self.stride))
    }

    fn configure(&mut self, width: u32, height: u32, format: c_int) -> Result<(), MediaError> {
        self.release();
        let refused =
            || MediaError::permanent(format!("cannot convert pixel format {format} at {width}x{height} to BGR"));
        if !(0..ffi::AVPixelFormat::AV_PIX_FMT_NB as c_int).contains(&format) {
            return Err(refused());
        }
        let (w, h) = (width as c_int, height as c_int);
        // SAFETY: the format is one of FFmpeg's; sizes are positive and within `check_size`; null
        // means no filter and no parameters; the context is released by `release`.
        self.context = unsafe {
            let format = std::mem::transmute::<c_int, ffi::AVPixelFormat>(format);
            let target = ffi::AVPixelFormat::AV_PIX_FMT_BGR24;
            let none = ptr::null_mut();
            ffi::sws_getContext(w, h, format, w, h, target, ffi::SWS_BICUBIC as c_int, none, none, ptr::null())
        };
        if self.context.is_null() {
            return Err(refused());
        }
        // Pads rows for vector code that writes beyond the end of a row.
        self.stride = (width as usize * 3).next_multiple_of(64) + 64;
        self.bgr = vec![0; self.stride * height as usize + 64];
        self.shape = Some((width, height, format));
        Ok(())
    }

    fn release(&mut self) {
        self.shape = None;
        // SAFETY: null or a context of our own; swscale accepts null.
        unsafe { ffi::sws_freeContext(self.context) };
        self.context = ptr::null_mut();
    }
}

impl Drop for BgrConverter {
    fn drop(&mut self) {
        self.release();
    }
}
