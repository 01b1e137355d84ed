//! Columnar tables: against the model, and as columns of slices of time, which come and are dropped.

use super::*;
use std::cell::RefCell;

/// A state of a columnar table that stands for a text.
trait Text: Clone + Default + Serialize + serde::de::DeserializeOwned + 'static {
    fn new(text: String) -> Self;
    fn text(&self) -> String;
}

/// Owns memory.
impl Text for String {
    fn new(text: String) -> Self {
        text
    }
    fn text(&self) -> String {
        self.clone()
    }
}

/// Owns none: the number of a text in `TEXTS`.
#[derive(Clone, Copy, Default)]
struct Plain(usize);

thread_local! {
    static TEXTS: RefCell<Vec<String>> = RefCell::new(vec![String::new()]);
}

impl Text for Plain {
    fn new(text: String) -> Self {
        TEXTS.with_borrow_mut(|texts| {
            texts.push(text);
            Plain(texts.len() - 1)
        })
    }
    fn text(&self) -> String {
        TEXTS.with_borrow(|texts| texts[self.0].clone())
    }
}

impl Serialize for Plain {
    fn serialize<Z: serde::Serializer>(&self, to: Z) -> std::result::Result<Z::Ok, Z::Error> {
        self.text().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from).map(Text::new)
    }
}

/// Rows hold `H` columns.
type Columnar<S, const H: usize> = ColumnarTable<u64, S, Compact, H>;

/// Changes a state as the innermost loops do.
fn change<S: Text, const H: usize>(
    table: &mut Columnar<S, H>,
    number: i64,
    key: u64,
    change: impl Fn(&mut S),
) {
    let hash = stable_hash(&key);
    let mut changes = table.changes();
    let changed = match key % 2 {
        0 => changes.change(number, &key, hash, (), |state, ()| change(state)),
        _ => {
            let place = changes.place(&key, hash);
            changes.change_in(number, &key, hash, place, (), |state, ()| change(state))
        }
    };
    if changed.is_err() {
        let column = table.open(number);
        change(table.touch_or_insert(column, &key, hash));
    }
}

impl<S: Text, const H: usize> Modelled for Columnar<S, H> {
    fn empty() -> Self {
        ColumnarTable::new("model", 1, S::default())
    }
    fn now(&mut self) -> &mut Mark {
        self.now()
    }
    fn hash(key: u64) -> u64 {
        stable_hash(&namespaced(key).0)
    }
    fn insert(&mut self, key: u64, value: String) {
        let (key, number) = namespaced(key);
        change(self, number.into(), key, |state| {
            *state = S::new(value.clone())
        });
    }
    fn push(&mut self, key: u64, value: char) {
        let (key, number) = namespaced(key);
        change(self, number.into(), key, |state| {
            *state = S::new(format!("{}{value}", state.text()))
        });
    }
    fn set(&mut self, key: u64, value: String) -> Option<()> {
        let (key, number) = namespaced(key);
        let column = self.column(number.into())?;
        let state = self.touch(column, &key, stable_hash(&key))?;
        *state = S::new(value);
        Some(())
    }
    fn remove(&mut self, key: u64) -> Option<String> {
        let (key, number) = namespaced(key);
        let column = self.column(number.into())?;
        let (state, _) = ColumnarTable::remove(self, column, &key, stable_hash(&key))?;
        if self.is_column_empty(column) {
            self.close(column);
        }
        Some(state.text())
    }
    fn all(&self) -> Model {
        let mut all = Model::new();
        for shard in 0..SHARDS as usize {
            for (key, row) in self.keys_of(shard) {
                assert_eq!(self.row(key, stable_hash(key)), Some(row));
                for (number, column) in self.columns(0..NAMESPACES as i64) {
                    if let Some(state) = self.get(column, key, stable_hash(key)) {
                        all.insert(key * NAMESPACES + number as u64, state.text());
                    }
                }
            }
        }
        let keys: HashSet<u64> = all.keys().map(|key| key / NAMESPACES).collect();
        assert_eq!(self.len(), keys.len(), "a key without state has no row");
        all
    }
    /// Counts the first column instead.
    fn drain(&mut self, _: u64) -> Option<Model> {
        let column = self.column(0)?;
        (0..SHARDS as usize).for_each(|shard| self.count(column, shard));
        None
    }
    fn entries(&self) -> usize {
        self.all().len()
    }
}

#[test]
fn every_restored_columnar_table_is_the_model_as_of_the_barrier() {
    every_restored_table_is_the_model::<Columnar<String, 0>>();
    every_restored_table_is_the_model::<Columnar<Plain, 0>>();
    every_restored_table_is_the_model::<Columnar<String, 2>>();
    every_restored_table_is_the_model::<Columnar<Plain, 2>>();
}

/// Columns come and are dropped in order, as slices of time do, while snapshots are taken of them: what is restored from
/// the floor on is what was there, and rows go with their last state.
#[test]
fn columns_that_pass_are_in_snapshots_until_they_are_dropped() {
    columns_pass::<0>();
    columns_pass::<2>();
}

fn columns_pass<const H: usize>() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys = [3, 40, 2_000][random.usize(..3)];
        let (mut table, mut chain) = (Columnar::<Plain, H>::empty(), Chain::default());
        let mut model: BTreeMap<(i64, u64), String> = BTreeMap::new();
        let (mut floor, mut comes) = (0, 0);
        let mut frozen = None;
        for step in 0..400 {
            for _ in 0..random.usize(..30) {
                let (number, key) = (comes + random.i64(0..3), random.u64(..keys));
                let text = step.to_string();
                change(&mut table, number, key, |state| {
                    *state = Plain::new(text.clone())
                });
                model.insert((number, key), text);
            }
            if random.u8(..4) == 0 {
                let drops = random.bool();
                let leaves = (comes - floor > random.i64(0..4)).then_some(floor);
                for shard in 0..SHARDS as usize {
                    let passing = Passing {
                        comes: table.column(comes),
                        leaves: leaves.and_then(|number| table.column(number)),
                        drops,
                    };
                    table.pass(shard, passing, |pass| {
                        let of = |number: Option<i64>| model.get(&(number?, *pass.key)).cloned();
                        assert_eq!(pass.comes.map(Plain::text), of(Some(comes)), "seed {seed}");
                        assert_eq!(pass.leaves.map(Plain::text), of(leaves), "seed {seed}");
                        let mut others =
                            (floor..comes + 3).filter(|number| Some(*number) != leaves);
                        let stays = others.any(|number| model.contains_key(&(number, *pass.key)));
                        assert_eq!(
                            pass.goes,
                            leaves.is_some() && drops && !stays,
                            "seed {seed}"
                        );
                    });
                }
                comes += 1;
                if let Some(number) = leaves.filter(|_| drops) {
                    model.retain(|of, _| of.0 != number);
                    table
                        .column(number)
                        .into_iter()
                        .for_each(|column| table.close(column));
                    floor += 1;
                }
            }
            if frozen.is_none() && random.u8(..6) == 0 {
                chain.checkpoint += 1;
                table.freeze(chain.checkpoint, chain.checkpoint == 1);
                frozen = Some((floor, model.clone()));
            }
            if let Some((floor, expected)) = &frozen
                && table.encode_slice(&SliceBudget::new(Duration::ZERO), &mut chain)
            {
                let mut restored: Vec<Columnar<Plain, H>> =
                    chain.restore(&[table.needs_since()], 2);
                for (of, text) in expected {
                    let (number, key) = of;
                    let hash = stable_hash(key);
                    let worker = KeyGroups::new(DEFAULT_KEY_GROUPS, 2).worker_of_hash(hash);
                    let table = &mut restored[worker];
                    let column = table.column(*number).expect("the column is there");
                    let (state, _) = table.remove(column, key, hash).expect("the state is there");
                    assert_eq!(state.text(), *text, "seed {seed}, {of:?}");
                }
                let too_much = restored.iter().flat_map(|table| {
                    table
                        .columns(*floor..i64::MAX)
                        .map(|(_, column)| table.is_column_empty(column))
                });
                assert!(too_much.into_iter().all(|is_empty| is_empty), "seed {seed}");
                frozen = None;
            }
        }
    }
}

/// The table of one shard: its keys, and how a batch of changes goes.
struct OneShard {
    table: Columnar<Plain, 2>,
    keys: Vec<u64>,
}

impl OneShard {
    fn new(keys: usize) -> Self {
        let in_shard = (0..).filter(|key| stable_hash(key) >> 44 & 0xFF == 7);
        OneShard {
            table: Columnar::empty(),
            keys: in_shard.take(keys).collect(),
        }
    }

    /// Changes the states of so many keys in a column.
    fn change(&mut self, number: i64, keys: usize) {
        self.table.changes().note(keys);
        for key in &self.keys[..keys] {
            let text = Plain::new(number.to_string());
            change(&mut self.table, number, *key, |state| *state = text);
        }
    }

    /// The columns that rows hold.
    fn held(&self) -> Vec<i64> {
        self.table.held(7)
    }
}

/// Where nearly all changes are, states lie with the keys: also when columns are not yet over as others come.
#[test]
fn rows_hold_the_newest_columns() {
    let mut shard = OneShard::new(100);
    for number in 0..20 {
        for _ in 0..10 {
            shard.change(number, 100);
        }
        let newest = (number - 1).max(0)..=number;
        assert_eq!(shard.held(), newest.collect::<Vec<_>>());
    }
}

/// A clock that is far ahead does not take the place of what is changed all the time.
#[test]
fn rows_do_not_hold_a_column_of_few_states_for_long() {
    let mut shard = OneShard::new(100);
    for number in 0..20 {
        shard.change(1_000 + number, 1);
        for _ in 0..10 {
            shard.change(number, 100);
        }
        assert!(shard.held().contains(&number), "{:?}", shard.held());
    }
}

/// After a barrier a snapshot finds what rows hold in the columns, and rows that few changes come for do not hold them again.
#[test]
fn rows_hold_nothing_across_a_barrier() {
    let (mut shard, mut chain) = (OneShard::new(100), Chain::default());
    shard.change(0, 100);
    assert_eq!(shard.held(), [0]);
    for _ in 0..5 {
        chain.checkpoint += 1;
        shard.table.freeze(chain.checkpoint, false);
        while !shard
            .table
            .encode_slice(&SliceBudget::unlimited(), &mut chain)
        {}
        assert!(shard.held().is_empty());
        shard.change(0, 5);
        assert!(shard.held().is_empty());
    }
    (0..10).for_each(|_| shard.change(0, 100));
    assert_eq!(shard.held(), [0]);
}

/// Records that are far out of order change many columns at once: holding two of them does not pay. It is tried again now
/// and then.
#[test]
fn rows_hold_nothing_while_changes_are_spread() {
    let mut shard = OneShard::new(500);
    let mut held = 0;
    for number in 0..200 {
        (number..number + 10).for_each(|number| shard.change(number, 500));
        held += usize::from(shard.table.is_holding());
    }
    // Changes of large tables take the short way nevertheless.
    assert!(!shard.table.is_holding());
    for key in shard.keys.repeat(20) {
        let mut changes = shard.table.changes();
        let (hash, place) = (stable_hash(&key), changes.place(&key, stable_hash(&key)));
        let changed = changes.change_in(205, &key, hash, place, (), |_, ()| {});
        assert!(changed.is_ok());
    }
    assert!((5..40).contains(&held), "held in {held} of 200");
    for number in 200..300 {
        (0..10).for_each(|_| shard.change(number, 500));
    }
    assert!(shard.table.is_holding() && shard.held() == [298, 299]);
}
