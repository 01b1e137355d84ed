//! A source of numbers of which some cannot be read.

use crate::harness::Numbers;
use millstream::prelude::*;
use millstream::runtime::source::{
    Batch, ReadStatus, ReaderContext, Source, SplitEnumerator, SplitReader,
};

/// [`Numbers`], but those that end in 3 are malformed. They are bytes that are no text.
#[derive(Clone)]
pub struct Rubbish(pub Numbers);

pub fn is_bad(n: u64) -> bool {
    n % 10 == 3
}

/// The bytes of a malformed number.
pub fn bytes(n: u64) -> Vec<u8> {
    let mut bytes = n.to_string().into_bytes();
    bytes.push(0xff);
    bytes
}

impl Source for Rubbish {
    type Item = u64;
    type Split = String;

    fn describe(&self) -> String {
        "rubbish".into()
    }

    fn enumerator(&self) -> Result<Box<dyn SplitEnumerator<String>>> {
        self.0.enumerator()
    }

    fn open(
        &self,
        split: &String,
        position: Option<&[u8]>,
        context: &ReaderContext,
    ) -> Result<Box<dyn SplitReader<u64>>> {
        Ok(Box::new(Reader(Source::open(
            &self.0, split, position, context,
        )?)))
    }
}

struct Reader(Box<dyn SplitReader<u64>>);

impl SplitReader<u64> for Reader {
    fn poll(&mut self, batch: &mut Batch<u64>, max: usize) -> Result<ReadStatus> {
        let mut all = Batch::default();
        let status = self.0.poll(&mut all, max)?;
        for Record { time, value } in all.records {
            if is_bad(value) {
                batch.push_bad(format!("number {value}"), "ends in three", bytes(value));
            } else {
                batch.push(time, value);
            }
        }
        Ok(status)
    }

    fn position(&self) -> Vec<u8> {
        self.0.position()
    }
}
