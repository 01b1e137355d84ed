//! The text of the word-count bench: words of a made-up vocabulary drawn by Zipf's law (the word of
//! rank `r` comes up in proportion to `1 / r`), twelve to a line. A function of seed and size only.

use super::answer::draw;
use super::load::reduce;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The number of different words.
pub const VOCABULARY: usize = 100_000;
/// The seed of every published figure.
pub const SEED: u64 = 2024;
const WORDS_PER_LINE: u64 = 12;

/// The path of the text of `megabytes` (10^6 bytes), made first if it is not there.
///
/// # Errors
/// When the folder `target/bench-data` of the workspace cannot be written.
pub fn text_file(megabytes: u64) -> io::Result<PathBuf> {
    let folder = data_folder();
    let path = folder.join(format!("words-{SEED}-{megabytes}mb.txt"));
    if !path.exists() {
        fs::create_dir_all(&folder)?;
        let unfinished = path.with_extension("unfinished");
        eprintln!("making {}", path.display());
        write_text(&unfinished, SEED, megabytes * 1_000_000)?;
        fs::rename(&unfinished, &path)?;
    }
    Ok(path)
}

/// `target/bench-data` of the workspace, from this package or from `benches/rivals`.
pub fn data_folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package
        .ancestors()
        .find(|folder| folder.join("runtime").is_dir())
        .expect("the benches lie inside the workspace");
    workspace.join("target/bench-data")
}

fn write_text(path: &Path, seed: u64, bytes: u64) -> io::Result<()> {
    let vocabulary = vocabulary(seed);
    let ranks = Zipf::new(VOCABULARY);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut index) = (0, 0);
    while written < bytes {
        let word = &vocabulary[ranks.rank(draw(2 * index, seed), draw(2 * index + 1, seed))];
        index += 1;
        out.write_all(word)?;
        out.write_all(if index.is_multiple_of(WORDS_PER_LINE) {
            b"\n"
        } else {
            b" "
        })?;
        written += word.len() as u64 + 1;
    }
    out.write_all(b"\n")?;
    out.flush()
}

/// Different words of lower-case letters, short ones first, as in a natural language.
fn vocabulary(seed: u64) -> Vec<Vec<u8>> {
    let mut seen = std::collections::HashSet::new();
    let mut words = Vec::with_capacity(VOCABULARY);
    let mut tries = 0;
    while words.len() < VOCABULARY {
        let word = random_word(words.len(), draw(tries, seed ^ 0x766F_6361));
        tries += 1;
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

/// A word for the given rank: 2 to 7 letters for the first ranks, 5 to 14 for the last.
fn random_word(rank: usize, random: u64) -> Vec<u8> {
    let shortest = 2 + (rank.ilog10_or_zero() / 2) as u64 + u64::from(rank > 5_000);
    let spread = 5 + u64::from(rank.ilog10_or_zero());
    let length = shortest + reduce(random, spread + 1);
    (0..length)
        .map(|i| b'a' + reduce(draw(i, random), 26) as u8)
        .collect()
}

trait Log10OrZero {
    fn ilog10_or_zero(self) -> u32;
}

impl Log10OrZero for usize {
    fn ilog10_or_zero(self) -> u32 {
        self.checked_ilog10().unwrap_or(0)
    }
}

/// Ranks in proportion to `1 / (rank + 1)`, two random numbers a draw: Vose's alias method (1991).
struct Zipf {
    /// For each slot: below this the slot's own rank, else its alias.
    slots: Vec<(u64, usize)>,
}

impl Zipf {
    fn new(ranks: usize) -> Zipf {
        let total: f64 = (1..=ranks).map(|rank| 1.0 / rank as f64).sum();
        let mut share: Vec<f64> = (1..=ranks)
            .map(|rank| ranks as f64 / (rank as f64 * total))
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..ranks).partition(|&rank| share[rank] < 1.0);
        let mut slots = vec![(u64::MAX, 0); ranks];
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            slots[poor] = ((share[poor] * u64::MAX as f64) as u64, rich);
            share[rich] -= 1.0 - share[poor];
            if share[rich] < 1.0 {
                small.push(rich);
                large.pop();
            }
        }
        Zipf { slots }
    }

    fn rank(&self, which: u64, side: u64) -> usize {
        let slot = reduce(which, self.slots.len() as u64) as usize;
        let (threshold, alias) = self.slots[slot];
        if side <= threshold { slot } else { alias }
    }
}

/// One part of a text in chunks of whole lines, so that several readers share a file.
pub struct LineChunks {
    file: File,
    left: u64,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    /// Where in `buffer` the next chunk begins: behind the last whole line handed out.
    begin: usize,
}

impl LineChunks {
    /// Part `part` of `parts` of the file, about `chunk_bytes` at a time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(path: &Path, part: usize, parts: usize, chunk_bytes: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let bound = |part: usize| length * part as u64 / parts as u64;
        let start = line_start(&mut file, bound(part))?;
        let end = line_start(&mut file, bound(part + 1))?;
        file.seek(SeekFrom::Start(start))?;
        Ok(LineChunks {
            file,
            left: end - start,
            chunk_bytes,
            buffer: Vec::with_capacity(2 * chunk_bytes),
            begin: 0,
        })
    }

    /// The next whole lines; `None` at the end of the part.
    ///
    /// # Errors
    /// When the file cannot be read or is not UTF-8.
    pub fn next_chunk(&mut self) -> io::Result<Option<&str>> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let wanted = self.left.min(self.chunk_bytes as u64);
        self.left -= wanted;
        (&mut self.file)
            .take(wanted)
            .read_to_end(&mut self.buffer)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.begin = match self.buffer.iter().rposition(|byte| *byte == b'\n') {
            Some(newline) if self.left > 0 => newline + 1,
            _ => self.buffer.len(),
        };
        let lines = std::str::from_utf8(&self.buffer[..self.begin]);
        lines
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The first start of a line at or after `position`.
fn line_start(file: &mut File, position: u64) -> io::Result<u64> {
    if position == 0 {
        return Ok(0);
    }
    file.seek(SeekFrom::Start(position - 1))?;
    let mut line = Vec::new();
    io::BufRead::read_until(&mut BufReader::new(file), b'\n', &mut line)?;
    Ok(position - 1 + line.len() as u64)
}

/// The words of a chunk, as the bench defines them: what lies between spaces and line ends.
#[inline]
pub fn words(chunk: &str) -> impl Iterator<Item = &str> {
    let mut rest = chunk;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let start = bytes.iter().position(|byte| !is_gap(*byte))?;
        let length = bytes[start..].iter().position(|byte| is_gap(*byte));
        let end = length.map_or(bytes.len(), |length| start + length);
        let word = &rest[start..end];
        rest = &rest[end..];
        Some(word)
    })
}

#[inline]
fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_text() {
        let path = text_file(1).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        for parts in 1..=3 {
            let mut read = String::new();
            for part in 0..parts {
                let mut chunks = LineChunks::open(&path, part, parts, 5_000).unwrap();
                while let Some(chunk) = chunks.next_chunk().unwrap() {
                    assert!(chunk.ends_with('\n'));
                    read.push_str(chunk);
                }
            }
            assert!(read == whole, "{parts} parts");
        }
    }

    #[test]
    fn words_lie_between_gaps() {
        assert_eq!(words(" ab  c\n\nüd").collect::<Vec<_>>(), ["ab", "c", "üd"]);
        assert_eq!(words(" \n").count(), 0);
    }

    #[test]
    fn ranks_follow_zipfs_law() {
        let ranks = Zipf::new(1_000);
        let mut counts = vec![0u32; 1_000];
        for i in 0..1_000_000 {
            counts[ranks.rank(draw(2 * i, 1), draw(2 * i + 1, 1))] += 1;
        }
        let harmonic: f64 = (1..=1_000).map(|r| 1.0 / f64::from(r)).sum();
        for rank in [0, 1, 9, 99] {
            let expected = 1e6 / (harmonic * (rank + 1) as f64);
            let found = f64::from(counts[rank]);
            assert!(
                (found / expected - 1.0).abs() < 0.1,
                "{rank}: {found} for {expected}"
            );
        }
    }
}
