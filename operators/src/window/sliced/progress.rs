//! How far windows are, by the watermark and by what was before a restore.
//!
//! After a restore the watermark is the least of all workers': other workers may have fired windows that are open by it, and
//! dropped slices. So a snapshot says, for the key groups of each worker, how far their windows were.

use super::SlicedOperator;
use crate::aggregate::Aggregator;
use crate::window::running::Slice;
use crate::window::slicing::Slicing;
use millstream_runtime::hash::stable_hash;
use millstream_runtime::record::{Data, Key};
use millstream_runtime::state::SHARDS;
use millstream_runtime::time::{WATERMARK_MAX, Watermark};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How far the windows of some key groups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub groups: Range<u32>,
    /// Windows before this one have fired.
    pub fired: i64,
    /// Records can be added to windows from this one on; slices of none of them may be gone.
    pub kept: i64,
}

/// What the watermark says of windows.
pub(super) struct Past {
    pub watermark: Watermark,
    /// The first window that has not ended.
    pub open_from: i64,
    /// The first window that records can still be added to.
    pub kept_from: i64,
    /// The first slice of no window that has ended.
    pub fresh_from: i64,
    /// The first slice that is not late.
    pub taken_from: i64,
}

impl Past {
    pub fn at(watermark: Watermark, slicing: &Slicing, lateness: i64) -> Self {
        let (open_from, kept_from) = (
            slicing.first_above(watermark, 0),
            slicing.first_above(watermark, lateness),
        );
        Past {
            watermark,
            open_from,
            kept_from,
            fresh_from: slicing.end_of(open_from),
            taken_from: slicing.first_slice_from(kept_from),
        }
    }
}

impl<K: Key, V: Data, G: Aggregator<V>, const H: usize> SlicedOperator<K, V, G, H> {
    /// Learns what a new watermark says.
    #[inline]
    pub(super) fn follow(&mut self, watermark: Watermark) {
        if watermark != self.past.watermark {
            self.past = Past::at(watermark, &self.slicing, self.lateness);
            self.keep_ahead();
        }
    }

    /// Forgets key groups that are ahead no more.
    pub(super) fn keep_ahead(&mut self) {
        // Windows that the watermark has passed are still to be fired.
        let (next, kept_from) = (self.next, self.past.kept_from);
        let is_ahead = |of: &Progress| of.fired > next || of.kept > kept_from;
        self.ahead.retain(is_ahead);
        let fresh = self.ahead.iter().map(|of| self.slicing.end_of(of.fired));
        self.fresh_from = fresh.fold(self.past.fresh_from, i64::max);
    }

    /// How far the windows of the key with this hash are: the first that has not fired, and the first that is kept.
    pub(super) fn progress_of(&self, hash: u64) -> (i64, i64) {
        let here = (self.past.open_from, self.past.kept_from);
        if self.ahead.is_empty() {
            return here;
        }
        let group = self.groups.group_of(hash);
        let ahead = self.ahead.iter().filter(|of| of.groups.contains(&group));
        ahead.fold(here, |(fired, kept), of| {
            (fired.max(of.fired), kept.max(of.kept))
        })
    }

    /// After a restore: what was dropped before the snapshot was taken is dropped again.
    pub(super) fn drop_again(&mut self) {
        let kept = self.ahead.iter().map(|of| of.kept);
        let most = kept.fold(self.past.kept_from, i64::max);
        let until = self.slicing.first_slice_from(most);
        let columns: Vec<Slice> = self.table.columns(i64::MIN..until).collect();
        for (slice, column) in columns {
            for shard in 0..SHARDS as usize {
                let cells = self.table.cells(column, shard); // rows hold nothing after a restore
                let keys = self.table.keys_of(shard);
                let within = keys.filter(|(_, row)| cells.get(*row).is_some());
                let keys: Vec<K> = within.map(|(key, _)| key.clone()).collect();
                for key in keys {
                    let hash = stable_hash(&key);
                    let (_, kept) = self.progress_of(hash);
                    if slice < self.slicing.first_slice_from(kept) {
                        self.table.remove(column, &key, hash);
                    }
                }
            }
            if self.table.is_column_empty(column) {
                self.table.close(column);
            }
        }
    }

    /// How far these windows are, for a restore.
    pub(super) fn note_progress(&mut self) {
        let Past {
            watermark,
            open_from,
            kept_from,
            ..
        } = self.past;
        // At the end of the input all that had begun have fired. Others may begin in a run to come.
        let fired = match watermark {
            WATERMARK_MAX => self.next,
            _ => open_from,
        };
        let here = Progress {
            groups: self.groups.range(self.worker),
            fired,
            kept: kept_from.min(fired),
        };
        self.progress.value.clear();
        self.progress.value.push(here);
        self.progress.value.extend_from_slice(&self.ahead);
    }
}
