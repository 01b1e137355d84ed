//! From plain bytes to compressed ones.

use super::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// Compresses what is written to it, into `W`.
pub(crate) enum Deflater<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Deflater<W> {
    pub fn new(compression: Compression, out: W) -> io::Result<Self> {
        compression.check().map_err(io::Error::other)?;
        Ok(match compression {
            Compression::None => Deflater::Plain(out),
            Compression::Gzip => {
                let level = flate2::Compression::default();
                Deflater::Gzip(Box::new(GzEncoder::new(out, level)))
            }
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, 0)?;
                encoder.include_checksum(true)?;
                Deflater::Zstd(Box::new(encoder))
            }
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => unreachable!("checked above"),
        })
    }

    /// Writes what is still to be written.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Deflater::Plain(out) => Ok(out),
            Deflater::Gzip(encoder) => encoder.finish(),
            #[cfg(feature = "zstd")]
            Deflater::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Deflater<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Deflater::Plain(out) => out.write(bytes),
            Deflater::Gzip(encoder) => encoder.write(bytes),
            #[cfg(feature = "zstd")]
            Deflater::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Deflater::Plain(out) => out.flush(),
            Deflater::Gzip(encoder) => encoder.flush(),
            #[cfg(feature = "zstd")]
            Deflater::Zstd(encoder) => encoder.flush(),
        }
    }
}
