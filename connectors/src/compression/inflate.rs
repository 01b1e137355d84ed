//! From compressed bytes to plain ones, in pieces: input is pushed as it comes, and files need not be held
//! open in between.

use super::Compression;
use flate2::write::GzDecoder;
use millstream_runtime::Result;
use std::io::Write;
use std::mem;

/// Of gzip's input, this much is pushed at a time: its output is at most about a thousand times as long.
const GZIP_PIECE: usize = 4 << 10;

/// Decompresses one input.
pub(crate) enum Inflater {
    /// The input is plain.
    Plain,
    /// Within a member, or before the next one.
    Gzip(Option<Box<GzDecoder<Vec<u8>>>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd_frames::Frames),
}

const CUT_SHORT: &str = "it is cut short";

impl Inflater {
    pub fn new(compression: Compression) -> Result<Self> {
        compression.check()?;
        Ok(match compression {
            Compression::None => Inflater::Plain,
            Compression::Gzip => Inflater::Gzip(None),
            #[cfg(feature = "zstd")]
            Compression::Zstd => Inflater::Zstd(zstd_frames::Frames::new()?),
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => unreachable!("checked above"),
        })
    }

    /// Adds to `out` what the front of `input` stands for, until that is about `max` bytes long; how much
    /// of the input was taken.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>, max: usize) -> Result<usize, String> {
        match self {
            Inflater::Plain => {
                out.extend_from_slice(input);
                Ok(input.len())
            }
            Inflater::Gzip(member) => push_gzip(member, input, out, max),
            #[cfg(feature = "zstd")]
            Inflater::Zstd(frames) => frames.push(input, out, max),
        }
    }

    /// Whether a push without input may bring more.
    pub fn is_pending(&self) -> bool {
        match self {
            Inflater::Plain | Inflater::Gzip(_) => false,
            #[cfg(feature = "zstd")]
            Inflater::Zstd(frames) => frames.is_pending(),
        }
    }

    /// The input has ended.
    ///
    /// # Errors
    /// When it must not end here.
    pub fn end(&mut self) -> Result<(), String> {
        match self {
            Inflater::Plain => Ok(()),
            Inflater::Gzip(member) => match member.take() {
                Some(mut member) => member.try_finish().map_err(|_| CUT_SHORT.to_owned()),
                None => Ok(()),
            },
            #[cfg(feature = "zstd")]
            Inflater::Zstd(frames) => match frames.is_between() {
                true => Ok(()),
                false => Err(CUT_SHORT.to_owned()),
            },
        }
    }
}

fn push_gzip(
    member: &mut Option<Box<GzDecoder<Vec<u8>>>>,
    input: &[u8],
    out: &mut Vec<u8>,
    max: usize,
) -> Result<usize, String> {
    let before = out.len();
    let mut taken = 0;
    while taken < input.len() && out.len() - before < max {
        let Some(decoder) = member else {
            // `gzip` itself takes zeros behind a member for padding.
            if input[taken] == 0 {
                taken += 1;
            } else {
                *member = Some(Box::new(GzDecoder::new(Vec::new())));
            }
            continue;
        };
        let piece = &input[taken..input.len().min(taken + GZIP_PIECE)];
        let count = decoder
            .write(piece)
            .and_then(|count| decoder.flush().map(|()| count));
        let written = mem::take(decoder.get_mut());
        out.extend_from_slice(&written);
        match count.map_err(|error| error.to_string())? {
            0 => {
                decoder.try_finish().map_err(|error| error.to_string())?;
                out.append(decoder.get_mut());
                *member = None;
            }
            count => taken += count,
        }
    }
    Ok(taken)
}

#[cfg(feature = "zstd")]
mod zstd_frames {
    use millstream_runtime::{Error, ErrorKind, Result};
    use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

    const STEP: usize = 64 << 10;

    /// The frames of a zstd file.
    pub(crate) struct Frames {
        decoder: Decoder<'static>,
        between: bool,
        pending: bool,
    }

    impl Frames {
        pub fn new() -> Result<Self> {
            let decoder = Decoder::new().map_err(|error| {
                Error::new(ErrorKind::Source, "cannot start to read zstd").with_source(error)
            })?;
            Ok(Frames {
                decoder,
                between: true,
                pending: false,
            })
        }

        pub fn push(
            &mut self,
            input: &[u8],
            out: &mut Vec<u8>,
            max: usize,
        ) -> Result<usize, String> {
            let before = out.len();
            let mut input = InBuffer::around(input);
            while out.len() - before < max {
                if input.pos() == input.src.len() && !self.pending {
                    break;
                }
                let start = out.len();
                out.resize(start + STEP, 0);
                let mut step = OutBuffer::around(&mut out[start..]);
                let result = self.decoder.run(&mut input, &mut step);
                let written = step.pos();
                out.truncate(start + written);
                let wanted = result.map_err(|error| error.to_string())?;
                self.between = wanted == 0;
                self.pending = written == STEP;
            }
            Ok(input.pos())
        }

        pub fn is_pending(&self) -> bool {
            self.pending
        }

        pub fn is_between(&self) -> bool {
            self.between
        }
    }
}
