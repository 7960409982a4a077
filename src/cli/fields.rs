//! Flags to the fields of a JSON object: what is given is set, what `--clear` names is emptied, nothing else is sent.

use serde_json::{Map, Value};

/// An object for a create or an edit.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Where it was given.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Where there is at least one.
    #[must_use]
    pub(super) fn with_all(self, name: &str, values: &[String]) -> Self {
        let some = !values.is_empty();
        self.with(name, some.then(|| values.to_vec()))
    }

    /// A switch with two flags.
    #[must_use]
    pub(super) fn with_switch(self, name: &str, on: bool, off: bool) -> Self {
        self.with(name, (on || off).then_some(on))
    }

    /// `patient=read` each.
    #[must_use]
    pub(super) fn with_permissions(self, granted: &[(String, String)]) -> Self {
        let map: Map<String, Value> =
            granted.iter().map(|(name, access)| (name.clone(), access.as_str().into())).collect();
        self.with("permissions", (!map.is_empty()).then_some(map))
    }

    #[must_use]
    pub(super) fn with_limits(self, rate: Option<&str>, burst: Option<u32>) -> Self {
        let limits = Self::new().with("rate", rate).with("burst", burst);
        self.with("limits", (!limits.0.is_empty()).then_some(limits.0))
    }

    /// `expires-at` and kin, emptied.
    #[must_use]
    pub(super) fn cleared(mut self, names: &[String]) -> Self {
        for name in names {
            let field = name.replace('-', "_");
            let empty = if field == "allowed_ips" { Value::Array(Vec::new()) } else { Value::Null };
            self.0.insert(field, empty);
        }
        self
    }

    /// The object, if there is anything in it.
    pub(super) fn some(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }

    pub(super) fn object(self) -> Value {
        Value::Object(self.0)
    }
}

/// `patient=read`.
pub(super) fn permission(text: &str) -> Result<(String, String), String> {
    const ACCESS: [&str; 4] = ["none", "read", "write", "write-only"];
    let (name, access) = text.split_once('=').ok_or("must be of the form patient=read")?;
    if !ACCESS.contains(&access) {
        return Err(format!("`{access}` is none of {}", ACCESS.join(", ")));
    }
    Ok((name.to_owned(), access.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_given_is_sent() {
        let fields = Fields::new()
            .with("name", Some("a"))
            .with("vendor", None::<String>)
            .with_all("allowed_ips", &[])
            .with_switch("enabled", false, true)
            .with_permissions(&[("patient".into(), "read".into())])
            .with_limits(Some("5/s"), None)
            .cleared(&["expires-at".into(), "allowed-ips".into()]);
        assert_eq!(
            fields.object(),
            json!({ "name": "a", "enabled": false, "permissions": { "patient": "read" },
                    "limits": { "rate": "5/s" }, "expires_at": null, "allowed_ips": [] })
        );
        assert!(Fields::new().with_switch("enabled", false, false).some().is_none());
    }

    #[test]
    fn a_permission_is_a_name_and_an_access() {
        assert_eq!(permission("a.b=write-only"), Ok(("a.b".into(), "write-only".into())));
        assert!(permission("a").is_err() && permission("a=all").is_err());
    }
}
