//! What is drafted, what is asked, and that nothing is opened by guesswork.

use super::*;

fn drafted(paths: &str) -> Draft {
    let text = format!("openapi: 3.0.0\ninfo: {{ title: Practice }}\npaths:\n{paths}");
    draft(&Document::read(&text, Some("/v1")).unwrap())
}

#[test]
fn one_route_is_drafted_for_every_path_shape() {
    let draft = drafted(
        "  /patients/{id}: { get: { summary: One patient } }
  /patients/{patient}: { put: {} }
  /patients/{id}/invoices: { get: {} }
",
    );
    assert_eq!((draft.routes, draft.unsure), (2, 0));
    let expected = "routes:
  # One patient
  - path: /v1/patients/{id}
    category: patient
    methods: [GET, PUT]
  - path: /v1/patients/{id}/invoices
    category: financial
    methods: [GET]
";
    assert!(draft.text.ends_with(expected), "{}", draft.text);
}

#[test]
fn what_is_unsure_is_refused_until_somebody_chooses() {
    let draft = drafted(
        "  /widgets: { get: {} }
  /patients: { get: { tags: [Invoices] } }
",
    );
    assert_eq!(draft.unsure, 2);
    let expected = "routes:
  # choose a category
  - path: /v1/widgets
    deny: true
  # choose a category: patient or financial?
  - path: /v1/patients
    deny: true
";
    assert!(draft.text.ends_with(expected), "{}", draft.text);
}

#[test]
fn a_tag_decides_where_the_path_is_silent() {
    let draft = drafted("  /recent: { get: { tags: [Appointments] } }\n");
    assert!(draft.text.contains("category: appointment"), "{}", draft.text);
}

#[test]
fn methods_that_disagree_leave_the_choice_open() {
    let draft = drafted("  /recent: { get: { tags: [Patients] }, put: { tags: [Files] } }\n");
    assert!(draft.text.contains("patient or files?"), "{}", draft.text);
}

#[test]
fn a_posted_search_is_asked_about() {
    let draft = drafted("  /patients/search: { post: {} }\n");
    assert!(draft.text.contains("methods: { POST: read }"), "{}", draft.text);
    assert!(draft.text.contains("    methods: [POST]\n"), "{}", draft.text);
}

#[test]
fn text_of_the_document_cannot_leave_its_comment() {
    let draft = drafted("  /patients: { get: { summary: \"a\\n  - path: /v1/**\\u2028b\" } }\n");
    let path_lines = draft.text.lines().filter(|line| line.starts_with("  - path:")).count();
    assert_eq!(path_lines, 1, "{}", draft.text);
}

#[test]
fn mixed_segments_are_widened_and_said_to_be() {
    let draft = drafted("  /files/{id}.pdf: { get: {} }\n  /files/{id}/{id}: { get: {} }\n");
    assert!(draft.text.contains("# wider than documented"), "{}", draft.text);
    assert!(draft.text.contains("- path: /v1/files/{id}\n"), "{}", draft.text);
    assert!(draft.text.contains("- path: /v1/files/{id}/{id_}\n"), "{}", draft.text);
}

#[test]
fn a_document_without_operations_drafts_an_empty_map() {
    let draft = drafted("  /x: {}\n");
    assert!(draft.text.ends_with("routes: []\n"), "{}", draft.text);
}

#[test]
fn a_path_that_no_caller_could_send_is_left_out_and_told() {
    let draft = drafted("  /patients/%41: { get: {} }\n");
    assert_eq!(draft.routes, 0);
    assert!(draft.text.contains("# Note: /v1/patients/%41 is left out: "), "{}", draft.text);
    assert!(draft.text.ends_with("routes: []\n"), "{}", draft.text);
}
