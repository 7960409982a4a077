//! Every refusal has its status, and says what to do.

use crate::model::Access;
use crate::model::refusal::Lack;

use super::*;

fn lack() -> Refusal {
    Refusal::PermissionDenied(Lack {
        category: "billing.invoices".into(),
        needed: Access::WRITE_ONLY,
        granted: Access::READ,
    })
}

#[test]
fn statuses_are_those_of_the_contract() {
    let table = [
        (Refusal::AmbiguousPath("x"), 400),
        (Refusal::MethodOverride, 400),
        (Refusal::MalformedRequest("x"), 400),
        (Refusal::DuplicateCredentials, 400),
        (Refusal::CredentialsInQuery, 400),
        (Refusal::ExpectationFailed, 417),
        (Refusal::SubscriberKeyMissing, 401),
        (Refusal::VendorKeyMissing, 401),
        (Refusal::InvalidCredentials, 401),
        (lack(), 403),
        (Refusal::RouteUnmapped, 403),
        (Refusal::RouteDenied, 403),
        (Refusal::WrongApi, 403),
        (Refusal::VendorMismatch, 403),
        (Refusal::UpgradeNotAllowed, 403),
        (Refusal::BodyTooLarge { limit: 1 }, 413),
        (Refusal::TargetTooLong { limit: 1 }, 414),
        (Refusal::HeadersTooLarge, 431),
        (Refusal::RequestTimeout, 408),
        (Refusal::Overloaded, 503),
        (Refusal::UpstreamUnreachable, 502),
        (Refusal::UpstreamProtocolError, 502),
        (Refusal::LogUnavailable, 503),
        (Refusal::UpstreamTimeout, 504),
    ];
    for (refusal, status) in table {
        let said = wording(&refusal);
        assert_eq!(said.status.as_u16(), status, "{refusal:?}");
    }
}
