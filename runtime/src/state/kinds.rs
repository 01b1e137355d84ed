//! The kinds of keyed state: value, list, map and reducing. Each is a typed id, and the access to it for
//! the current key.
//!
//! A list or map of a key is one entry of its table: a change to it writes the whole of it into the next
//! snapshot. They are meant for up to some hundreds of elements per key; an empty one takes no memory.

use super::StateData;
use super::cell::Access;
use super::keyed::{KeyedBackend, StateId};
use super::spec::StateSpec;
use crate::record::Key;
use crate::time::{EventTime, Watermark};
use std::collections::BTreeMap;

macro_rules! copied {
    ($name:ident<$($of:ident),+>) => {
        impl<$($of),+> Clone for $name<$($of),+> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<$($of),+> Copy for $name<$($of),+> {}
    };
}

/// One value per key.
pub struct ValueState<T>(StateId<T>);
copied!(ValueState<T>);

/// A list per key.
pub struct ListState<T>(StateId<Vec<T>>);
copied!(ListState<T>);

/// A sorted map per key.
pub struct MapState<M, V>(StateId<BTreeMap<M, V>>);
copied!(MapState<M, V>);

/// A state of which there is one per key: any kind.
pub trait PerKey: Copy {
    /// The keys of one of the [`SHARDS`](super::SHARDS) shards that have the state at this watermark and
    /// processing time.
    fn keys<K: Key>(
        self,
        backend: &KeyedBackend<K>,
        shard: u32,
        now: (Watermark, EventTime),
    ) -> Vec<K>;
}

macro_rules! per_key {
    ($name:ident<$($of:ident),+>) => {
        impl<$($of),+> PerKey for $name<$($of),+> {
            fn keys<Key_: Key>(
                self,
                backend: &KeyedBackend<Key_>,
                shard: u32,
                now: (Watermark, EventTime),
            ) -> Vec<Key_> {
                backend.keys_of(self.0, shard, now)
            }
        }
    };
}
per_key!(ValueState<T>);
per_key!(ListState<T>);
per_key!(MapState<M, V>);
per_key!(ReducingState<T>);

/// Works a value into what is there.
type Combine<T> = Box<dyn Fn(&mut T, T)>;

/// One value per key, into which each added value is worked.
pub struct ReducingState<T>(StateId<T, Combine<T>>);
copied!(ReducingState<T>);

impl<T: StateData> ValueState<T> {
    /// Declares the state.
    pub fn declare<K: Key>(backend: &mut KeyedBackend<K>, spec: StateSpec<T>) -> Self {
        ValueState(backend.declare(spec, ()))
    }

    /// The state of the current key.
    #[inline]
    pub fn of<K: Key>(self, backend: &mut KeyedBackend<K>) -> ValueAccess<'_, K, T> {
        ValueAccess(backend.access(self.0))
    }
}

impl<T: StateData> ListState<T> {
    /// Declares the state.
    pub fn declare<K: Key>(backend: &mut KeyedBackend<K>, spec: StateSpec<Vec<T>>) -> Self {
        ListState(backend.declare(spec, ()))
    }

    /// The state of the current key.
    pub fn of<K: Key>(self, backend: &mut KeyedBackend<K>) -> ListAccess<'_, K, T> {
        ListAccess {
            backend,
            id: self.0,
        }
    }
}

impl<M: StateData + Ord, V: StateData> MapState<M, V> {
    /// Declares the state.
    pub fn declare<K: Key>(backend: &mut KeyedBackend<K>, spec: StateSpec<BTreeMap<M, V>>) -> Self {
        MapState(backend.declare(spec, ()))
    }

    /// The state of the current key.
    pub fn of<K: Key>(self, backend: &mut KeyedBackend<K>) -> MapAccess<'_, K, M, V> {
        MapAccess {
            backend,
            id: self.0,
        }
    }
}

impl<T: StateData> ReducingState<T> {
    /// Declares the state; `combine` works a value into what is there. The first one is taken as it is.
    pub fn declare<K: Key>(
        backend: &mut KeyedBackend<K>,
        spec: StateSpec<T>,
        combine: impl Fn(&mut T, T) + 'static,
    ) -> Self {
        ReducingState(backend.declare(spec, Box::new(combine)))
    }

    /// The state of the current key.
    pub fn of<K: Key>(self, backend: &mut KeyedBackend<K>) -> ReducingAccess<'_, K, T> {
        ReducingAccess {
            backend,
            id: self.0,
        }
    }
}

/// The value of the current key.
pub struct ValueAccess<'a, K, T>(Access<'a, K, T>);

impl<'a, K: Key, T: StateData> ValueAccess<'a, K, T> {
    /// The value, if there is one.
    #[inline]
    pub fn get(self) -> Option<&'a T> {
        self.0.get()
    }

    /// The value for changing, if there is one.
    #[inline]
    pub fn get_mut(self) -> Option<&'a mut T> {
        self.0.get_mut()
    }

    /// The value for changing; made by `make` when there is none.
    #[inline]
    pub fn get_or_insert_with(self, make: impl FnOnce() -> T) -> &'a mut T {
        self.0.get_or_insert_with(make)
    }

    /// The value for changing; the type's default when there is none.
    #[inline]
    pub fn get_or_default(self) -> &'a mut T
    where
        T: Default,
    {
        self.0.get_or_insert_with(T::default)
    }

    /// Puts a value in place of what was there.
    #[inline]
    pub fn set(self, value: T) {
        self.0.set(value);
    }

    /// Takes the value out.
    pub fn take(self) -> Option<T> {
        self.0.remove()
    }

    /// Removes the value.
    pub fn clear(self) {
        self.0.remove();
    }
}

/// The list of the current key.
pub struct ListAccess<'a, K, T> {
    backend: &'a mut KeyedBackend<K>,
    id: StateId<Vec<T>>,
}

impl<'a, K: Key, T: StateData> ListAccess<'a, K, T> {
    /// The elements, in the order in which they were added.
    pub fn get(self) -> &'a [T] {
        self.backend
            .access(self.id)
            .get()
            .map_or(&[], Vec::as_slice)
    }

    /// Adds an element at the end.
    pub fn push(&mut self, value: T) {
        let list = self.backend.access(self.id);
        list.get_or_insert_with(Vec::new).push(value);
    }

    /// Adds elements at the end.
    pub fn extend(&mut self, values: impl IntoIterator<Item = T>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() {
            let list = self.backend.access(self.id);
            list.get_or_insert_with(Vec::new).extend(values);
        }
    }

    /// Puts a list in place of what was there.
    pub fn set(&mut self, values: Vec<T>) {
        if values.is_empty() {
            self.backend.access(self.id).remove();
        } else {
            self.backend.access(self.id).set(values);
        }
    }

    /// Keeps the elements for which the function says so.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(list) = self.backend.access(self.id).get_mut() {
            list.retain(keep);
            if list.is_empty() {
                self.clear();
            }
        }
    }

    /// Takes all elements out.
    pub fn take(&mut self) -> Vec<T> {
        self.backend.access(self.id).remove().unwrap_or_default()
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.backend.access(self.id).remove();
    }
}

/// The map of the current key.
pub struct MapAccess<'a, K, M, V> {
    backend: &'a mut KeyedBackend<K>,
    id: StateId<BTreeMap<M, V>>,
}

impl<'a, K: Key, M: StateData + Ord, V: StateData> MapAccess<'a, K, M, V> {
    /// The whole map, sorted by its keys; none when it is empty.
    pub fn entries(self) -> Option<&'a BTreeMap<M, V>> {
        self.backend.access(self.id).get()
    }

    /// The value of a key of the map.
    pub fn get(self, key: &M) -> Option<&'a V> {
        self.entries()?.get(key)
    }

    /// Whether the map has a key.
    pub fn contains(self, key: &M) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key of the map for changing; made by `make` when there is none.
    pub fn get_or_insert_with(self, key: M, make: impl FnOnce() -> V) -> &'a mut V {
        let map = self.backend.access(self.id);
        let map = map.get_or_insert_with(BTreeMap::new);
        map.entry(key).or_insert_with(make)
    }

    /// Puts a value under a key of the map; returns what was there.
    pub fn insert(&mut self, key: M, value: V) -> Option<V> {
        let map = self.backend.access(self.id);
        map.get_or_insert_with(BTreeMap::new).insert(key, value)
    }

    /// Removes a key of the map; returns what was there.
    pub fn remove(&mut self, key: &M) -> Option<V> {
        let map = self.backend.access(self.id).get_mut()?;
        let removed = map.remove(key);
        if map.is_empty() {
            self.clear();
        }
        removed
    }

    /// Keeps the entries for which the function says so.
    pub fn retain(&mut self, keep: impl FnMut(&M, &mut V) -> bool) {
        if let Some(map) = self.backend.access(self.id).get_mut() {
            map.retain(keep);
            if map.is_empty() {
                self.clear();
            }
        }
    }

    /// Takes the whole map out.
    pub fn take(&mut self) -> BTreeMap<M, V> {
        self.backend.access(self.id).remove().unwrap_or_default()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.backend.access(self.id).remove();
    }
}

/// The reduced value of the current key.
pub struct ReducingAccess<'a, K, T> {
    backend: &'a mut KeyedBackend<K>,
    id: StateId<T, Combine<T>>,
}

impl<'a, K: Key, T: StateData> ReducingAccess<'a, K, T> {
    /// Works a value into what is there.
    pub fn add(&mut self, value: T) {
        let state = self.backend.access(self.id);
        state.upsert(
            value,
            |value, _| value,
            |state, value, combine| combine(state, value),
        );
    }

    /// The value of all that was added.
    pub fn get(self) -> Option<&'a T> {
        self.backend.access(self.id).get()
    }

    /// Removes the value.
    pub fn clear(&mut self) {
        self.backend.access(self.id).remove();
    }
}
