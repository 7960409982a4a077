//! Errors of the admin listener, as `application/problem+json` (RFC 9457).
//!
//! What is told is for the caller; what only operators should know (the text of a store's error) goes to the log.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::registry::operation::FieldFault;
use crate::registry::{RegistryError, Rejection};
use crate::store::StoreError;
use crate::vault::{VaultError, key};

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    pub(super) code: &'static str,
    detail: String,
    errors: Vec<Value>,
    /// Seconds.
    retry_after: Option<u64>,
}

pub(super) async fn not_found(uri: Uri) -> Response {
    let path = shown(uri.path());
    let detail = format!("Nothing lives at {path}. The page at / says what does.");
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response()
}

/// The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    let detail = "This path does not take the method. `Allow` names those that it takes.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response()
}

/// What a caller sent, or something that may quote it, unless there is a key of ours in it. Answers are kept in places
/// where keys are not. A bare prefix is no key: some faults name the one that is expected.
fn shown(text: &str) -> &str {
    if key::has_one(text) { "pst_…" } else { text }
}

/// An error of one field or line, its texts as they may be shown.
fn shown_error(mut error: Value) -> Value {
    let texts = error.as_object_mut().into_iter().flat_map(|error| error.values_mut());
    for value in texts {
        if let Value::String(text) = value {
            *text = shown(text).to_owned();
        }
    }
    error
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        let detail = shown(&detail).to_owned();
        Self { status, code, detail, errors: Vec::new(), retry_after: None }
    }

    fn with_errors(errors: impl Iterator<Item = Value>, detail: &str) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail);
        Self { errors: errors.map(shown_error).collect(), ..problem }
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "Send `Authorization: Bearer ADMIN_TOKEN` with a token that is valid, or sign in at /login.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// One answer for a wrong password and an unknown name.
    pub(super) fn wrong_password() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "The username or the password is wrong.",
        )
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(super) fn csrf() -> Self {
        let detail = "A change by session needs `X-CSRF-Token`, as GET /api/v1/session gives it.";
        Self::new(StatusCode::FORBIDDEN, "csrf", detail)
    }

    /// The same for what is not there and for what the caller may not know of.
    pub(super) fn unknown(what: &str, id: &str) -> Self {
        let detail = format!("There is no {what} `{}`.", shown(id).escape_debug());
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn malformed_json(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        let detail = format!("The body cannot be read as JSON: {}.", shown(&why));
        Self::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    pub(super) fn media_type(wanted: &str) -> Self {
        let detail = format!("Send the body as `Content-Type: {wanted}`.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    pub(super) fn body_timeout(limit: Duration) -> Self {
        let detail = format!("The body did not arrive within {} s.", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("The body is larger than {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(super) fn invalid(faults: &[FieldFault]) -> Self {
        let errors =
            faults.iter().map(|fault| json!({ "field": fault.field, "message": fault.message }));
        let detail = "Some of what was sent cannot be taken; `errors` says what and why.";
        Self::with_errors(errors, detail)
    }

    pub(super) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(&[FieldFault { field: field.to_owned(), message: message.into() }])
    }

    /// Lines of an import; `line` is 0 where the whole is meant.
    pub(super) fn faulty_lines(errors: Vec<Value>) -> Self {
        let detail = "Nothing was imported; `errors` names every faulty line.";
        Self::with_errors(errors.into_iter(), detail)
    }

    pub(super) fn stale() -> Self {
        let detail = "The object changed since it was read. Read it again, then decide again.";
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", detail)
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn too_many_attempts(seconds: u64) -> Self {
        let detail =
            "Too many failed attempts to sign in; until then the right password is refused, too.";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    pub(super) fn busy() -> Self {
        let detail = "Too many passwords are being checked at once.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
        Self { retry_after: Some(1), ..problem }
    }

    /// A fault of ours, told to the log alone.
    pub(super) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "an admin request failed");
        let detail = "The gateway failed at this; its log says why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    #[cfg(test)]
    pub(super) fn errors_for_tests(&self) -> Vec<(String, String)> {
        let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        self.errors.iter().map(|error| (text(error, "field"), text(error, "message"))).collect()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let said = rejection.to_string();
        match rejection {
            Rejection::NotFound { what, id } => Self::unknown(what, &id),
            Rejection::Invalid(faults) => Self::invalid(&faults),
            Rejection::Duplicate { .. } => Self::conflict("duplicate", said),
            Rejection::OwnerInUse(_) => Self::conflict("owner_in_use", said),
            Rejection::LastOperator => Self::conflict("last_operator", said),
            Rejection::Dismissed => Self::unauthorized(),
            Rejection::Stale => Self::stale(),
            Rejection::NotPossible(code, _) => Self::conflict(code, said),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store failed an admin request");
        let (code, detail) = match error {
            StoreError::Unknown(_) => (
                "outcome_unknown",
                "The store did not answer: the change may or may not have been made. Read before you try again.",
            ),
            StoreError::Conflict
            | StoreError::Unavailable(_)
            | StoreError::Corrupt(_)
            | StoreError::InUse(_) => (
                "store_unavailable",
                "The store cannot be used at the moment; nothing was changed.",
            ),
        };
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { retry_after: Some(1), ..problem }
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Rejected(rejection) => rejection.into(),
            RegistryError::Store(error) => error.into(),
            RegistryError::OtherVault(said) => Self::internal(&said),
            // Nothing of an administrator's.
            RegistryError::Busy => Self::busy(),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, errors, retry_after } = self;
        let mut body = json!({
            "type": format!("urn:postern:error:{code}"),
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
        });
        if let (false, Some(fields)) = (errors.is_empty(), body.as_object_mut()) {
            fields.insert("errors".to_owned(), Value::Array(errors));
        }
        let json = format!("{body}\n");
        let mut response =
            (status, [(CONTENT_TYPE, "application/problem+json")], json).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_sent_in_the_wrong_place_is_not_repeated() {
        let secret = "pst_sub_0123456789ab_secret";
        let unknown = Problem::unknown("practice", secret);
        assert_eq!(unknown.detail(), "There is no practice `pst_…`.");
        let malformed = Problem::malformed_json(format!("`{secret}` is there twice"));
        let conflict = Problem::conflict("duplicate", format!("user `{secret}` is there already"));
        let field = Problem::invalid_field(&format!(".{secret}"), format!("is not `{secret}`"));
        let lines = Problem::faulty_lines(vec![json!({ "line": 1, "message": secret })]);
        for problem in [unknown, malformed, conflict, field, lines] {
            assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
        }
        let told = "must begin with `pst_sub_` or `pst_ven_`";
        assert_eq!(shown(told), told);
    }
}
