//! The checked tree: what a file says in the honoured keys, each value of its type.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// A value that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    /// True or false.
    Bool(bool),
    /// A count or a size.
    Integer(u64),
    /// Text, with the environment's parts in place.
    Text(String),
    /// A duration.
    Duration(Duration),
    /// A list, each item at its written place.
    List(Vec<Checked>),
    /// A section, its keys as the table spells them, or names as the file spells them.
    Section(Vec<(String, Checked)>),
    /// Something that is a fault; it reads as if it were not there.
    Faulty,
}

/// A place in the checked tree, where there may be nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'tree>(Option<&'tree Checked>);

/// A type that a checked value may be read as.
pub(super) trait FromChecked: Sized {
    /// Returns the value, or none if `checked` is of another type.
    fn from_checked(checked: &Checked) -> Option<Self>;
}

impl<'tree> View<'tree> {
    /// Returns the view of a whole tree.
    pub(super) fn new(root: &'tree Checked) -> Self {
        Self(Some(root))
    }

    /// Returns the place of the key `name` of this section.
    pub(super) fn at(self, name: &str) -> Self {
        Self(self.entries().find(|(key, _)| *key == name).and_then(|(_, view)| view.0))
    }

    /// Returns whether the file says something here.
    pub(super) fn is_written(self) -> bool {
        self.0.is_some()
    }

    /// Returns the value here.
    pub(super) fn get<T: FromChecked>(self) -> Option<T> {
        self.0.and_then(T::from_checked)
    }

    /// Sets `slot` to the value of the key `name`, and leaves it where there is none.
    pub(super) fn read<T: FromChecked>(self, name: &str, slot: &mut T) {
        if let Some(value) = self.at(name).get() {
            *slot = value;
        }
    }

    /// Iterates over the items of this list.
    pub(super) fn items(self) -> impl Iterator<Item = View<'tree>> {
        let items = match self.0 {
            Some(Checked::List(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(|item| Self(Some(item)))
    }

    /// Iterates over the keys of this section and their places.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'tree str, View<'tree>)> {
        let entries = match self.0 {
            Some(Checked::Section(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, value)| (key.as_str(), Self(Some(value))))
    }

    /// Returns the values of this list.
    pub(super) fn list<T: FromChecked>(self) -> Vec<T> {
        self.items().filter_map(View::get).collect()
    }
}

impl FromChecked for bool {
    fn from_checked(checked: &Checked) -> Option<Self> {
        if let Checked::Bool(value) = checked { Some(*value) } else { None }
    }
}

impl FromChecked for u64 {
    fn from_checked(checked: &Checked) -> Option<Self> {
        if let Checked::Integer(value) = checked { Some(*value) } else { None }
    }
}

impl FromChecked for usize {
    fn from_checked(checked: &Checked) -> Option<Self> {
        u64::from_checked(checked).and_then(|value| value.try_into().ok())
    }
}

impl FromChecked for NonZeroU32 {
    fn from_checked(checked: &Checked) -> Option<Self> {
        u64::from_checked(checked).and_then(|value| u32::try_from(value).ok()).and_then(Self::new)
    }
}

impl FromChecked for u32 {
    fn from_checked(checked: &Checked) -> Option<Self> {
        u64::from_checked(checked).and_then(|value| value.try_into().ok())
    }
}

impl FromChecked for u16 {
    fn from_checked(checked: &Checked) -> Option<Self> {
        u64::from_checked(checked).and_then(|value| value.try_into().ok())
    }
}

impl FromChecked for String {
    fn from_checked(checked: &Checked) -> Option<Self> {
        if let Checked::Text(value) = checked { Some(value.clone()) } else { None }
    }
}

impl FromChecked for PathBuf {
    fn from_checked(checked: &Checked) -> Option<Self> {
        String::from_checked(checked).map(Self::from)
    }
}

impl FromChecked for Duration {
    fn from_checked(checked: &Checked) -> Option<Self> {
        if let Checked::Duration(value) = checked { Some(*value) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::{Checked, View};

    #[test]
    fn reads_what_is_there_and_leaves_the_rest() {
        let tree = Checked::Section(vec![
            ("port".to_owned(), Checked::Integer(70_000)),
            ("names".to_owned(), Checked::List(vec![Checked::Text("a".to_owned()), Checked::Faulty])),
        ]);
        let view = View::new(&tree);
        let (mut wide, mut narrow, mut other) = (1_u64, 2_u16, true);
        view.read("port", &mut wide);
        view.read("port", &mut narrow);
        view.read("port", &mut other);
        assert_eq!((wide, narrow, other), (70_000, 2, true));
        assert_eq!(view.at("names").list::<String>(), ["a"]);
        assert_eq!(view.at("names").items().count(), 2);
        assert!(view.at("names").is_written());
        assert!(!view.at("names").at("port").is_written());
    }
}
