//! A map by text that keeps the order in which its keys came.
//!
//! The maps of a hook's object have no entry or a few. A list of few is searched faster than it
//! is hashed, takes one allocation instead of two, and moves as three words. Whoever puts in
//! more, a client with its query for instance, gets a hash map.

use std::fmt::{self, Debug};
use std::ops::{Index, IndexMut};
use std::{slice, vec};

use indexmap::{IndexMap, map as many};

/// Most entries that are kept as a list.
const FEW: usize = 16;

/// A map by text that keeps the order in which its keys came.
#[derive(Clone)]
pub struct OrderedMap<V>(Entries<V>);

#[derive(Clone)]
enum Entries<V> {
    Few(Vec<(String, V)>),
    Many(Box<IndexMap<String, V>>),
}

use Entries::{Few, Many};

impl<V> OrderedMap<V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Few(Vec::new()))
    }

    /// An empty map that will have this many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self(if entries > FEW {
            Many(Box::new(IndexMap::with_capacity(entries)))
        } else {
            Few(Vec::with_capacity(entries))
        })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Few(list) => list.len(),
            Many(map) => map.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        match &self.0 {
            Few(list) => Some(&list[place(list, key)?].1),
            Many(map) => map.get(key),
        }
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        match &mut self.0 {
            Few(list) => {
                let place = place(list, key)?;
                Some(&mut list[place].1)
            }
            Many(map) => map.get_mut(key),
        }
    }

    /// Whether there is an entry with the key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key, which keeps its place if it is there, and gives back the value
    /// that it had.
    pub fn insert(&mut self, key: String, value: V) -> Option<V> {
        match &mut self.0 {
            Few(list) => {
                if let Some(place) = place(list, &key) {
                    return Some(std::mem::replace(&mut list[place].1, value));
                }
                if list.len() < FEW {
                    list.push((key, value));
                    return None;
                }
                let all = list.drain(..).chain([(key, value)]);
                self.0 = Many(Box::new(all.collect()));
                None
            }
            Many(map) => map.insert(key, value),
        }
    }

    /// Takes an entry out. Those behind it move up.
    pub fn shift_remove(&mut self, key: &str) -> Option<V> {
        match &mut self.0 {
            Few(list) => Some(list.remove(place(list, key)?).1),
            Many(map) => map.shift_remove(key),
        }
    }

    /// Takes the entry at a place out. Those behind it move up.
    pub fn shift_remove_index(&mut self, place: usize) -> Option<(String, V)> {
        match &mut self.0 {
            Few(list) => (place < list.len()).then(|| list.remove(place)),
            Many(map) => map.shift_remove_index(place),
        }
    }

    /// Takes all entries out.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Few(list) => list.clear(),
            Many(map) => map.clear(),
        }
    }

    /// Goes through keys and values.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter(match &self.0 {
            Few(list) => Either::Few(list.iter()),
            Many(map) => Either::Many(map.iter()),
        })
    }

    /// Goes through the keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &String> {
        self.iter().map(|(key, _)| key)
    }

    /// Goes through the values.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Goes through keys and values, to change these.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut V)> {
        let (few, many) = match &mut self.0 {
            Few(list) => (Some(list.iter_mut()), None),
            Many(map) => (None, Some(map.iter_mut())),
        };
        let few = few.into_iter().flatten().map(|(key, value)| (&*key, value));
        few.chain(many.into_iter().flatten())
    }
}

fn place<V>(list: &[(String, V)], key: &str) -> Option<usize> {
    list.iter().position(|(known, _)| known == key)
}

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Debug> Debug for OrderedMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// The same entries in any order, as for all maps.
impl<V: PartialEq> PartialEq for OrderedMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<V: Eq> Eq for OrderedMap<V> {}

impl<V> Index<&str> for OrderedMap<V> {
    type Output = V;

    /// # Panics
    ///
    /// When there is no such key.
    fn index(&self, key: &str) -> &V {
        self.get(key).expect("the key is in the map")
    }
}

impl<V> IndexMut<&str> for OrderedMap<V> {
    fn index_mut(&mut self, key: &str) -> &mut V {
        self.get_mut(key).expect("the key is in the map")
    }
}

impl<V> Extend<(String, V)> for OrderedMap<V> {
    fn extend<I: IntoIterator<Item = (String, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<V> FromIterator<(String, V)> for OrderedMap<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<V, const N: usize> From<[(String, V); N]> for OrderedMap<V> {
    fn from(entries: [(String, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

// === iterators ===

#[derive(Clone)]
enum Either<F, M> {
    Few(F),
    Many(M),
}

/// Keys and values of an [`OrderedMap`].
pub struct Iter<'a, V>(Either<slice::Iter<'a, (String, V)>, many::Iter<'a, String, V>>);

/// The entries of an [`OrderedMap`].
pub struct IntoIter<V>(Either<vec::IntoIter<(String, V)>, many::IntoIter<String, V>>);

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a String, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Either::Few(list) => list.next().map(|(key, value)| (key, value)),
            Either::Many(map) => map.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Either::Few(list) => list.size_hint(),
            Either::Many(map) => map.size_hint(),
        }
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}

impl<V> Iterator for IntoIter<V> {
    type Item = (String, V);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Either::Few(list) => list.next(),
            Either::Many(map) => map.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Either::Few(list) => list.size_hint(),
            Either::Many(map) => map.size_hint(),
        }
    }
}

impl<V> ExactSizeIterator for IntoIter<V> {}

impl<'a, V> IntoIterator for &'a OrderedMap<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = Iter<'a, V>;

    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

impl<V> IntoIterator for OrderedMap<V> {
    type Item = (String, V);
    type IntoIter = IntoIter<V>;

    fn into_iter(self) -> IntoIter<V> {
        IntoIter(match self.0 {
            Few(list) => Either::Few(list.into_iter()),
            Many(map) => Either::Many(map.into_iter()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done to a map, and what it says to that, written out.
    fn told(count: usize, mut map: OrderedMap<usize>) -> Vec<String> {
        let mut told = Vec::new();
        for number in 0..count {
            told.push(format!("{:?}", map.insert(format!("k{number}"), number)));
        }
        told.push(format!("{:?}", map.insert("k1".to_owned(), 100)));
        told.push(format!("{:?}", map.insert("new".to_owned(), 7)));
        told.push(format!("{map:?}"));
        told.push(format!("{:?} {:?}", map.get("k1"), map.get("none")));
        told.push(format!("{:?}", map.shift_remove("k0")));
        told.push(format!("{:?}", map.shift_remove("k0")));
        told.push(format!("{:?}", map.shift_remove_index(1)));
        told.push(format!("{:?}", map.shift_remove_index(count)));
        map.iter_mut().for_each(|(_, value)| *value += 1);
        if let Some(value) = map.get_mut("new") {
            *value *= 2;
        }
        told.push(format!("{:?} {:?}", map.keys().len(), map.values().max()));
        told.push(format!("{:?}", map.clone().into_iter().collect::<Vec<_>>()));
        map.clear();
        told.push(format!("{:?} {}", map, map.is_empty()));
        told
    }

    #[test]
    fn a_list_and_a_hash_map_do_the_same() {
        for count in [3, FEW - 1, FEW, FEW + 1, 40] {
            let few = told(count, OrderedMap::new());
            let many = told(count, OrderedMap(Many(Box::default())));
            assert_eq!(few, many, "{count} entries");
        }
    }

    #[test]
    fn maps_are_equal_in_any_order_and_form() {
        let numbers =
            |range: std::ops::Range<usize>| range.map(|number| (number.to_string(), number));
        let few: OrderedMap<usize> = numbers(0..5).collect();
        let turned: OrderedMap<usize> = numbers(0..5).rev().collect();
        let mut many: OrderedMap<usize> = numbers(0..FEW + 1).collect();
        assert!(matches!(many.0, Many(_)));
        assert_ne!(few, many);
        for number in 5..FEW + 1 {
            assert_eq!(many.shift_remove(&number.to_string()), Some(number));
        }
        assert_eq!(few, turned);
        assert_eq!(few, many);
        many["0"] = 9;
        assert_ne!(few, many);
        assert_eq!(many["0"], 9);
        assert_ne!(few, numbers(1..6).collect());
    }

    #[test]
    fn it_moves_as_three_words() {
        assert_eq!(size_of::<OrderedMap<String>>(), 3 * size_of::<usize>());
    }
}
