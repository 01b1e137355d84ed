//! Reads files one after the other, as one split.

use super::reader::Reader;
use super::{FileSplit, Options, Part};
use crate::format::Parse;
use crate::position;
use millstream_runtime::Result;
use millstream_runtime::record::Data;
use millstream_runtime::source::{Batch, ReadStatus, ReaderContext, SplitReader};

const VERSION: u8 = 1;

pub(super) struct Series<T, P: Parse<T>> {
    options: Options,
    format: P,
    files: Vec<String>,
    context: ReaderContext,
    /// The index of the file that is being read.
    index: usize,
    reader: Option<Reader<T, P>>,
}

impl<T: Data, P: Parse<T>> Series<T, P> {
    pub fn open(
        options: &Options,
        format: &P,
        files: &[String],
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Self> {
        let mut series = Series {
            options: options.clone(),
            format: format.clone(),
            files: files.to_vec(),
            context: context.clone(),
            index: 0,
            reader: None,
        };
        let within = match position {
            Some(bytes) => {
                let what = format!("files {}", options.pattern);
                let ([index], within) = position::decode_front::<1>(VERSION, bytes, &what)?;
                series.index = index as usize;
                Some(within)
            }
            None => None,
        };
        series.open_file(within)?;
        Ok(series)
    }

    fn open_file(&mut self, position: Option<&[u8]>) -> Result<()> {
        self.reader = match self.files.get(self.index) {
            None => None,
            Some(path) => {
                let split = FileSplit {
                    path: path.clone(),
                    part: Part::Whole,
                    identity: None,
                };
                let position = position.filter(|bytes| !bytes.is_empty());
                let (options, format) = (&self.options, &self.format);
                let reader = Reader::open(options, format, &split, position, &self.context)?;
                Some(reader.named())
            }
        };
        Ok(())
    }
}

impl<T: Data, P: Parse<T>> SplitReader<T> for Series<T, P> {
    fn poll(&mut self, batch: &mut Batch<T>, max: usize) -> Result<ReadStatus> {
        let Some(reader) = &mut self.reader else {
            return Ok(ReadStatus::Finished);
        };
        match reader.poll(batch, max)? {
            ReadStatus::Finished => {
                self.index += 1;
                self.open_file(None)?;
                Ok(match self.reader {
                    Some(_) => ReadStatus::More,
                    None => ReadStatus::Finished,
                })
            }
            status => Ok(status),
        }
    }

    /// The index of the file, then the position in it.
    fn position(&self) -> Vec<u8> {
        let mut bytes = position::encode(VERSION, &[self.index as u64]);
        if let Some(reader) = &self.reader {
            bytes.extend(reader.position());
        }
        bytes
    }
}
