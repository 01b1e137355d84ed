//! What a state is declared with: its name, its schema version, how old versions migrate, its time to
//! live.

use super::table::Decode;
use super::ttl::{Stamped, Ttl};
use super::{Codec, Compact, KeyedTable, StateData};
use crate::record::Key;

/// How a state is declared. A name alone is enough: `"count".into()`.
///
/// # Panics
/// Declaring panics, while the job is built, when the name is taken or reserved (`watermark`,
/// `timers.…`).
pub struct StateSpec<S> {
    pub(super) name: String,
    pub(super) ttl: Option<Ttl>,
    version: u32,
    migrations: Vec<(u32, Decode<Stamped<S>>)>,
}

impl<S: StateData> StateSpec<S> {
    /// A state of schema version 1 that is kept until it is cleared.
    pub fn new(name: impl Into<String>) -> Self {
        StateSpec {
            name: name.into(),
            ttl: None,
            version: 1,
            migrations: Vec::new(),
        }
    }

    /// Gives the state another schema version: raise it when the type's encoding changes.
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Says how a value of schema version `from`, of type `Old`, becomes a value of now.
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

    pub(super) fn table<K: Key>(self) -> KeyedTable<K, Stamped<S>> {
        let mut table = KeyedTable::new(self.name).with_version(self.version);
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
