//! A map that forgets its oldest entries.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// At most `capacity` entries; inserting one more drops the oldest.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    capacity: usize,
    entries: HashMap<K, (u64, V)>,
    /// Insertions in order. An entry removed since leaves its place behind,
    /// until its turn comes or the queue is swept.
    order: VecDeque<(u64, K)>,
    insertions: u64,
}

impl<K: Eq + Hash + Clone, V> Bounded<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            order: VecDeque::new(),
            insertions: 0,
        }
    }

    /// Inserts or replaces; false if the capacity is zero.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        if self.capacity == 0 {
            return false;
        }
        self.insertions += 1;
        self.entries.insert(key.clone(), (self.insertions, value));
        self.order.push_back((self.insertions, key));
        while self.entries.len() > self.capacity {
            self.drop_oldest();
        }
        if self.order.len() > 2 * self.capacity {
            let entries = &self.entries;
            self.order
                .retain(|(insertion, key)| is_current(entries, *insertion, key));
        }
        true
    }

    fn drop_oldest(&mut self) {
        if let Some((insertion, key)) = self.order.pop_front()
            && is_current(&self.entries, insertion, &key)
        {
            self.entries.remove(&key);
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|(_, value)| value)
    }
}

fn is_current<K: Eq + Hash, V>(entries: &HashMap<K, (u64, V)>, insertion: u64, key: &K) -> bool {
    entries.get(key).is_some_and(|(at, _)| *at == insertion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_makes_room() {
        let mut map = Bounded::new(2);
        for key in 0..5 {
            assert!(map.insert(key, key));
        }
        let mut left: Vec<_> = map.values().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [3, 4]);
    }

    #[test]
    fn a_replaced_entry_counts_as_new() {
        let mut map = Bounded::new(2);
        for (key, value) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
            map.insert(key, value);
        }
        assert_eq!(map.get(&"a"), Some(&3));
        assert_eq!(map.get_mut(&"a"), Some(&mut 3));
        assert_eq!(map.remove(&"b"), None);
        assert_eq!(map.remove(&"c"), Some(4));
    }

    #[test]
    fn coming_and_going_leaves_nothing_behind() {
        let mut map = Bounded::new(4);
        for key in 0..1000 {
            map.insert(key, ());
            map.remove(&key);
        }
        assert_eq!(map.values().count(), 0);
        assert!(map.order.len() <= 8);
        map.clear();
        assert!(map.order.is_empty());
    }

    #[test]
    fn a_capacity_of_zero_keeps_nothing() {
        let mut map = Bounded::new(0);
        assert!(!map.insert(1, ()));
        assert_eq!(map.remove(&1), None);
    }
}
