//! The methods a rule can speak of, and sets of them.

use std::fmt;

use crate::model::access::Access;

/// A method that can be forwarded. OPTIONS is answered by the gateway itself and so is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Self; 6] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Case-sensitive, as RFC 9110 has it: `get` is no method.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The access that the method needs where a rule does not say otherwise.
    pub fn usual_access(self) -> Access {
        match self {
            Self::Get | Self::Head => Access::READ,
            Self::Post | Self::Put | Self::Patch | Self::Delete => Access::WRITE_ONLY,
        }
    }

    /// Whether doing it twice is doing it once (RFC 9110, 9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }

    /// The position in [`Method::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MethodSet(u8);

impl MethodSet {
    pub const EMPTY: Self = Self(0);
    pub const ALL: Self = Self(0b11_1111);

    #[must_use]
    pub fn with(self, method: Method) -> Self {
        Self(self.0 | 1 << method.index())
    }

    pub fn contains(self, method: Method) -> bool {
        self.0 & 1 << method.index() != 0
    }

    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.contains(*method))
    }
}

impl FromIterator<Method> for MethodSet {
    fn from_iter<T: IntoIterator<Item = Method>>(methods: T) -> Self {
        methods.into_iter().fold(Self::EMPTY, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse("GET"), Some(Method::Get));
        for other in ["get", "Get", "GETT", "OPTIONS", "CONNECT", ""] {
            assert_eq!(Method::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: MethodSet = [Method::Get, Method::Delete].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Method::Get, Method::Delete]);
        assert!(!set.contains(Method::Post) && MethodSet::ALL.contains(Method::Post));
    }
}
