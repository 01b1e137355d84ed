//! What a state is declared with: its name, its schema version, how old versions migrate, its codec, its
//! time to live.

use super::codec::ValueCodec;
use super::table::Decode;
use super::ttl::{Stamped, StampedCodec, Table, Ttl};
use super::{Codec, Compact, KeyedTable, StateData};
use crate::record::Key;

/// How a state is declared. A name alone is enough: `"count".into()`.
///
/// A job is refused when it is built if a name is taken or reserved (`watermark`, `timers.…`, `broadcast.…`) or
/// a time to live is less than a millisecond.
pub struct StateSpec<S> {
    pub(super) name: String,
    pub(super) ttl: Option<Ttl>,
    version: u32,
    codec: Option<Box<dyn ValueCodec<S>>>,
    migrations: Vec<(u32, Decode<Stamped<S>>)>,
}

impl<S: StateData> StateSpec<S> {
    /// A state of schema version 1 that is kept until it is cleared.
    pub fn new(name: impl Into<String>) -> Self {
        StateSpec {
            name: name.into(),
            ttl: None,
            version: 1,
            codec: None,
            migrations: Vec::new(),
        }
    }

    /// Gives the state another schema version: raise it when the type's encoding changes.
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Encodes the state with another codec than the compact one, for example the one that copies memory
    /// (feature `abomonation`). What another codec wrote is not read: a change of codec needs a new
    /// schema version and a migration from what the compact codec wrote.
    pub fn with_codec(mut self, codec: impl Codec<S>) -> Self {
        self.codec = Some(Box::new(codec));
        self
    }

    /// Says how a value of schema version `from`, of type `Old` and in the compact codec, becomes a value
    /// of now.
    pub fn with_migration<Old: StateData>(
        mut self,
        from: u32,
        migrate: impl Fn(Old) -> S + 'static,
    ) -> Self {
        let decode = move |bytes: &[u8]| {
            let old: Stamped<Old> = Compact.decode(bytes)?;
            Ok(Stamped {
                refreshed: old.refreshed,
                value: migrate(old.value),
            })
        };
        self.migrations.push((from, Box::new(decode)));
        self
    }

    /// Lets the state of a key expire. For lists and maps: as a whole.
    ///
    /// A time to live can be given, changed and taken away between runs of a job; what was not
    /// refreshed under one counts from the restore.
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = Some(ttl);
        self
    }

    pub(super) fn table<K: Key>(self) -> Table<K, S> {
        let codec = StampedCodec::new(self.codec);
        let table = KeyedTable::new(self.name).with_version(self.version);
        let mut table = table.with_codec(codec);
        for (from, decode) in self.migrations {
            table = table.with_decoder(from, decode);
        }
        table
    }
}

impl<S: StateData> From<&str> for StateSpec<S> {
    fn from(name: &str) -> Self {
        StateSpec::new(name)
    }
}

impl<S: StateData> From<String> for StateSpec<S> {
    fn from(name: String) -> Self {
        StateSpec::new(name)
    }
}
