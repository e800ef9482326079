//! The members of a document by name, with errors that tell where a value stands.

use crate::base::text::json::Value;
use crate::limits::MERGE_COUNT_MAX;

/// Larger numbers are refused, so that sums stay finite.
const FLOAT_MAX: f64 = 1e300;

/// An object in a document.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub(super) value: &'a Value,
    /// The names from the root to here, such as `servers[0].runs[0]`; empty at the root.
    path: String,
}

impl<'a> Member<'a> {
    pub(super) fn root(value: &'a Value) -> Member<'a> {
        Member {
            value,
            path: String::new(),
        }
    }

    /// The path of the member `name`.
    #[inline(never)]
    pub(super) fn at(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// The member `name`, if it is there and is not `null`.
    #[inline(never)]
    pub(super) fn member(&self, name: &str) -> Option<&'a Value> {
        self.value.get(name).filter(|value| **value != Value::Null)
    }

    /// The member `name`, which may be `null`.
    #[inline(never)]
    pub(super) fn needed(&self, name: &str) -> Result<&'a Value, String> {
        let missing = || format!("{}: is missing", self.at(name));
        self.value.get(name).ok_or_else(missing)
    }

    fn read<T>(
        &self,
        name: &str,
        right: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, String> {
        let wrong = || format!("{}: must be {right}", self.at(name));
        read(self.needed(name)?).ok_or_else(wrong)
    }

    #[inline(never)]
    pub(super) fn object(&self, name: &str) -> Result<Member<'a>, String> {
        let value = self.read(name, "an object", |value| value.members().map(|_| value))?;
        let path = self.at(name);
        Ok(Member { value, path })
    }

    /// The objects of a list.
    #[inline(never)]
    pub(super) fn list(&self, name: &str) -> Result<Vec<Member<'a>>, String> {
        let items = self.read(name, "a list", Value::as_list)?;
        let items = items.iter().enumerate().map(|(index, value)| Member {
            value,
            path: format!("{}[{index}]", self.at(name)),
        });
        Ok(items.collect())
    }

    #[inline(never)]
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        self.read(name, "a text", Value::as_text).map(str::to_owned)
    }

    #[inline(never)]
    pub(super) fn truth(&self, name: &str) -> Result<bool, String> {
        self.read(name, "true or false", Value::as_bool)
    }

    #[inline(never)]
    pub(super) fn count(&self, name: &str) -> Result<u64, String> {
        let right = format!("a whole number up to {MERGE_COUNT_MAX}");
        self.read(name, &right, count)
    }

    /// A span in nanoseconds. Unlike a count, it is never added up as 64 bits.
    pub(super) fn nanoseconds(&self, name: &str) -> Result<u64, String> {
        self.read(name, "a whole number of 64 bits", Value::as_count)
    }

    pub(super) fn sum(&self, name: &str) -> Result<u128, String> {
        self.read(name, "a whole number", Value::as_sum)
    }

    /// A number that is not negative.
    #[inline(never)]
    pub(super) fn float(&self, name: &str) -> Result<f64, String> {
        self.read(name, "a number from 0", float)
    }

    #[inline(never)]
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, String> {
        self.read(name, "a list of numbers from 0", |value| {
            value.as_list()?.iter().map(float).collect()
        })
    }

    /// Pairs of a span and a count.
    pub(super) fn pairs(&self, name: &str) -> Result<Vec<(u64, u64)>, String> {
        self.read(name, "a list of pairs of whole numbers", |value| {
            let pairs = value.as_list()?.iter();
            pairs
                .map(|pair| match pair.as_list()? {
                    [span, many] => Some((span.as_count()?, count(many)?)),
                    _ => None,
                })
                .collect()
        })
    }

    /// A figure that may be unknown.
    #[inline(never)]
    pub(super) fn known<T>(
        &self,
        name: &str,
        read: fn(&Self, &str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match self.member(name) {
            None => Ok(None),
            Some(_) => read(self, name).map(Some),
        }
    }
}

fn count(value: &Value) -> Option<u64> {
    value.as_count().filter(|count| *count <= MERGE_COUNT_MAX)
}

fn float(value: &Value) -> Option<f64> {
    value
        .as_float()
        .filter(|number| (0.0..=FLOAT_MAX).contains(number))
}
