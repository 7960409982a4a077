//! Where the lines of a head go: to the wire as they are, or into a map for hyper to write.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) trait Lines {
    /// One that somebody else said.
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue);
    /// Whoever writes the value writes nothing that could end a line. None where it could not stand in a header all the same.
    fn say(&mut self, name: HeaderName, value: impl FnOnce(&mut BytesMut)) -> Option<()>;
}

pub(super) struct OnWire<'a>(pub(super) &'a mut BytesMut);

pub(super) struct InMap<'a> {
    pub(super) headers: &'a mut HeaderMap,
    /// Values are written one behind the other: one block serves many requests.
    pub(super) said: &'a mut BytesMut,
}

impl Lines for OnWire<'_> {
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.reserve(name.as_str().len() + value.len() + 4);
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    fn say(&mut self, name: HeaderName, value: impl FnOnce(&mut BytesMut)) -> Option<()> {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        value(self.0);
        self.0.extend_from_slice(b"\r\n");
        Some(())
    }
}

impl Lines for InMap<'_> {
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.headers.append(name, value.clone());
    }

    fn say(&mut self, name: HeaderName, value: impl FnOnce(&mut BytesMut)) -> Option<()> {
        self.said.clear();
        value(self.said);
        let value = HeaderValue::from_maybe_shared(self.said.split().freeze()).ok()?;
        self.headers.insert(name, value);
        Some(())
    }
}
