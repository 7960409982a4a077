//! What is read from documents of each version, and what is said about the rest.

use super::*;

fn paths(text: &str, mount: Option<&str>) -> Vec<String> {
    let document = Document::read(text, mount).unwrap();
    document.operations.iter().map(|op| format!("{} {}", op.method, op.path)).collect()
}

const OPENAPI_3: &str = "
openapi: 3.0.3
info: { title: Practice, version: '1' }
servers: [{ url: 'https://api.example.com/{stage}/', variables: { stage: { default: v1 } } }]
paths:
  /patients:
    get: { summary: List patients, tags: [Patients], responses: { 200: { description: ok } } }
    post: { operationId: createPatient, responses: { 201: { description: ok } } }
  /patients/{id}/notes/{note}:
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
      - $ref: '#/components/parameters/note'
    delete: { responses: { 204: { description: gone } } }
    options: { responses: {} }
    trace: { responses: {} }
components:
  parameters: { note: { name: note, in: path, schema: { $ref: '#/components/schemas/Id' } } }
  schemas: { Id: { type: string, format: uuid } }
";

#[test]
fn operations_stand_behind_the_path_of_the_server() {
    let expected =
        ["GET /v1/patients", "POST /v1/patients", "DELETE /v1/patients/{id}/notes/{note}"];
    assert_eq!(paths(OPENAPI_3, None), expected);
    assert_eq!(paths(OPENAPI_3, Some("/api/"))[0], "GET /api/patients");
    assert_eq!(paths(OPENAPI_3, Some("/"))[0], "GET /patients");
}

#[test]
fn parameters_have_the_kind_of_their_schema() {
    let document = Document::read(OPENAPI_3, None).unwrap();
    let kinds: Vec<_> = document.operations[2]
        .segments
        .iter()
        .filter_map(|part| match part {
            Part::Parameter { kind, .. } => Some(*kind),
            Part::Literal(_) | Part::Mixed(_) => None,
        })
        .collect();
    assert_eq!(kinds, [ParameterKind::Integer, ParameterKind::Uuid]);
}

#[test]
fn words_of_an_operation_are_kept_and_what_cannot_pass_is_told() {
    let document = Document::read(OPENAPI_3, None).unwrap();
    assert_eq!(document.title, "Practice");
    assert_eq!(document.operations[0].tags, ["Patients"]);
    assert_eq!(document.operations[0].summary, "List patients");
    assert_eq!(document.operations[1].summary, "createPatient");
    let notes = [
        "OPTIONS /patients/{id}/notes/{note} is answered by the gateway itself",
        "TRACE /patients/{id}/notes/{note} cannot pass a gateway",
    ];
    assert_eq!(document.notes, notes);
}

#[test]
fn swagger_2_has_a_base_path_and_bare_types() {
    let text = r#"{"swagger":"2.0","basePath":"/api/v2/","paths":{"/invoices/{id}":{
        "get":{"parameters":[{"name":"id","in":"path","type":"integer"}]}}}}"#;
    let document = Document::read(text, None).unwrap();
    assert_eq!(document.operations[0].path, "/api/v2/invoices/{id}");
    let expected = Part::Parameter { name: "id".into(), kind: ParameterKind::Integer };
    assert_eq!(document.operations[0].segments.last(), Some(&expected));
}

#[test]
fn version_3_1_may_list_types() {
    let text = "
openapi: 3.1.0
paths:
  /a/{id}:
    get: { parameters: [{ name: id, in: path, schema: { type: [integer, 'null'] } }] }
  /a/{id}.pdf: { get: {} }
";
    let document = Document::read(text, None).unwrap();
    let expected = Part::Parameter { name: "id".into(), kind: ParameterKind::Integer };
    assert_eq!(document.operations[0].segments[1], expected);
    assert_eq!(document.operations[1].segments[1], Part::Mixed("{id}.pdf".into()));
}

#[test]
fn servers_that_disagree_are_told() {
    let text =
        "{openapi: 3.0.0, servers: [{url: /v1}, {url: /v2}], paths: {/a: {get: {}, put: {}}}}";
    let text = text.replacen('{', "---\n{", 1);
    let document = Document::read(&text, None).unwrap();
    assert_eq!(document.operations[0].path, "/v1/a");
    assert_eq!(document.notes.len(), 1);
    assert!(document.notes[0].contains("/v1 was taken, not /v2"), "{:?}", document.notes);
    assert!(Document::read(&text, Some("/v2")).unwrap().notes.is_empty());
}

#[test]
fn what_is_no_document_is_refused_with_a_reason() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &('b'..='k')
            .zip('a'..)
            .map(|(this, last)| {
                let many = vec![format!("*{last}"); 9].join(",");
                format!("{this}: &{this} [{many}]\n")
            })
            .collect::<String>();
    let cases = [
        ("", "is not an OpenAPI document"),
        ("[]", "is not an OpenAPI document"),
        ("title: x", "neither `openapi` nor `swagger`"),
        ("openapi: 4.0.0", "version 4.0.0"),
        ("openapi: 3.0.0", "no `paths`"),
        ("{\"openapi\": ", "not readable as JSON"),
        ("a: [", "not readable as YAML"),
        (&bomb, "not readable as YAML"),
    ];
    for (text, reason) in cases {
        let error = Document::read(text, None).unwrap_err();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn references_in_a_circle_or_elsewhere_are_told() {
    let text = "
openapi: 3.0.0
paths:
  /loop: { $ref: '#/paths/~1loop' }
  /away: { $ref: 'other.yaml#/x' }
";
    let document = Document::read(text, None).unwrap();
    assert!(document.operations.is_empty());
    assert_eq!(document.notes.len(), 2);
}
