//! The categories of data and the scopes within them, and who was granted which.
//!
//! Every category and every scope of a category has a [`ScopeId`], a small number that rules and grants are compiled to,
//! so that judging a request is an array access. A grant of a category covers its scopes; a grant of a scope covers
//! nothing else. The seven built-in categories are always there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::access::Access;

/// The built-in categories with their titles, in the order people list them.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("appointment", "Appointments"),
    ("clinical", "Clinical notes"),
    ("contact", "Contacts"),
    ("files", "Files"),
    ("financial", "Financial"),
    ("patient", "Patients"),
    ("system", "System"),
];

/// The number of a category or a scope in one [`Catalogue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(u16);

impl ScopeId {
    /// Its place in [`Catalogue::names`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What one request must be allowed to do on one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Need {
    pub scope: ScopeId,
    pub access: Access,
}

/// One category or scope.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `patient`, or `billing.invoices` for a scope.
    name: Arc<str>,
    title: Arc<str>,
    /// For a scope, its category.
    category: Option<ScopeId>,
}

/// All categories and scopes of one configuration.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_name: HashMap<Arc<str>, ScopeId>,
}

impl Default for Catalogue {
    fn default() -> Self {
        let mut catalogue = Self { entries: Vec::new(), by_name: HashMap::new() };
        for (name, title) in BUILT_IN {
            catalogue.insert(name, title, None);
        }
        catalogue
    }
}

impl Catalogue {
    /// Adds a category, or finds the one of that name.
    pub fn add_category(&mut self, name: &str, title: &str) -> ScopeId {
        self.id(name).unwrap_or_else(|| self.insert(name, title, None))
    }

    /// Adds a scope to a category, or finds the one of that name. `name` is the part after the dot.
    pub fn add_scope(&mut self, category: ScopeId, name: &str, title: &str) -> ScopeId {
        let full = format!("{}.{name}", self.name(category));
        self.id(&full).unwrap_or_else(|| self.insert(&full, title, Some(category)))
    }

    fn insert(&mut self, name: &str, title: &str, category: Option<ScopeId>) -> ScopeId {
        // A catalogue is written by hand: `Config` refuses one of more than `MAX_SCOPES` names.
        let id = ScopeId(u16::try_from(self.entries.len()).unwrap_or(u16::MAX));
        let name: Arc<str> = name.into();
        self.entries.push(Entry { name: Arc::clone(&name), title: title.into(), category });
        self.by_name.insert(name, id);
        id
    }

    /// The most categories and scopes a configuration may define.
    pub const MAX_SCOPES: usize = 10_000;

    /// Finds a category (`patient`) or a scope (`billing.invoices`).
    pub fn id(&self, name: &str) -> Option<ScopeId> {
        self.by_name.get(name).copied()
    }

    pub fn name(&self, id: ScopeId) -> &str {
        self.entries.get(usize::from(id.0)).map_or("", |entry| &entry.name)
    }

    pub fn title(&self, id: ScopeId) -> &str {
        self.entries.get(usize::from(id.0)).map_or("", |entry| &entry.title)
    }

    /// Every name, categories before the scopes that were added to them, in the order they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Compiles permissions by name; an unknown name is given back as the error.
    pub fn grants<'a>(
        &self,
        permissions: impl IntoIterator<Item = (&'a str, Access)>,
    ) -> Result<Grants, &'a str> {
        let mut bits = vec![Access::NONE; self.entries.len()];
        for (name, access) in permissions {
            let granted = self.id(name).ok_or(name)?;
            for (index, entry) in self.entries.iter().enumerate() {
                if index == usize::from(granted.0) || entry.category == Some(granted) {
                    bits[index] = bits[index].union(access);
                }
            }
        }
        Ok(Grants(bits.into()))
    }
}

/// What one key may do, by scope; compiled for one [`Catalogue`]. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Arc<[Access]>);

impl Grants {
    /// What is granted on one scope; nothing for a scope of another catalogue.
    pub fn on(&self, scope: ScopeId) -> Access {
        self.0.get(usize::from(scope.0)).copied().unwrap_or(Access::NONE)
    }

    /// Whether one need is met.
    pub fn meets(&self, need: Need) -> bool {
        self.on(need.scope).covers(need.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn billing() -> (Catalogue, ScopeId, ScopeId) {
        let mut catalogue = Catalogue::default();
        let category = catalogue.add_category("billing", "Billing");
        let invoices = catalogue.add_scope(category, "invoices", "Invoices");
        catalogue.add_scope(category, "claims", "Claims");
        (catalogue, category, invoices)
    }

    #[test]
    fn a_grant_of_a_category_covers_its_scopes() {
        let (catalogue, category, invoices) = billing();
        let grants = catalogue.grants([("billing", Access::READ)]).unwrap();
        assert_eq!(grants.on(invoices), Access::READ);
        assert_eq!(grants.on(category), Access::READ);
        assert_eq!(grants.on(catalogue.id("patient").unwrap()), Access::NONE);
    }

    #[test]
    fn a_grant_of_a_scope_covers_that_scope_alone() {
        let (catalogue, category, invoices) = billing();
        let grants = catalogue.grants([("billing.invoices", Access::READ_WRITE)]).unwrap();
        assert_eq!(grants.on(invoices), Access::READ_WRITE);
        assert_eq!(grants.on(category), Access::NONE);
        assert_eq!(grants.on(catalogue.id("billing.claims").unwrap()), Access::NONE);
    }

    #[test]
    fn grants_of_a_category_and_its_scope_add_up() {
        let (catalogue, _, invoices) = billing();
        let permissions = [("billing", Access::READ), ("billing.invoices", Access::WRITE_ONLY)];
        assert_eq!(catalogue.grants(permissions).unwrap().on(invoices), Access::READ_WRITE);
    }

    #[test]
    fn an_unknown_name_is_given_back() {
        assert_eq!(Catalogue::default().grants([("patients", Access::READ)]), Err("patients"));
    }
}
