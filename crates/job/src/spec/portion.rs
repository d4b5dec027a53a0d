//! A part of a whole, as a fraction or as a count.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a whole: a fraction when written with a point (`0.05`), a count when written without (`100`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Portion {
    /// So much of the whole, 0 to 1.
    Fraction(f64),
    /// So many.
    Count(u64),
}

impl Portion {
    /// How many of `whole` this is; fractions round down.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Fraction(fraction) => (whole as f64 * fraction) as u64,
            Self::Count(count) => count,
        }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

impl Serialize for Portion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fraction(fraction) => serializer.serialize_f64(*fraction),
            Self::Count(count) => serializer.serialize_u64(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Portion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fraction from 0.0 to 1.0, or a count without a point")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Portion, E> {
                Ok(Portion::Count(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Portion, E> {
                u64::try_from(value)
                    .map(Portion::Count)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Portion, E> {
                if (0.0..=1.0).contains(&value) {
                    Ok(Portion::Fraction(value))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Portion {
    fn schema_name() -> Cow<'static, str> {
        "Portion".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A fraction when written with a point (`0.05`), a count when written without (`100`).",
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "number", "minimum": 0, "maximum": 1}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_tells_a_fraction_from_a_count() {
        for (json, portion) in
            [("1", Portion::Count(1)), ("1.0", Portion::Fraction(1.0)), ("0.25", Portion::Fraction(0.25))]
        {
            let read: Portion = serde_json::from_str(json).expect(json);
            assert_eq!(read, portion);
            assert_eq!(serde_json::to_string(&read).expect("plain data"), json);
        }
        assert!(serde_json::from_str::<Portion>("1.5").is_err());
        assert!(serde_json::from_str::<Portion>("-1").is_err());
        assert_eq!(Portion::Fraction(0.5).of(7), 3);
        assert_eq!(Portion::Count(9).of(7), 9);
    }
}
