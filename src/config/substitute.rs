//! `${env:NAME}` and `${file:PATH}`: secrets that stand outside the file. `$${` is a `${` that means itself.
//!
//! What is put in is text and nothing else: it is never read as YAML, and its scalar is marked so that no fault shows it.

use crate::config::fault::Fault;
use crate::config::read::Reader;
use crate::config::yaml::{Kind, Node, Scalar};
use crate::model::Place;

/// Puts the secrets into every value of a tree. Keys are names and stay as they are.
pub(super) fn substitute(reader: &mut Reader<'_>, node: &mut Node) {
    match &mut node.kind {
        Kind::Sequence(items) => items.iter_mut().for_each(|item| substitute(reader, item)),
        Kind::Mapping(entries) => {
            entries.iter_mut().for_each(|(_, value)| substitute(reader, value))
        }
        Kind::Scalar(scalar) if scalar.text.contains("${") => expand(reader, &node.place, scalar),
        Kind::Scalar(_) => {}
    }
}

fn expand(reader: &mut Reader<'_>, place: &Place, scalar: &mut Scalar) {
    let written = std::mem::take(&mut scalar.text);
    let mut rest = written.as_str();
    let mut places = std::mem::take(&mut scalar.references).into_iter();
    let mut is_lost = false;
    while let Some((before, after)) = rest.split_once("${") {
        let place = places.next().unwrap_or_else(|| place.clone());
        if let Some(literal) = before.strip_suffix('$') {
            scalar.text.push_str(literal);
            scalar.text.push_str("${");
            scalar.plain = false;
            rest = after;
            continue;
        }
        scalar.text.push_str(before);
        scalar.secret = true;
        let Some((reference, behind)) = after.split_once('}') else {
            reader.fault(
                Fault::new(place, "`${` is not closed")
                    .hint("write `${env:NAME}` or `${file:PATH}`, or `$${` for a literal `${`"),
            );
            scalar.text.clear();
            return;
        };
        match look_up(reader, &place, reference) {
            Ok(value) => {
                reader.keep_secret(&value);
                scalar.text.push_str(&value);
            }
            Err(fault) => {
                reader.fault(fault);
                is_lost = true;
            }
        }
        rest = behind;
    }
    scalar.text.push_str(rest);
    if is_lost {
        scalar.text.clear();
    }
}

fn look_up(reader: &mut Reader<'_>, place: &Place, reference: &str) -> Result<String, Fault> {
    let fault = |message: String| Fault::new(place.clone(), message);
    match reference.split_once(':') {
        Some(("env", name)) if is_variable(name) => match reader.env(name) {
            None => Err(fault(format!("the environment variable `{name}` is not set"))
                .hint(format!("set {name} for the gateway's process"))),
            Some(value) if value.is_empty() => {
                Err(fault(format!("the environment variable `{name}` is empty")))
            }
            Some(value) => Ok(value),
        },
        Some(("env", name)) => {
            Err(fault(format!("`{}` is not the name of a variable", name.escape_debug()))
                .hint("use letters, digits and `_`"))
        }
        Some(("file", path)) if !path.is_empty() => {
            let (shown, bytes) = reader.file(path, place)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| fault(format!("{shown} is not UTF-8 text")))?;
            let text = text
                .strip_suffix('\n')
                .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
            if text.is_empty() {
                Err(fault(format!("{shown} is empty")))
            } else {
                Ok(text.to_owned())
            }
        }
        _ => Err(fault(format!(
            "`${{{}}}` names neither a variable nor a file",
            reference.escape_debug()
        ))
        .hint("write `${env:NAME}` or `${file:PATH}`, or `$${` for a literal `${`")),
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
