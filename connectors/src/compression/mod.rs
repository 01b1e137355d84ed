//! Compression of files, read and written in pieces: gzip, and zstd with the feature `zstd`.

mod deflate;
mod inflate;

pub(crate) use deflate::Deflater;
pub(crate) use inflate::Inflater;

use millstream_runtime::{Error, ErrorKind, Result};

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// They are not.
    None,
    /// gzip. Files of several members, one after the other, are one.
    Gzip,
    /// zstd, in a build with the feature `zstd`. Files of several frames are one.
    Zstd,
}

impl Compression {
    /// The compression that the end of a file's name stands for: `.gz`, `.gzip`, `.zst`, `.zstd`.
    ///
    /// ```
    /// use millstream_connectors::compression::Compression;
    /// assert_eq!(Compression::of_name("logs/a.jsonl.gz"), Compression::Gzip);
    /// assert_eq!(Compression::of_name("logs/a.jsonl"), Compression::None);
    /// ```
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("gz" | "gzip") => Compression::Gzip,
            Some("zst" | "zstd") => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// What names of files end with, with its dot: `.gz`.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// Whether this build has it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the name of the missing feature.
    pub fn check(self) -> Result<()> {
        if self == Compression::Zstd && !cfg!(feature = "zstd") {
            return Err(Error::new(
                ErrorKind::Config,
                "zstd is not in this build: turn on the feature `zstd`",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub const ALL: &[Compression] = match cfg!(feature = "zstd") {
        true => &[Compression::None, Compression::Gzip, Compression::Zstd],
        false => &[Compression::None, Compression::Gzip],
    };

    pub fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut deflater = Deflater::new(compression, Vec::new()).unwrap();
        std::io::Write::write_all(&mut deflater, bytes).unwrap();
        deflater.finish().unwrap()
    }

    /// Inflates `bytes` in pieces of `piece`, at most about `max` bytes of output at a time.
    fn inflated(
        compression: Compression,
        bytes: &[u8],
        piece: usize,
        max: usize,
    ) -> Result<Vec<u8>, String> {
        let mut inflater = Inflater::new(compression).unwrap();
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() || inflater.is_pending() {
                let taken = inflater.push(rest, &mut out, max)?;
                rest = &rest[taken..];
            }
        }
        inflater.end()?;
        Ok(out)
    }

    #[test]
    fn what_was_deflated_comes_back_in_pieces_of_any_size() {
        let mut rng = fastrand::Rng::with_seed(1);
        let random: Vec<u8> = (0..3_000).map(|_| rng.u8(..)).collect();
        for text in [&b""[..], b"a", &[7; 100_000], &random] {
            for &compression in ALL {
                let bytes = compressed(compression, text);
                let twice = [&bytes[..], &bytes[..]].concat();
                for piece in [1, 2, 3, 17, 1_000_000] {
                    for max in [1, 10_000] {
                        assert_eq!(inflated(compression, &bytes, piece, max).unwrap(), text);
                        assert_eq!(
                            inflated(compression, &twice, piece, max).unwrap(),
                            [text, text].concat(),
                            "members one after the other"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_an_empty_file_and_trailing_zeros_are_padding() {
        for &compression in ALL {
            assert!(inflated(compression, b"", 1, 10).unwrap().is_empty());
        }
        let padded = [compressed(Compression::Gzip, b"text"), vec![0; 100]].concat();
        assert_eq!(
            inflated(Compression::Gzip, &padded, 7, 100).unwrap(),
            b"text"
        );
    }

    #[test]
    fn every_cut_is_told_and_gives_what_is_before_it() {
        let text: Vec<u8> = (0..2_000u32)
            .flat_map(|i| i.to_string().into_bytes())
            .collect();
        for &compression in &ALL[1..] {
            let bytes = compressed(compression, &text);
            for cut in 1..bytes.len() {
                let error = inflated(compression, &bytes[..cut], 100, 1_000).unwrap_err();
                assert!(
                    error.contains("cut short"),
                    "{compression:?} at {cut}: {error}"
                );
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_told_or_harmless() {
        let text: Vec<u8> = (0..500u32)
            .flat_map(|i| i.to_string().into_bytes())
            .collect();
        for &compression in &ALL[1..] {
            let bytes = compressed(compression, &text);
            for at in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= 0x55;
                // Some bytes of a header (time, name of the system) say nothing about the text.
                if let Ok(out) = inflated(compression, &bytes, 64, 1_000) {
                    assert_eq!(out, text, "{compression:?} at {at}");
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..2_000 {
            let length = rng.usize(0..200);
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
            for (&compression, magic) in
                ALL.iter()
                    .zip([&b""[..], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd]])
            {
                if rng.bool() {
                    bytes.splice(0..0, magic.iter().copied());
                }
                let _ = inflated(compression, &bytes, rng.usize(1..50), 10_000);
            }
        }
    }
}
