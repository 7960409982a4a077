//! The closed list of reasons to say no.
//!
//! A refusal knows its public code and what may be told to the caller, and nothing of HTTP statuses:
//! `proxy/respond.rs` alone turns one into an answer.

use std::sync::Arc;

use crate::model::access::Access;
use crate::model::limit::Overrun;

/// Why a request was not answered by the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The target could be read in two ways; the text says what was wrong with it.
    AmbiguousPath(&'static str),
    MethodOverride,
    /// The head or the framing is not strictly what RFC 9112 and 9113 allow; the text says what.
    MalformedRequest(&'static str),
    DuplicateCredentials,
    CredentialsInQuery,
    ExpectationFailed,
    SubscriberKeyMissing,
    VendorKeyMissing,
    /// One answer for every wrong key.
    InvalidCredentials,
    /// Expired, idle for too long, or rotated out.
    KeyExpired,
    KeyDisabled,
    KeyRevoked,
    PermissionDenied(Lack),
    /// No rule for this path, or none for this method on it.
    RouteUnmapped,
    RouteDenied,
    /// The key is for another API than the one the path belongs to.
    WrongApi,
    /// The subscriber key may be used by another vendor only.
    VendorMismatch,
    /// Pending, suspended, or its agreement ended.
    VendorNotApproved,
    /// The practice's API switch is off.
    ApiAccessDisabled,
    IpNotAllowed,
    /// The practice lives in another region; its host, where it has one.
    WrongRegion {
        host: Option<Arc<str>>,
    },
    UpgradeNotAllowed,
    BodyTooLarge {
        limit: u64,
    },
    TargetTooLong {
        limit: usize,
    },
    HeadersTooLarge,
    /// The caller was too slow to send its request.
    RequestTimeout,
    Overloaded,
    /// What this node knows of keys is too old to decide by.
    RegistryStale,
    /// Its record cannot be kept.
    LogUnavailable,
    RateLimited(Box<Overrun>),
    /// Of the day.
    QuotaExceeded(Box<Overrun>),
    /// Of callers without valid keys, from the same source.
    TooManyFailures(Box<Overrun>),
    /// Requests of the same key at once.
    TooManyConcurrent(Box<Overrun>),
    /// Nobody can say what is left of them.
    LimitsUnavailable,
    UpstreamUnreachable,
    UpstreamProtocolError,
    UpstreamTimeout,
}

/// The first need that a key did not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The category or scope, by name.
    pub category: String,
    pub needed: Access,
    pub granted: Access,
    pub short: Short,
}

/// What of a caller does not reach far enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    Key,
    /// An access token that was made for less than its key may.
    Token,
    /// Such a token, whose key does not have it either.
    Both,
}

impl Refusal {
    /// Every code there is, for counters and for documents.
    pub const CODES: [&'static str; 37] = [
        "ambiguous_path",
        "method_override",
        "malformed_request",
        "duplicate_credentials",
        "credentials_in_query",
        "expectation_failed",
        "subscriber_key_missing",
        "vendor_key_missing",
        "invalid_credentials",
        "key_expired",
        "key_disabled",
        "key_revoked",
        "permission_denied",
        "route_unmapped",
        "route_denied",
        "wrong_api",
        "vendor_mismatch",
        "vendor_not_approved",
        "api_access_disabled",
        "ip_not_allowed",
        "wrong_region",
        "upgrade_not_allowed",
        "body_too_large",
        "target_too_long",
        "headers_too_large",
        "request_timeout",
        "overloaded",
        "registry_stale",
        "log_unavailable",
        "rate_limited",
        "quota_exceeded",
        "too_many_failures",
        "too_many_concurrent",
        "limits_unavailable",
        "upstream_unreachable",
        "upstream_protocol_error",
        "upstream_timeout",
    ];

    /// Of a refusal by a limit: which one, and what it allows.
    pub fn overrun(&self) -> Option<&Overrun> {
        match self {
            Self::RateLimited(over)
            | Self::QuotaExceeded(over)
            | Self::TooManyFailures(over)
            | Self::TooManyConcurrent(over) => Some(over),
            _ => None,
        }
    }

    /// The code of contract.md, section 4.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AmbiguousPath(_) => "ambiguous_path",
            Self::MethodOverride => "method_override",
            Self::MalformedRequest(_) => "malformed_request",
            Self::DuplicateCredentials => "duplicate_credentials",
            Self::CredentialsInQuery => "credentials_in_query",
            Self::ExpectationFailed => "expectation_failed",
            Self::SubscriberKeyMissing => "subscriber_key_missing",
            Self::VendorKeyMissing => "vendor_key_missing",
            Self::InvalidCredentials => "invalid_credentials",
            Self::KeyExpired => "key_expired",
            Self::KeyDisabled => "key_disabled",
            Self::KeyRevoked => "key_revoked",
            Self::PermissionDenied(_) => "permission_denied",
            Self::RouteUnmapped => "route_unmapped",
            Self::RouteDenied => "route_denied",
            Self::WrongApi => "wrong_api",
            Self::VendorMismatch => "vendor_mismatch",
            Self::VendorNotApproved => "vendor_not_approved",
            Self::ApiAccessDisabled => "api_access_disabled",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::WrongRegion { .. } => "wrong_region",
            Self::UpgradeNotAllowed => "upgrade_not_allowed",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::TargetTooLong { .. } => "target_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::Overloaded => "overloaded",
            Self::RegistryStale => "registry_stale",
            Self::LogUnavailable => "log_unavailable",
            Self::RateLimited(_) => "rate_limited",
            Self::QuotaExceeded(_) => "quota_exceeded",
            Self::TooManyFailures(_) => "too_many_failures",
            Self::TooManyConcurrent(_) => "too_many_concurrent",
            Self::LimitsUnavailable => "limits_unavailable",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamProtocolError => "upstream_protocol_error",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limit::LimitKind;

    #[test]
    fn every_code_is_in_the_list_once() {
        let lack = Lack {
            category: "patient".into(),
            needed: Access::WRITE_ONLY,
            granted: Access::READ,
            short: Short::Key,
        };
        let overrun = || {
            let (limit, allowed) = ("key".into(), "1/s".into());
            Box::new(Overrun {
                kind: LimitKind::Key,
                limit,
                allowed,
                burst: None,
                cost: 1,
                wait: None,
            })
        };
        let all = [
            Refusal::AmbiguousPath(""),
            Refusal::MethodOverride,
            Refusal::MalformedRequest(""),
            Refusal::DuplicateCredentials,
            Refusal::CredentialsInQuery,
            Refusal::ExpectationFailed,
            Refusal::SubscriberKeyMissing,
            Refusal::VendorKeyMissing,
            Refusal::InvalidCredentials,
            Refusal::KeyExpired,
            Refusal::KeyDisabled,
            Refusal::KeyRevoked,
            Refusal::PermissionDenied(lack),
            Refusal::RouteUnmapped,
            Refusal::RouteDenied,
            Refusal::WrongApi,
            Refusal::VendorMismatch,
            Refusal::VendorNotApproved,
            Refusal::ApiAccessDisabled,
            Refusal::IpNotAllowed,
            Refusal::WrongRegion { host: None },
            Refusal::UpgradeNotAllowed,
            Refusal::BodyTooLarge { limit: 1 },
            Refusal::TargetTooLong { limit: 1 },
            Refusal::HeadersTooLarge,
            Refusal::RequestTimeout,
            Refusal::Overloaded,
            Refusal::RegistryStale,
            Refusal::LogUnavailable,
            Refusal::RateLimited(overrun()),
            Refusal::QuotaExceeded(overrun()),
            Refusal::TooManyFailures(overrun()),
            Refusal::TooManyConcurrent(overrun()),
            Refusal::LimitsUnavailable,
            Refusal::UpstreamUnreachable,
            Refusal::UpstreamProtocolError,
            Refusal::UpstreamTimeout,
        ];
        assert_eq!(all.map(|refusal| refusal.code()), Refusal::CODES);
    }
}
