//! Which limits hold for what, and the numbers that outlive a configuration.

use super::*;
use crate::config::tests::with_limits as config;
use crate::model::Access;

/// The names of the limits that hold for a request that needs these.
fn touched(plan: &Plan, config: &Config, scopes: &[&str]) -> Vec<String> {
    let id = |name: &&str| config.policy.catalogue.id(name).unwrap();
    let needs: Vec<Need> =
        scopes.iter().map(|name| Need { scope: id(name), access: Access::READ }).collect();
    plan.touched(&needs).iter().map(|place| plan.category_name(*place).to_owned()).collect()
}

#[test]
fn a_category_holds_for_its_scopes_and_a_scope_for_itself() {
    let config = config(
        "category: { billing.invoices: { rate: 1/s }, billing: { rate: 2/s }, files: { rate: 3/s } }",
    );
    let plan = Plan::of(&config, None);
    for (needs, limits) in [
        (&["billing"][..], &["billing"][..]),
        (&["billing.invoices"], &["billing.invoices", "billing"]),
        (&["billing.claims"], &["billing"]),
        (
            &["billing.claims", "billing.invoices", "files"],
            &["billing", "billing.invoices", "files"],
        ),
        (&["files", "files"], &["files"]),
        (&["patient"], &[]),
        (&[], &[]),
    ] {
        assert_eq!(touched(&plan, &config, needs), limits, "{needs:?}");
    }
    assert_eq!(plan.name(LimitKind::Category(0)), "category:billing.invoices");
    assert_eq!(plan.all_categories().len(), 3);
    assert_eq!((plan.category(3), plan.name(LimitKind::Vendor)), (None, "vendor".to_owned()));
}

#[test]
fn a_number_never_changes_its_meaning() {
    let first =
        Plan::of(&config("category: { files: { rate: 1/s }, patient: { rate: 2/s } }"), None);
    let turned = Plan::of(
        &config("category: { patient: { rate: 2/s }, clinical: { rate: 2/s } }"),
        Some(&first),
    );
    let none = Plan::of(&config(""), Some(&turned));
    let again = Plan::of(
        &config("category: { clinical: { rate: 1/s }, files: { rate: 1/s } }"),
        Some(&none),
    );
    let numbers = |plan: &Plan| [plan.number(0), plan.number(1)];
    assert_eq!([numbers(&first), numbers(&turned), numbers(&again)], [[0, 1], [1, 2], [2, 0]]);
}

#[test]
fn a_plan_knows_what_it_asks_of_a_request() {
    let of = |limits: &str| Plan::of(&config(limits), None);
    let nothing = of("");
    assert!(nothing.is_empty() && nothing.is_over_at_the_head());
    assert!(!nothing.observes() && !nothing.denies_without_store());
    assert!(
        of("failed_auth_per_ip: { rate: 1/s }").is_empty(),
        "no request with a key is held against it"
    );
    for limits in [
        "key: { rate: 1/s }",
        "vendor: { rate: 1/s }",
        "practice: { rate: 1/s }",
        "category: { files: { rate: 1/s } }",
        "daily_quota: { requests: 1 }",
    ] {
        let plan = of(limits);
        assert!(!plan.is_empty() && plan.is_over_at_the_head(), "{limits}");
    }
    for limits in ["daily_quota: { bytes: 1KiB }", "max_concurrent_per_key: 1"] {
        let plan = of(limits);
        assert!(!plan.is_empty() && !plan.is_over_at_the_head(), "{limits}");
    }
    let strict = of("mode: observe, store_down: deny");
    assert!(strict.observes() && strict.denies_without_store());
}
