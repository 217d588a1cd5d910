use std::ops::Range;

use image::RgbImage;
use oxideav_core::{CodecId, Decoder as _, Frame, Packet, TimeBase, VideoFrame};
use oxideav_h264::h264_decoder::H264CodecDecoder;

use super::cuts::{CutFinder, Histogram};
use super::{Cut, FrameSampling, Stream, Thumbnail, matroska, plan, thumbnail};
use crate::report::counted;
use crate::{Format, Limits, MediaError, Warning, WarningKind};

/// What the frames of a track showed.
pub(super) struct Found {
    pub(super) sampling: FrameSampling,
    pub(super) frames_decoded: u32,
    pub(super) cuts: Vec<Cut>,
    pub(super) thumbnail: Option<Thumbnail>,
    pub(super) warnings: Vec<Warning>,
}

/// Decodes the frames that the budget allows; the inner error says why the track cannot be decoded.
pub(super) fn examine(
    bytes: &[u8],
    format: Format,
    stream: &Stream,
    limits: &Limits,
) -> Result<Result<Found, String>, MediaError> {
    let picture = stream.config.picture;
    if picture.bit_depth != 8 {
        let reason = format!("pictures have {} bits a sample, expected 8", picture.bit_depth);
        return Ok(Err(reason));
    }
    if picture.pixels() > limits.video.max_frame_pixels {
        let limit = limits.video.max_frame_pixels;
        let reason = format!("a frame has {} pixels, expected at most {limit}", picture.pixels());
        return Ok(Err(reason));
    }
    let by_pixels = limits.video.max_decoded_pixels / picture.pixels().max(1);
    let by_frames = u64::from(limits.video.max_frames_decoded);
    let budget = by_pixels.min(by_frames);
    let budget = usize::try_from(budget).unwrap_or(usize::MAX);
    let (sampling, chosen) = plan::choose(&stream.samples, budget);
    if chosen.is_empty() {
        return Ok(Err("the budget of frames to decode is used up".to_owned()));
    }
    let spent = if by_pixels < by_frames {
        let limit = limits.video.max_decoded_pixels;
        format!("video.max_decoded_pixels ({limit}) allows no more of {} × {} pixels", picture.width, picture.height)
    } else {
        format!("video.max_frames_decoded ({by_frames}) allows no more")
    };

    let mut run = Run::new(stream, limits, sampling, chosen.len());
    match format {
        Format::Matroska | Format::WebM => {
            matroska::visit(bytes, format, stream, &chosen, |index, sample| run.add(index, sample))?;
        }
        _ => {
            for index in &chosen {
                let Some(sample) = stream.samples.get(*index) else {
                    continue;
                };
                let range = sample.start..sample.start.saturating_add(sample.length);
                let going = bytes.get(range).is_some_and(|sample| run.add(*index, sample));
                if !going {
                    break;
                }
            }
        }
    }
    Ok(run.finish(sampling, chosen.len(), &spent))
}

struct Run<'a> {
    stream: &'a Stream,
    decoder: H264CodecDecoder,
    /// Whether each sample stands alone.
    isolated: bool,
    thumbnail_width: u32,
    slices_left: u32,
    frames: u32,
    refused: u32,
    cuts: CutFinder,
    best: Option<(f64, f64, RgbImage)>,
}

impl<'a> Run<'a> {
    fn new(stream: &'a Stream, limits: &Limits, sampling: FrameSampling, frames: usize) -> Self {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        Self {
            stream,
            decoder: decoder(),
            isolated: sampling == FrameSampling::KeyFrames,
            thumbnail_width: limits.video.thumbnail_width,
            slices_left: frames.saturating_mul(SLICES_A_FRAME).saturating_add(64),
            frames: 0,
            refused: 0,
            cuts: CutFinder::default(),
            best: None,
        }
    }

    /// Decodes a sample; `false` once the budget of slices is used up.
    fn add(&mut self, index: usize, sample: &[u8]) -> bool {
        let config = &self.stream.config;
        let Some(units) = config.byte_stream(sample, &mut self.slices_left) else {
            return false;
        };
        let starts = self.stream.samples.get(index).is_some_and(|sample| sample.key);
        let data =
            if starts || self.frames + self.refused == 0 { [&*config.parameter_sets, &units].concat() } else { units };
        if self.isolated {
            // A key frame need not reset the numbering of frames, and a decoder takes the jump from one to the next for loss.
            if self.decoder.flush().is_ok() {
                self.drain();
            }
            self.decoder = decoder();
        }
        let order = i64::try_from(index).unwrap_or(i64::MAX);
        // The index stands in for the time: it leads from a frame that comes out back to its sample.
        let packet = Packet::new(0, TimeBase::new(1, 1), data).with_pts(order);
        if self.decoder.send_packet(&packet).is_err() {
            self.refused += 1;
        }
        self.drain();
        true
    }

    fn drain(&mut self) {
        while let Ok(Frame::Video(frame)) = self.decoder.receive_frame() {
            self.show(&frame);
        }
    }

    fn show(&mut self, frame: &VideoFrame) {
        let picture = self.stream.config.picture;
        let index = frame.pts.and_then(|index| usize::try_from(index).ok());
        let Some(sample) = index.and_then(|index| self.stream.samples.get(index)) else {
            return;
        };
        let (width, height) = (picture.width as usize, picture.height as usize);
        let plane = |number: usize, width: usize, height: usize| {
            let plane = frame.planes.get(number)?;
            Luma::new(&plane.data, plane.stride, width, height)
        };
        let Some(luma) = plane(0, width, height) else {
            return;
        };
        self.frames += 1;
        let histogram = Histogram::of(&luma);
        let score = histogram.entropy();
        // Only a clear gain is worth scaling another frame.
        if self.best.as_ref().is_none_or(|(best, ..)| score > best + MIN_GAIN) {
            let (across, down) = match picture.chroma_format {
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let (width, height) = (width.div_ceil(across), height.div_ceil(down));
            let planes = plane(1, width, height).zip(plane(2, width, height));
            let chroma = planes.as_ref().filter(|_| picture.chroma_format != 0);
            let chroma = chroma.map(|(blue, red)| [blue, red]);
            if let Some(small) = thumbnail::scale(&luma, chroma, picture, self.thumbnail_width) {
                self.best = Some((score, sample.seconds, small));
            }
        }
        self.cuts.add(sample.seconds, histogram);
    }

    /// Sums up; `spent` says which limit allows no more frames than planned.
    fn finish(mut self, sampling: FrameSampling, planned: usize, spent: &str) -> Result<Found, String> {
        if self.decoder.flush().is_ok() {
            self.drain();
        }
        if self.frames == 0 {
            return Err("the decoder found no frame in it".to_owned());
        }
        let mut warnings = Vec::new();
        let missing = planned.saturating_sub(self.frames as usize);
        if missing > 0 {
            let message = format!("{missing} of {} could not be decoded", counted(planned, "frame"));
            warnings.push(Warning::new(WarningKind::Damaged, message));
        }
        if sampling == FrameSampling::Beginning {
            let message = format!("cuts are sought in the first {} alone: {spent}", counted(self.frames, "frame"));
            warnings.push(Warning::new(WarningKind::LimitReached, message));
        }
        Ok(Found {
            sampling,
            frames_decoded: self.frames,
            cuts: self.cuts.finish(),
            thumbnail: self.best.and_then(|(_, seconds, picture)| thumbnail::encode(&picture, seconds)),
            warnings,
        })
    }
}

fn decoder() -> H264CodecDecoder {
    H264CodecDecoder::new(CodecId::new("h264"))
}

/// One plane of a frame, 8 bits a sample.
pub(super) struct Luma<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl<'a> Luma<'a> {
    /// Takes as much of the wanted size as the plane has; `None` where that is nothing.
    pub(super) fn new(data: &'a [u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        if stride == 0 || stride > data.len() {
            return None;
        }
        let (width, height) = (width.min(stride), height.min(data.len() / stride));
        (width > 0 && height > 0).then_some(Self { data, stride, width, height })
    }

    pub(super) const fn width(&self) -> usize {
        self.width
    }

    pub(super) const fn height(&self) -> usize {
        self.height
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let width = self.width;
        self.data.chunks_exact(self.stride).take(self.height).filter_map(move |row| row.get(..width))
    }

    /// The mean of a rectangle.
    pub(super) fn mean(&self, columns: Range<usize>, rows: Range<usize>) -> f64 {
        let (mut sum, mut count) = (0_u32, 0_u32);
        for row in rows {
            let start = row * self.stride;
            let span = start + columns.start..start + columns.end.min(self.width);
            for value in self.data.get(span).unwrap_or_default() {
                sum += u32::from(*value);
                count += 1;
            }
        }
        f64::from(sum) / f64::from(count.max(1))
    }
}

/// Some encoders cut a frame into slices for as many threads; thousands of them are an attack.
const SLICES_A_FRAME: u32 = 16;
const MIN_GAIN: f64 = 0.05;
