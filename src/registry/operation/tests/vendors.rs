//! Vendors and their keys.

use super::*;

fn edit(id: &str) -> EditVendor {
    EditVendor {
        id: vendor(id),
        if_match: None,
        name: None,
        contact: Patch::Keep,
        status: None,
        review: Patch::Keep,
        agreement_expires: Patch::Keep,
    }
}

#[test]
fn a_review_goes_forward_and_never_back_to_pending() {
    use VendorStatus::{Approved, Pending, Suspended};
    let mut world = World::new();
    world.must(create_vendor("acme", Pending));
    for status in [Pending, Approved, Suspended, Approved] {
        assert_eq!(world.must(EditVendor { status: Some(status), ..edit("acme") }).status, status);
    }
    for reviewed in [Approved, Suspended] {
        world.must(EditVendor { status: Some(reviewed), ..edit("acme") });
        let faults = world.faults(EditVendor { status: Some(Pending), ..edit("acme") });
        assert!(faults.len() == 1 && faults[0].starts_with("status: "), "{faults:?}");
    }
}

#[test]
fn notes_may_have_lines_and_end() {
    let mut world = World::furnished();
    let noted = world.must(EditVendor {
        review: Patch::Set("Seen:\n- contract".to_owned()),
        contact: Patch::Set("  ".to_owned()),
        agreement_expires: Patch::Set(world.now),
        ..edit("acme")
    });
    assert_eq!(noted.review.as_deref(), Some("Seen:\n- contract"));
    assert_eq!((noted.contact, noted.agreement_expires), (None, Some(world.now)));
    let seen = world.records.vendor(&vendor("acme")).unwrap().revision;
    let cleared = world.must(EditVendor {
        review: Patch::Clear,
        agreement_expires: Patch::Clear,
        if_match: Some(seen),
        ..edit("acme")
    });
    assert_eq!((cleared.review, cleared.agreement_expires), (None, None));
    let long = EditVendor { review: Patch::Set("x".repeat(2_001)), ..edit("acme") };
    assert_eq!(world.faults(long), ["review: must have at most 2000 characters"]);
    let stale = EditVendor { if_match: Some(seen), ..edit("acme") };
    assert_eq!(world.refusal(stale), Rejection::Stale);
    assert!(matches!(
        world.refusal(create_vendor("acme", VendorStatus::Pending)),
        Rejection::Duplicate { what: "vendor", .. }
    ));
}

#[test]
fn a_vendor_key_is_issued_whatever_the_status_and_revoked_once() {
    let mut world = World::furnished();
    for id in ["pending", "suspended"] {
        let status = if id == "pending" { VendorStatus::Pending } else { VendorStatus::Suspended };
        world.must(create_vendor(id, status));
        let fresh = world.fresh(Purpose::VendorKey);
        world.must(IssueVendorKey { vendor: vendor(id), fresh });
    }
    let fresh = world.fresh(Purpose::VendorKey);
    let issue = IssueVendorKey { vendor: vendor("acme"), fresh };
    let key = world.must(issue.clone());
    assert_eq!(world.last_deed().object, format!("vendor_key/{}", key.id));
    assert!(matches!(world.refusal(issue), Rejection::Duplicate { .. }));
    let of_another = RevokeVendorKey { vendor: vendor("pending"), key: key.id };
    assert!(matches!(world.refusal(of_another), Rejection::NotFound { what: "vendor key", .. }));
    let revoke = RevokeVendorKey { vendor: vendor("acme"), key: key.id };
    let revoked = world.must(revoke.clone());
    assert_eq!(revoked.revoked_at, Some(world.now));
    let changes = world.changes;
    world.later(HOUR);
    assert_eq!(world.must(revoke), revoked);
    assert_eq!(world.changes, changes);
    let fresh = world.fresh(Purpose::VendorKey);
    let nobodys = IssueVendorKey { vendor: vendor("nobody"), fresh };
    assert!(matches!(world.refusal(nobodys), Rejection::NotFound { what: "vendor", .. }));
}
