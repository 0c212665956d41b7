//! From a picture to a detector's input: resized, placed, padded, scaled, in the model's order.

use jhalak_common::models::{Channels, Layout, PictureInput};
use jhalak_common::{Error, Result};

use super::placement::Placement;
use super::two_tap::TwoTap;
use jhalak_media::picture::Picture;
use jhalak_media::picture::resample;

/// What stands where no picture is, if the registry says nothing: the grey of YOLO.
const PAD: u8 = 114;

/// Writes pictures into the input of one model.
pub struct InputWriter {
    how: PictureInput,
    /// The input value of each byte, for each channel of the input.
    values: [[f32; 256]; 3],
    /// The picture's channel that each channel of the input takes.
    sources: [usize; 3],
    two_tap: TwoTap,
}

impl InputWriter {
    /// A writer for inputs as the registry describes them.
    pub fn new(how: &PictureInput) -> InputWriter {
        let value = |channel: usize, byte: usize| {
            (byte as f32 / how.divide_by.unwrap_or(1.0) - how.mean[channel]) / how.std[channel]
        };
        let sources = match how.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        InputWriter {
            how: how.clone(),
            values: std::array::from_fn(|channel| std::array::from_fn(|byte| value(channel, byte))),
            sources,
            two_tap: TwoTap::default(),
        }
    }

    /// Values in the input of one picture.
    pub fn len(&self) -> usize {
        3 * self.how.width as usize * self.how.height as usize
    }

    /// Whether that is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `picture` into `input`, [`InputWriter::len`] values. Returns where it stands there.
    pub fn write(&mut self, picture: &Picture, input: &mut [f32]) -> Result<Placement> {
        let size = (picture.width, picture.height);
        if size.0 == 0 || size.1 == 0 || picture.rgb.len() != size.0 as usize * size.1 as usize * 3 {
            return Err(Error::bug(format!("a picture of {} x {} holds {} bytes", size.0, size.1, picture.rgb.len())));
        }
        if input.len() != self.len() {
            return Err(Error::bug(format!("room for {} values, and an input has {}", input.len(), self.len())));
        }
        let placement = Placement::of(self.how.resize, size, (self.how.width, self.how.height));
        let sink = Sink { values: &self.values, sources: self.sources, how: &self.how, placement };
        sink.pad(input);
        let Some(filter) = crate::resize_filter::pillow(self.how.filter) else {
            self.two_tap.rows(&picture.rgb, size, &placement, |y, line| sink.line(y, line, input));
            return Ok(placement);
        };
        let resized = resample::resize(picture, resample::whole(picture), placement.width, placement.height, filter);
        let stride = placement.width as usize * 3;
        resized.chunks_exact(stride).enumerate().for_each(|(y, line)| sink.line(y, line, input));
        Ok(placement)
    }
}

/// Where the lines of a resized picture go.
struct Sink<'a> {
    values: &'a [[f32; 256]; 3],
    sources: [usize; 3],
    how: &'a PictureInput,
    placement: Placement,
}

impl Sink<'_> {
    /// Fills what the picture leaves free.
    fn pad(&self, input: &mut [f32]) {
        let pad = [0, 1, 2].map(|channel| self.values[channel][usize::from(self.how.pad.unwrap_or(PAD))]);
        match self.how.layout {
            Layout::Nchw => {
                let area = input.len() / 3;
                input.chunks_exact_mut(area).zip(pad).for_each(|(plane, value)| self.pad_plane(plane, value));
            }
            Layout::Nhwc => self.pad_plane(input.as_chunks_mut::<3>().0, pad),
        }
    }

    fn pad_plane<T: Copy>(&self, plane: &mut [T], value: T) {
        let Placement { left, top, width, height, .. } = self.placement;
        let inside = |y: usize| (top as usize..(top + height) as usize).contains(&y);
        for (y, line) in plane.chunks_exact_mut(self.how.width as usize).enumerate() {
            match inside(y) {
                true => {
                    line[..left as usize].fill(value);
                    line[(left + width) as usize..].fill(value);
                }
                false => line.fill(value),
            }
        }
    }

    fn line(&self, y: usize, line: &[u8], input: &mut [f32]) {
        let (columns, area) = (self.how.width as usize, input.len() / 3);
        let start = (self.placement.top as usize + y) * columns + self.placement.left as usize;
        let pixels = line.as_chunks::<3>().0;
        match self.how.layout {
            Layout::Nchw => {
                for (channel, (values, &source)) in self.values.iter().zip(&self.sources).enumerate() {
                    let out = &mut input[channel * area + start..][..pixels.len()];
                    out.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = values[usize::from(pixel[source])]);
                }
            }
            Layout::Nhwc => {
                for (out, pixel) in input.as_chunks_mut::<3>().0[start..].iter_mut().zip(pixels) {
                    for channel in 0..3 {
                        out[channel] = self.values[channel][usize::from(pixel[self.sources[channel]])];
                    }
                }
            }
        }
    }
}
