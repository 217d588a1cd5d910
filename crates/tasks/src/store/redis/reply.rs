//! Takes replies of the server apart.

use std::collections::HashMap;
use std::str::FromStr;

use redis::Value;

use crate::store::redis::failure::BadReply;

pub(super) fn list(value: Value) -> Result<Vec<Value>, BadReply> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(BadReply("no list")),
    }
}

/// The bytes of a text, none for nothing.
pub(super) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        Value::Int(number) => number.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

pub(super) fn text(value: Value) -> String {
    lossy(bytes(value))
}

pub(super) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

pub(super) fn parse<T: FromStr>(value: Value) -> Option<T> {
    text(value).parse().ok()
}

/// A list's values one after the other.
pub(super) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn new(value: Value) -> Result<Self, BadReply> {
        Ok(Self(list(value)?.into_iter()))
    }

    pub(super) fn value(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Nil)
    }

    pub(super) fn text(&mut self) -> String {
        text(self.value())
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        bytes(self.value())
    }

    pub(super) fn parse<T: FromStr>(&mut self) -> Option<T> {
        parse(self.value())
    }

    pub(super) fn rest(self) -> impl Iterator<Item = Value> {
        self.0
    }
}

/// The fields of a hash.
#[derive(Debug, Default)]
pub(super) struct Hash(HashMap<Vec<u8>, Vec<u8>>);

impl Hash {
    pub(super) fn new(value: Value) -> Result<Self, BadReply> {
        if let Value::Map(pairs) = value {
            return Ok(Self(pairs.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect()));
        }
        let mut values = list(value)?.into_iter();
        let mut fields = HashMap::new();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            fields.insert(bytes(name), bytes(value));
        }
        Ok(Self(fields))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.0.remove(name.as_bytes())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name).map(lossy)
    }

    pub(super) fn parse<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }
}
