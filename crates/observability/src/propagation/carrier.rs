use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// Where headers are read from: an HTTP request, a message, a job's meta data.
///
/// Names are compared without regard to case, as HTTP and most brokers' clients do.
pub trait Extract {
    /// Calls `visit` with every value under this name, in their order.
    fn values(&self, name: &str, visit: &mut dyn FnMut(&[u8]));
}

/// Where headers are written to.
pub trait Inject {
    /// Sets the only value under this name.
    fn set(&mut self, name: &'static str, value: &str);

    /// Removes every value under this name.
    fn remove(&mut self, name: &str);
}

/// The pairs' values whose name is this one.
fn matching<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>, name: &str, visit: &mut dyn FnMut(&[u8])) {
    for (_, value) in pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)) {
        visit(value.as_bytes());
    }
}

impl<S: BuildHasher> Extract for HashMap<String, String, S> {
    fn values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        matching(self.iter(), name, visit);
    }
}

impl<S: BuildHasher> Inject for HashMap<String, String, S> {
    fn set(&mut self, name: &'static str, value: &str) {
        Inject::remove(self, name);
        self.insert(name.to_owned(), value.to_owned());
    }

    fn remove(&mut self, name: &str) {
        self.retain(|known, _| !known.eq_ignore_ascii_case(name));
    }
}

impl Extract for BTreeMap<String, String> {
    fn values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        matching(self.iter(), name, visit);
    }
}

impl Inject for BTreeMap<String, String> {
    fn set(&mut self, name: &'static str, value: &str) {
        Inject::remove(self, name);
        self.insert(name.to_owned(), value.to_owned());
    }

    fn remove(&mut self, name: &str) {
        self.retain(|known, _| !known.eq_ignore_ascii_case(name));
    }
}

impl Extract for [(String, String)] {
    fn values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        matching(self.iter().map(|(name, value)| (name, value)), name, visit);
    }
}

impl Extract for Vec<(String, String)> {
    fn values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        self.as_slice().values(name, visit);
    }
}

impl Inject for Vec<(String, String)> {
    fn set(&mut self, name: &'static str, value: &str) {
        Inject::remove(self, name);
        self.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl Extract for http::HeaderMap {
    fn values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for value in self.get_all(name) {
            visit(value.as_bytes());
        }
    }
}

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
impl Inject for http::HeaderMap {
    fn set(&mut self, name: &'static str, value: &str) {
        // A value that no header can hold, which none of ours is, leaves the header away rather than stale.
        match http::HeaderValue::from_str(value) {
            Ok(value) => drop(self.insert(name, value)),
            Err(_) => drop(Self::remove(self, name)),
        }
    }

    fn remove(&mut self, name: &str) {
        drop(Self::remove(self, name));
    }
}
