//! The job file as a tree whose every node knows where it stands.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A place in the job file; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

/// One step of a key path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A key of a mapping.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// Writes a key path as people read it: `pipeline[3].filter.rules`.
pub(super) fn render_path(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) if text.is_empty() => text.push_str(key),
            Segment::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Segment::Index(index) => write!(text, "[{index}]").expect("a string takes all that is written"),
        }
    }
    text
}

/// Reads a key path below a stage, as stages name their own keys: `thresholds.gopher_short_doc`, `paths[1]`.
pub(super) fn parse_path(text: &str) -> Vec<Segment> {
    let mut path = Vec::new();
    for piece in text.split('.').filter(|piece| !piece.is_empty()) {
        let (key, indices) = piece.split_once('[').unwrap_or((piece, ""));
        path.push(Segment::Key(key.to_owned()));
        let indices = indices.split('[').filter_map(|index| index.trim_end_matches(']').parse().ok());
        path.extend(indices.map(Segment::Index));
    }
    path
}

/// A node and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// Items keep the index they have in the file, also when others are taken out.
    List(Vec<(usize, Node)>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Position,
    pub(super) node: Node,
}

impl Node {
    fn child(&self, segment: &Segment) -> Option<&Self> {
        match (&self.value, segment) {
            (Value::Map(entries), Segment::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.node)
            }
            (Value::List(items), Segment::Index(index)) => {
                items.iter().find(|(at, _)| at == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    fn child_mut(&mut self, segment: &Segment) -> Option<&mut Self> {
        match (&mut self.value, segment) {
            (Value::Map(entries), Segment::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            (Value::List(items), Segment::Index(index)) => {
                items.iter_mut().find(|(at, _)| at == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Where `path` stands, or the nearest thing around it that the file has.
    pub(super) fn locate(&self, path: &[Segment]) -> Position {
        let mut node = self;
        let mut at = self.at;
        for segment in path {
            if let (Value::Map(entries), Segment::Key(key)) = (&node.value, segment)
                && let Some(entry) = entries.iter().find(|entry| entry.key == *key)
            {
                at = entry.key_at;
            }
            match node.child(segment) {
                Some(child) => node = child,
                None => return at,
            }
            let is_leaf = !matches!(node.value, Value::Map(_) | Value::List(_));
            if is_leaf || matches!(segment, Segment::Index(_)) {
                at = node.at;
            }
        }
        at
    }

    /// Shows every node with its path to `visit`, from the outside in; it may take entries out before they are walked.
    fn walk(&mut self, path: &mut Vec<Segment>, visit: &mut dyn FnMut(&mut Self, &[Segment])) {
        visit(self, path);
        let mut into = |segment, node: &mut Self| {
            path.push(segment);
            node.walk(path, visit);
            path.pop();
        };
        match &mut self.value {
            Value::Map(entries) => {
                for entry in entries {
                    into(Segment::Key(entry.key.clone()), &mut entry.node);
                }
            }
            Value::List(items) => {
                for (index, node) in items {
                    into(Segment::Index(*index), node);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Unsigned(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::Text(_) => {}
        }
    }

    /// Takes every later entry of a key that stands twice in one mapping out: its path, its place, and the first one's.
    pub(super) fn take_repeated(&mut self) -> Vec<(Vec<Segment>, Position, Position)> {
        let mut repeated = Vec::new();
        self.walk(&mut Vec::new(), &mut |node, path| {
            let Value::Map(entries) = &mut node.value else { return };
            let mut first: BTreeMap<String, Position> = BTreeMap::new();
            entries.retain(|entry| {
                let Some(before) = first.get(&entry.key) else {
                    first.insert(entry.key.clone(), entry.key_at);
                    return true;
                };
                let path = path.iter().cloned().chain([Segment::Key(entry.key.clone())]).collect();
                repeated.push((path, entry.key_at, *before));
                false
            });
        });
        repeated
    }

    /// The paths and places of all numbers that are none (`.nan`) or have no end.
    pub(super) fn not_finite(&mut self) -> Vec<(Vec<Segment>, Position)> {
        let mut found = Vec::new();
        self.walk(&mut Vec::new(), &mut |node, path| {
            if matches!(node.value, Value::Float(number) if !number.is_finite()) {
                found.push((path.to_vec(), node.at));
            }
        });
        found
    }

    /// Takes the node at `path` out; a list item left without a key goes with it. Says whether anything went.
    pub(super) fn remove(&mut self, path: &[Segment]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let mut parent = &mut *self;
        for segment in parents {
            match parent.child_mut(segment) {
                Some(child) => parent = child,
                None => return false,
            }
        }
        let gone = match (&mut parent.value, last) {
            (Value::Map(entries), Segment::Key(key)) => {
                let before = entries.len();
                entries.retain(|entry| entry.key != *key);
                before != entries.len()
            }
            (Value::List(items), Segment::Index(index)) => {
                let before = items.len();
                items.retain(|(at, _)| at != index);
                before != items.len()
            }
            _ => false,
        };
        let emptied = matches!(&parent.value, Value::Map(entries) if entries.is_empty());
        if gone && emptied && matches!(parents.last(), Some(Segment::Index(_))) {
            self.remove(parents);
        }
        gone
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { at: spanned.referenced.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Unsigned(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(node) = items.next_element::<Node>()? {
                    list.push((list.len(), node));
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut map = Vec::new();
                while let Some(key) = entries.next_key::<Spanned<String>>()? {
                    let node = entries.next_value()?;
                    map.push(Entry { key: key.value, key_at: key.referenced.into(), node });
                }
                Ok(Value::Map(map))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
