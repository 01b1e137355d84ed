//! Broadcast state: a map of which every instance of an operator has all.
//!
//! Every instance applies the same changes in the same order, so the first one alone writes the map, in
//! the entry format of keyed tables, and every instance restores all of it, however many there
//! are. A barrier takes a second reference to the map; a change while that one is still being
//! encoded works on a copy.

use super::codec::{put_sized, take_slice};
use super::{
    BlockSink, BlockView, Codec, Compact, SliceBudget, Snapshot, StateData, StateDescriptor,
    check_descriptor,
};
use crate::checkpoint::BlockKind;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::KeyGroups;
use crate::time::CheckpointId;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

/// The names of broadcast state begin with this.
pub(super) const BROADCAST: &str = "broadcast.";

/// A map that did not change is written again after this many checkpoints, so that a restore need not
/// read all parts since it did.
const REWRITE_AFTER: CheckpointId = 32;

/// The clock is asked once in this many entries.
const ENTRIES_PER_LOOK: usize = 16;

/// A map of which every instance of an operator has all; see the module's documentation.
pub struct BroadcastState<K, V> {
    descriptor: StateDescriptor,
    is_writer: bool,
    map: Rc<BTreeMap<K, V>>,
    changed: bool,
    written_at: CheckpointId,
    frozen: Option<Frozen<K, V>>,
}

/// The map as it was at a barrier, and how much of it is encoded.
struct Frozen<K, V> {
    map: Rc<BTreeMap<K, V>>,
    last: Option<K>,
    buffer: Vec<u8>,
}

impl<K: StateData + Ord + Clone, V: StateData + Clone> BroadcastState<K, V> {
    /// An empty map, filed under `broadcast.` and `name`.
    pub fn new(name: &str) -> Self {
        BroadcastState {
            descriptor: StateDescriptor::new(format!("{BROADCAST}{name}")),
            is_writer: true,
            map: Rc::default(),
            changed: true,
            written_at: 0,
            frozen: None,
        }
    }

    /// The map.
    #[inline]
    pub fn get(&self) -> &BTreeMap<K, V> {
        &self.map
    }

    /// The map for changing.
    pub fn get_mut(&mut self) -> &mut BTreeMap<K, V> {
        self.changed = true;
        Rc::make_mut(&mut self.map)
    }

    fn restore_entry(&self, bytes: &mut &[u8]) -> Result<(K, V)> {
        let name = &self.descriptor.name;
        let of_state = |error: Error| error.within(format!("state \"{name}\""));
        let damaged = || {
            let what = format!("state \"{name}\": an entry is cut short");
            Error::new(ErrorKind::Restore, what)
        };
        let rest = bytes.split_first().filter(|(what, _)| **what == 1);
        *bytes = rest.ok_or_else(damaged)?.1;
        let key = take_slice(bytes).ok_or_else(damaged)?;
        let value = take_slice(bytes).ok_or_else(damaged)?;
        let key = Compact.decode(key).map_err(of_state)?;
        Ok((key, Compact.decode(value).map_err(of_state)?))
    }
}

impl<K: StateData + Ord + Clone, V: StateData> Frozen<K, V> {
    /// Encodes entries until all are done (`true`) or the budget is used up.
    fn encode(&mut self, budget: &SliceBudget) -> bool {
        let from = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut encoded, mut key_length, mut length) = (0, 0, 0);
        for (key, value) in self.map.range::<K, _>((from, Bound::Unbounded)) {
            self.buffer.push(1);
            put_sized(&mut self.buffer, &mut key_length, |to| {
                Compact.encode(key, to)
            });
            put_sized(&mut self.buffer, &mut length, |to| {
                Compact.encode(value, to)
            });
            encoded += 1;
            if encoded % ENTRIES_PER_LOOK == 0 && budget.exhausted() {
                self.last = Some(key.clone());
                return false;
            }
        }
        true
    }
}

impl<K: StateData + Ord + Clone, V: StateData + Clone> Snapshot for BroadcastState<K, V> {
    fn descriptor(&self) -> &StateDescriptor {
        &self.descriptor
    }

    fn assign(&mut self, _: KeyGroups, worker: usize) {
        self.is_writer = worker == 0;
    }

    fn freeze(&mut self, checkpoint: CheckpointId, full: bool) {
        let due = self.changed || checkpoint >= self.written_at + REWRITE_AFTER;
        if self.is_writer && (due || full) {
            self.changed = false;
            self.written_at = checkpoint;
            self.frozen = Some(Frozen {
                map: self.map.clone(),
                last: None,
                buffer: Vec::new(),
            });
        }
    }

    fn encode_slice(&mut self, budget: &SliceBudget, sink: &mut dyn BlockSink) -> bool {
        let Some(frozen) = &mut self.frozen else {
            return true;
        };
        if !frozen.encode(budget) {
            return false;
        }
        let entries = frozen.map.len() as u32;
        let payload = std::mem::take(&mut frozen.buffer);
        self.frozen = None;
        sink.block(&self.descriptor, BlockKind::Full, 0, entries, payload);
        true
    }

    fn restore(&mut self, block: BlockView<'_>) -> Result<()> {
        check_descriptor(&self.descriptor, block.state)?;
        let mut bytes = block.payload;
        while !bytes.is_empty() {
            let (key, value) = self.restore_entry(&mut bytes)?;
            self.get_mut().insert(key, value);
        }
        Ok(())
    }

    fn needs_since(&self) -> CheckpointId {
        match self.is_writer {
            true => self.written_at,
            false => CheckpointId::MAX,
        }
    }

    fn keys(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block: the checkpoint's part would hold it.
    type Written = (BlockKind, u32, Vec<u8>);

    #[derive(Default)]
    struct Sink(Vec<Written>);

    impl BlockSink for Sink {
        fn block(&mut self, _: &StateDescriptor, kind: BlockKind, _: u32, n: u32, bytes: Vec<u8>) {
            self.0.push((kind, n, bytes));
        }
    }

    fn checkpoint(state: &mut BroadcastState<u32, String>, number: CheckpointId) -> Vec<Written> {
        let mut sink = Sink::default();
        state.freeze(number, false);
        assert!(state.encode_slice(&SliceBudget::unlimited(), &mut sink));
        sink.0
    }

    fn state_on(worker: usize) -> BroadcastState<u32, String> {
        let mut state = BroadcastState::new("rules");
        state.assign(KeyGroups::new(4096, 3), worker);
        state
    }

    #[test]
    fn the_first_instance_writes_and_all_restore() {
        let mut first = state_on(0);
        for n in 0..1000 {
            first.get_mut().insert(n, n.to_string());
        }
        let written = checkpoint(&mut first, 1);
        assert_eq!((written.len(), written[0].1), (1, 1000));
        for worker in 0..3 {
            let mut other = state_on(worker);
            let descriptor = other.descriptor().clone();
            let block = BlockView {
                state: &descriptor,
                kind: written[0].0,
                shard: 0,
                payload: &written[0].2,
            };
            other.restore(block).unwrap();
            assert_eq!(other.get(), first.get());
            assert_eq!(checkpoint(&mut other, 2).len(), usize::from(worker == 0));
            let cut = BlockView {
                payload: &written[0].2[..written[0].2.len() - 1],
                ..block
            };
            let error = state_on(worker).restore(cut).unwrap_err().to_string();
            assert!(error.contains("\"broadcast.rules\": an entry is cut short"));
        }
    }

    #[test]
    fn what_did_not_change_is_written_seldom() {
        let mut state = state_on(0);
        let written: Vec<_> = (1..=100)
            .filter(|number| !checkpoint(&mut state, *number).is_empty())
            .collect();
        assert_eq!(written, [1, 33, 65, 97]);
        assert_eq!(state.needs_since(), 97);
        state.get_mut().insert(1, "one".into());
        assert_eq!(checkpoint(&mut state, 101).len(), 1);
    }

    /// A snapshot shows the map as it was at the barrier, however much it changes while it is encoded.
    #[test]
    fn changes_behind_a_barrier_stay_out_of_its_snapshot() {
        let mut state = state_on(0);
        state.get_mut().extend((0..100).map(|n| (n, String::new())));
        state.freeze(1, false);
        let nothing = SliceBudget::new(std::time::Duration::ZERO);
        let mut sink = Sink::default();
        let mut slices = 1;
        while !state.encode_slice(&nothing, &mut sink) {
            slices += 1;
            state.get_mut().insert(1000 + slices, String::new());
            state.get_mut().remove(&99);
        }
        assert!(slices > 3);
        assert_eq!(sink.0[0].1, 100);
        let last = &sink.0[0].2[sink.0[0].2.len() - 4..];
        assert_eq!(last, [1, 99, 1, 0]); // an entry, key and value by their lengths
    }
}
