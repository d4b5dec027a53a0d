//! Hands the tree to the types, and puts a place and a path to what they refuse.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::de::{Error as _, IntoDeserializer, Unexpected};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::tree::{Entry, Node, Segment, Value};

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Unsigned(value) => Unexpected::Unsigned(*value),
            Value::Signed(value) => Unexpected::Signed(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), current: None }),
        }
        .map_err(|fault| fault.at(self.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if matches!(self.value, Value::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// `clean:` without a value is `clean: {}`.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor
                .visit_map(Entries { entries: [].iter(), current: None })
                .map_err(|fault| fault.at(self.at)),
            // A derived struct would take a list for its fields in order, which no one means.
            Value::List(_) => Err(Fault::invalid_type(Unexpected::Seq, &visitor).at(self.at)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let result = match &self.value {
            Value::Text(name) => visitor.visit_enum(Variant { name, entry: None }),
            Value::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant { name: &entry.key, entry: Some(entry) }),
                [] => Err(Fault::expected("one key", "none").help(super::fault::choices(names))),
                [first, second, ..] => {
                    let found = format!("`{}` and `{}`", first.key, second.key);
                    let help = format!(
                        "put `- ` before `{}`, or indent it if it belongs to `{}`",
                        second.key, first.key
                    );
                    Err(Fault::expected("one key", &found).help(help).at(second.key_at))
                }
            },
            _ => {
                let found = self.unexpected();
                Err(Fault::invalid_type(found, &"a name").help(super::fault::choices(names)))
            }
        };
        result.map_err(|fault| fault.at(self.at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, (usize, Node)>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|fault| fault.within(Segment::Index(*index), node.at))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.current = Some(entry);
        let key: StrDeserializer<'de, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|fault| fault.within(Segment::Key(entry.key.clone()), entry.key_at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry =
            self.current.take().ok_or_else(|| Fault::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.node)
            .map_err(|fault| fault.within(Segment::Key(entry.key.clone()), entry.node.at))
    }
}

/// A variant's name, with the entry it comes from where it has a value.
struct Variant<'de> {
    name: &'de str,
    entry: Option<&'de Entry>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StrDeserializer<'de, Fault> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|fault| match self.entry {
            Some(entry) => fault.within(Segment::Key(entry.key.clone()), entry.key_at),
            None => fault,
        })?;
        Ok((variant, self))
    }
}

/// Stands for the options of a stage that is written by its name alone: `- pii`.
static NO_OPTIONS: Node = Node { at: super::tree::Position { line: 0, column: 0 }, value: Value::Null };

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.entry {
            Some(Entry { node: Node { value: Value::Null, .. }, .. }) | None => Ok(()),
            Some(entry) => {
                Err(Fault::expected(&format!("`{}` alone", self.name), "a value").at(entry.node.at))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.entry {
            Some(entry) => seed
                .deserialize(&entry.node)
                .map_err(|fault| fault.within(Segment::Key(entry.key.clone()), entry.key_at)),
            None => seed.deserialize(&NO_OPTIONS).map_err(|mut fault| {
                fault.at = None;
                fault
            }),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        let node = self.entry.map_or(&NO_OPTIONS, |entry| &entry.node);
        node.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let segment = Segment::Key(self.name.to_owned());
        let node = self.entry.map_or(&NO_OPTIONS, |entry| &entry.node);
        node.deserialize_struct("", names, visitor).map_err(|fault| fault.within(segment, node.at))
    }
}
