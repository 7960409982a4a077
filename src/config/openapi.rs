//! Reading the operations of an OpenAPI document: 3.0, 3.1 or Swagger 2, as JSON or YAML.
//!
//! Only what a route map is about is read: methods, paths, the types of path parameters, tags and words. Paths come out
//! as a caller sends them, with the base path of the document's server in front. References are followed within the
//! document alone. What was passed over is told in [`Document::notes`], never silently dropped.

use serde_json::{Map, Value};

use crate::model::Method;

/// The operations of one document, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    pub operations: Vec<Operation>,
    /// Sentences about what was passed over, for people.
    pub notes: Vec<String>,
}

/// One method on one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub method: Method,
    /// As the document writes it, behind the base path: `/v1/patients/{id}`.
    pub path: String,
    pub segments: Vec<Part>,
    pub tags: Vec<String>,
    /// The summary, or else the operation's id; may be empty.
    pub summary: String,
}

/// One segment of a documented path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Parameter {
        name: String,
        kind: ParameterKind,
    },
    /// A parameter and other text in one segment, such as `{id}.pdf`.
    Mixed(String),
}

/// What values a path parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    Integer,
    Uuid,
    Other,
}

impl Document {
    /// Reads a document. `mount` stands in for the base path of its servers. Err is a sentence for people.
    pub fn read(text: &str, mount: Option<&str>) -> Result<Self, String> {
        let root = parse(text)?;
        require_known_version(&root)?;
        let mut reader = Reader { root: &root, mount, operations: Vec::new(), notes: Vec::new() };
        reader.read_paths()?;
        let title = text_at(&root, "/info/title").unwrap_or("untitled").to_owned();
        Ok(Self { title, operations: reader.operations, notes: reader.notes })
    }
}

fn parse(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    let root: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("is not readable as JSON: {error}"))?
    } else {
        serde_yaml::from_str(text).map_err(|error| format!("is not readable as YAML: {error}"))?
    };
    if root.is_object() { Ok(root) } else { Err("is not an OpenAPI document".into()) }
}

fn require_known_version(root: &Value) -> Result<(), String> {
    let version = text_at(root, "/openapi").or_else(|| text_at(root, "/swagger"));
    match version {
        Some(known) if ["3.0", "3.1", "2.0"].iter().any(|start| known.starts_with(start)) => Ok(()),
        Some(other) => Err(format!("is of version {other}; 3.0, 3.1 and Swagger 2.0 are read")),
        None => Err("is not an OpenAPI document: it has neither `openapi` nor `swagger`".into()),
    }
}

struct Reader<'d> {
    root: &'d Value,
    mount: Option<&'d str>,
    operations: Vec<Operation>,
    notes: Vec<String>,
}

impl<'d> Reader<'d> {
    fn read_paths(&mut self) -> Result<(), String> {
        let paths = self.root.get("paths").and_then(Value::as_object);
        let paths = paths.ok_or("has no `paths`")?;
        for (path, item) in paths {
            if path.starts_with('/') {
                self.read_item(path, item);
            } else if !path.starts_with("x-") {
                self.notes.push(format!("path `{path}` does not begin with / and was passed over"));
            }
        }
        Ok(())
    }

    fn read_item(&mut self, path: &str, item: &'d Value) {
        let Some(item) = self.resolve(item).and_then(Value::as_object) else {
            self.notes.push(format!("path `{path}` is written elsewhere and was passed over"));
            return;
        };
        for (name, operation) in item {
            if let Some(method) = Method::parse(&name.to_ascii_uppercase()) {
                self.read_operation(path, item, method, operation);
            } else if name == "options" {
                self.notes.push(format!("OPTIONS {path} is answered by the gateway itself"));
            } else if name == "trace" || name == "query" {
                self.notes.push(format!("{} {path} cannot pass a gateway", name.to_uppercase()));
            }
        }
    }

    fn read_operation(
        &mut self,
        path: &str,
        item: &'d Map<String, Value>,
        method: Method,
        operation: &'d Value,
    ) {
        let base = match self.mount {
            Some(mount) => mount.trim_end_matches('/').to_owned(),
            None => self.base_path(item, operation),
        };
        let parameters = [item.get("parameters"), operation.get("parameters")];
        let kinds = self.parameter_kinds(parameters.into_iter().flatten());
        let full = format!("{base}{path}");
        let segments = full.split('/').skip(1).map(|segment| part(segment, &kinds)).collect();
        let tags = operation.get("tags").and_then(Value::as_array).into_iter().flatten();
        let tags = tags.filter_map(Value::as_str).map(str::to_owned).collect();
        let summary = text_at(operation, "/summary").or_else(|| text_at(operation, "/operationId"));
        let summary = summary.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        self.operations.push(Operation { method, path: full, segments, tags, summary });
    }

    /// The path of the first server that applies, without its trailing slash.
    fn base_path(&mut self, item: &'d Map<String, Value>, operation: &'d Value) -> String {
        if let Some(base) = text_at(self.root, "/basePath") {
            return base.trim_end_matches('/').to_owned();
        }
        let servers = [operation.get("servers"), item.get("servers"), self.root.get("servers")];
        let servers = servers.into_iter().flatten().find_map(Value::as_array);
        let bases: Vec<String> = servers.into_iter().flatten().filter_map(server_path).collect();
        if let [first, others @ ..] = bases.as_slice()
            && let Some(other) = others.iter().find(|other| *other != first)
        {
            let (first, other) = (shown(first), shown(other));
            let note = format!(
                "servers have different base paths: {first} was taken, not {other}; \
                 choose another with --mount"
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        bases.into_iter().next().unwrap_or_default()
    }

    /// The kinds of the path parameters; those of the operation come last and so count.
    fn parameter_kinds(
        &self,
        lists: impl Iterator<Item = &'d Value>,
    ) -> Vec<(&'d str, ParameterKind)> {
        let listed = lists.filter_map(Value::as_array).flatten();
        let parameters = listed.filter_map(|parameter| self.resolve(parameter));
        let in_path = parameters.filter(|parameter| text_at(parameter, "/in") == Some("path"));
        in_path
            .filter_map(|parameter| Some((text_at(parameter, "/name")?, self.kind(parameter))))
            .collect()
    }

    fn kind(&self, parameter: &'d Value) -> ParameterKind {
        let schema = parameter.get("schema").and_then(|schema| self.resolve(schema));
        let schema = schema.unwrap_or(parameter);
        let types = schema.get("type");
        let is_integer = match types {
            Some(Value::Array(names)) => names.iter().any(|name| name == "integer"),
            other => other.is_some_and(|name| name == "integer"),
        };
        if is_integer {
            ParameterKind::Integer
        } else if text_at(schema, "/format") == Some("uuid") {
            ParameterKind::Uuid
        } else {
            ParameterKind::Other
        }
    }

    /// The value itself, or what its `$ref` names within the document; None for a reference that leads elsewhere.
    fn resolve(&self, value: &'d Value) -> Option<&'d Value> {
        const MAX_STEPS: usize = 8; // A chain that is longer is a circle.
        let mut value = value;
        for _ in 0..MAX_STEPS {
            let Some(reference) = text_at(value, "/$ref") else { return Some(value) };
            value = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }
}

/// The path of a server's url, its variables set to their defaults.
fn server_path(server: &Value) -> Option<String> {
    let mut url = text_at(server, "/url")?.to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten()
    {
        let default = text_at(variable, "/default").unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.trim_start_matches('/'),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    Some(if path.is_empty() { String::new() } else { format!("/{path}") })
}

fn shown(base: &str) -> &str {
    if base.is_empty() { "/" } else { base }
}

fn part(segment: &str, kinds: &[(&str, ParameterKind)]) -> Part {
    let whole = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match whole {
        Some(name) if !name.contains(['{', '}']) => {
            let kind = kinds.iter().rev().find(|(known, _)| *known == name);
            let kind = kind.map_or(ParameterKind::Other, |(_, kind)| *kind);
            Part::Parameter { name: name.to_owned(), kind }
        }
        _ if segment.contains('{') => Part::Mixed(segment.to_owned()),
        _ => Part::Literal(segment.to_owned()),
    }
}

fn text_at<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

#[cfg(test)]
mod tests;
