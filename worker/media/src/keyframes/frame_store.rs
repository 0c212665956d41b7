//! Keeps decoded frames that may still become keyframes, within budgets.
//!
//! Up to a budget, frames stay in memory, shared with the decoder. Beyond it, their planes go to an
//! unnamed file in the output folder, which disappears with the process. Beyond the file's budget,
//! and if a frame's memory layout is not the expected one, the frame is not kept, and a caller that
//! needs it has to decode the file a second time.

use crate::error::MediaError;
use ffmpeg::ffi;
use ffmpeg::frame;
use ffmpeg_next as ffmpeg;
use rustix::process::{Resource, getrlimit};
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::slice;

/// Budget for frames in memory, in bytes.
const MEMORY: u64 = 40 << 20;
/// Budget for the file in bytes, if the limit on output files allows it.
const FILE: u64 = 512 << 20;
/// Most frames that are kept at the same time, of any size.
const FRAMES: u64 = 4096;

/// Keeps frames. Clones share the budgets.
#[derive(Clone)]
pub struct FrameStore(Rc<RefCell<State>>);

struct State {
    folder: PathBuf,
    memory_budget: u64,
    file_budget: u64,
    /// Number of kept frames.
    frames: u64,
    /// Bytes of frames in memory.
    memory: u64,
    /// Created at first use.
    file: Option<File>,
    /// Bytes per frame in the file: those of the first one.
    slot: u64,
    slots: u64,
    free: Vec<u64>,
}

/// A kept frame. Clones share it; the last one frees it.
#[derive(Clone)]
pub struct KeptFrame(Rc<Kept>);

struct Kept {
    state: Rc<RefCell<State>>,
    location: Location,
}

enum Location {
    Memory { frame: Rc<frame::Video>, bytes: u64 },
    File { slot: u64, shape: Shape },
}

/// A frame in the file, without its pixels.
struct Shape {
    /// Format, size and colour properties.
    properties: frame::Video,
    /// Bytes and stride of each plane.
    planes: Vec<(usize, usize)>,
}

impl FrameStore {
    /// Creates a store that puts its file into `folder`, if it needs one.
    pub fn new(folder: &Path) -> Self {
        let may_be_created = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
        Self::with_budgets(folder, MEMORY, FILE.min(may_be_created))
    }

    fn with_budgets(folder: &Path, memory_budget: u64, file_budget: u64) -> Self {
        let (folder, free) = (folder.to_owned(), Vec::new());
        let state =
            State { folder, memory_budget, file_budget, frames: 0, memory: 0, file: None, slot: 0, slots: 0, free };
        Self(Rc::new(RefCell::new(state)))
    }

    /// Keeps a frame, unless the store is full.
    pub fn keep(&self, frame: &Rc<frame::Video>) -> Result<Option<KeptFrame>, MediaError> {
        let mut state = self.0.borrow_mut();
        let planes = planes(frame);
        let bytes = planes.iter().map(|(plane, _)| plane.len() as u64).sum();
        if bytes == 0 || state.frames == FRAMES {
            return Ok(None);
        }
        let location = if state.memory + bytes <= state.memory_budget {
            state.memory += bytes;
            Location::Memory { frame: frame.clone(), bytes }
        } else {
            match state.write(&planes, bytes)? {
                Some(slot) => Location::File { slot, shape: Shape::of(frame, &planes) },
                None => return Ok(None),
            }
        };
        state.frames += 1;
        Ok(Some(KeptFrame(Rc::new(Kept { state: self.0.clone(), location }))))
    }
}

impl KeptFrame {
    /// Returns the frame with its pixels.
    pub fn get(&self) -> Result<Rc<frame::Video>, MediaError> {
        match &self.0.location {
            Location::Memory { frame, .. } => Ok(frame.clone()),
            Location::File { slot, shape } => self.0.state.borrow().read(*slot, shape).map(Rc::new),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        state.frames -= 1;
        match self.location {
            Location::Memory { bytes, .. } => state.memory -= bytes,
            Location::File { slot, .. } => state.free.push(slot),
        }
    }
}

impl State {
    /// Writes planes into a slot of the file; returns none if the file is full.
    fn write(&mut self, planes: &[(&[u8], usize)], bytes: u64) -> Result<Option<u64>, MediaError> {
        if self.slot == 0 {
            self.slot = bytes;
        }
        let full = (self.slots + 1) * self.slot > self.file_budget;
        if bytes > self.slot || (self.free.is_empty() && full) {
            return Ok(None);
        }
        let failed = |what: &str, error| MediaError::from_io(what, &self.folder, &error);
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let created = tempfile::tempfile_in(&self.folder);
                none.insert(created.map_err(|error| failed("cannot create a file for frames in", error))?)
            }
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        let mut at = slot * self.slot;
        for (plane, _) in planes {
            file.write_all_at(plane, at).map_err(|error| failed("cannot write a frame in", error))?;
            at += plane.len() as u64;
        }
        Ok(Some(slot))
    }

    fn read(&self, slot: u64, shape: &Shape) -> Result<frame::Video, MediaError> {
        let Some(file) = &self.file else {
            return Err(MediaError::bug("a frame in a file that was never created"));
        };
        let mut frame = shape.empty_frame()?;
        let mut at = slot * self.slot;
        for (index, &(length, stride)) in shape.planes.iter().enumerate() {
            let mut plane = vec![0; length];
            let read = file.read_exact_at(&mut plane, at);
            read.map_err(|error| MediaError::from_io("cannot read a frame in", &self.folder, &error))?;
            at += length as u64;
            let to_stride = frame.stride(index);
            let rows = plane.chunks(stride).zip(frame.data_mut(index).chunks_mut(to_stride));
            for (from, to) in rows {
                let row = from.len().min(to.len());
                to[..row].copy_from_slice(&from[..row]);
            }
        }
        Ok(frame)
    }
}

#[expect(unsafe_code, reason = "ffmpeg-next does not copy a frame's properties alone")]
impl Shape {
    fn of(frame: &frame::Video, planes: &[(&[u8], usize)]) -> Self {
        let mut properties = frame::Video::empty();
        // SAFETY: both frames are alive; copying properties leaves the pixels where they are. Plain
        // integers are set.
        unsafe {
            ffi::av_frame_copy_props(properties.as_mut_ptr(), frame.as_ptr());
            (*properties.as_mut_ptr()).format = (*frame.as_ptr()).format;
        }
        properties.set_width(frame.width());
        properties.set_height(frame.height());
        Self { properties, planes: planes.iter().map(|(plane, stride)| (plane.len(), *stride)).collect() }
    }

    /// Allocates a frame of this shape.
    fn empty_frame(&self) -> Result<frame::Video, MediaError> {
        let mut frame = frame::Video::empty();
        frame.set_width(self.properties.width());
        frame.set_height(self.properties.height());
        // SAFETY: as above; the frame's memory is allocated for the format and size just set, and
        // checked.
        let allocated = unsafe {
            ffi::av_frame_copy_props(frame.as_mut_ptr(), self.properties.as_ptr());
            (*frame.as_mut_ptr()).format = (*self.properties.as_ptr()).format;
            ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0)
        };
        match allocated {
            0.. => Ok(frame),
            error => Err(MediaError::from_ffmpeg("cannot restore a frame", ffmpeg::Error::from(error))),
        }
    }
}

/// Returns the planes of a frame and their strides; empty unless all rows lie top-down inside the
/// frame's buffers and every plane holds samples.
#[expect(unsafe_code, reason = "ffmpeg-next makes slices of planes without looking at their buffers")]
fn planes(frame: &frame::Video) -> Vec<(&[u8], usize)> {
    // SAFETY: the frame is alive and borrowed for as long as the slices live. The format is one of
    // FFmpeg's, checked before it becomes a Rust enum. A slice is made only if it lies inside a
    // buffer that the frame refers to.
    unsafe {
        let raw = frame.as_ptr();
        if !(0..ffi::AVPixelFormat::AV_PIX_FMT_NB as i32).contains(&(*raw).format) {
            return Vec::new();
        }
        let format = std::mem::transmute::<i32, ffi::AVPixelFormat>((*raw).format);
        let descriptor = ffi::av_pix_fmt_desc_get(format);
        let odd = ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_BITSTREAM;
        if descriptor.is_null() || (*descriptor).flags & odd as u64 != 0 {
            return Vec::new();
        }
        let count = ffi::av_pix_fmt_count_planes(format).clamp(0, 4) as usize;
        let plane = |index: usize| {
            let shift = if index == 1 || index == 2 { (*descriptor).log2_chroma_h } else { 0 };
            let rows = frame.height().div_ceil(1 << shift) as usize;
            let width = usize::try_from(ffi::av_image_get_linesize(format, frame.width() as i32, index as i32)).ok()?;
            let stride = usize::try_from((*raw).linesize[index]).ok()?;
            let begin = (*raw).data[index];
            if begin.is_null() || rows == 0 || width == 0 || stride < width {
                return None;
            }
            let length = stride * (rows - 1) + width;
            let inside = (*raw).buf.iter().filter(|buffer| !buffer.is_null()).any(|&buffer| {
                let (from, size) = ((*buffer).data as usize, (*buffer).size);
                begin as usize >= from && begin as usize + length <= from + size
            });
            inside.then(|| (slice::from_raw_parts(begin, length), stride))
        };
        (0..count).map(plane).collect::<Option<Vec<_>>>().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg::format::Pixel;

    fn noisy(format: Pixel, seed: u32) -> Rc<frame::Video> {
        let mut frame = frame::Video::new(format, 162, 91);
        let mut noise = seed;
        for plane in 0..frame.planes() {
            for sample in frame.data_mut(plane) {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = (noise >> 24) as u8;
            }
        }
        frame.set_color_range(ffmpeg::color::Range::JPEG);
        Rc::new(frame)
    }

    #[test]
    fn frames_are_restored_from_memory_and_from_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for format in [Pixel::YUV420P, Pixel::YUV422P10LE, Pixel::NV12, Pixel::RGB24] {
            let store = FrameStore::with_budgets(folder.path(), 200_000, 2_000_000);
            let frames: Vec<_> = (0..15).map(|seed| noisy(format, seed)).collect();
            let kept: Vec<_> = frames.iter().filter_map(|frame| store.keep(frame).expect("no failure")).collect();
            assert_eq!(kept.len(), 15, "{format:?}");
            assert!(
                matches!(kept[0].0.location, Location::Memory { .. })
                    && matches!(kept[14].0.location, Location::File { .. })
            );
            for (frame, kept) in frames.iter().zip(&kept) {
                let back = kept.get().expect("readable");
                assert_eq!(planes(&back).len(), planes(frame).len());
                for ((ours, our_stride), (theirs, stride)) in planes(&back).into_iter().zip(planes(frame)) {
                    let width = theirs.len() % stride;
                    assert!(width > 0);
                    let mut rows = ours.chunks(our_stride).zip(theirs.chunks(stride));
                    assert!(rows.all(|(a, b)| a[..width] == b[..width]), "{format:?}");
                }
                assert_eq!(back.color_range(), ffmpeg::color::Range::JPEG);
            }
            let slots = store.0.borrow().slots;
            drop(kept);
            let state = store.0.borrow();
            assert_eq!((state.memory, state.free.len() as u64), (0, slots), "{format:?}");
        }
    }

    #[test]
    fn the_number_of_kept_frames_is_limited() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FrameStore::new(folder.path());
        let frame = Rc::new(frame::Video::new(Pixel::YUV420P, 2, 2));
        let kept: Vec<_> = (0..5000).filter_map(|_| store.keep(&frame).expect("no failure")).collect();
        assert_eq!(kept.len() as u64, FRAMES);
    }

    #[test]
    fn a_full_store_keeps_no_frame_and_freed_space_is_reused() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FrameStore::with_budgets(folder.path(), 100_000, 200_000);
        let frame = noisy(Pixel::YUV420P, 1);
        for _ in 0..3 {
            let kept: Vec<_> = (0..40).map(|_| store.keep(&frame).expect("no failure")).collect();
            assert!(kept[0].is_some() && kept[6].is_some() && kept[39].is_none());
            let file = store.0.borrow().file.as_ref().expect("a file").metadata().expect("metadata").len();
            assert!(file <= 200_000, "{file}");
        }
    }
}
