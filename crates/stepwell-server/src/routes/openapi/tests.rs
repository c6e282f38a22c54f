use super::document;
use serde_json::Value;
use std::collections::BTreeSet;

fn operations() -> Vec<(String, Value)> {
    let document = serde_json::to_value(document()).expect("it is JSON");
    let paths = document["paths"].as_object().expect("it has paths").clone();
    let each = paths.into_iter().flat_map(|(path, item)| {
        let operations = item.as_object().expect("it has operations").clone();
        let of_path = operations.into_iter();
        of_path
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
            .collect::<Vec<_>>()
    });
    each.collect()
}

#[test]
fn every_operation_says_what_it_is_and_what_it_answers() {
    for (name, operation) in operations() {
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{name} does not say what it is");
        let responses = operation["responses"].as_object().expect("it answers");
        for (code, response) in responses {
            assert_ne!(response["description"], "", "{name}: {code} says nothing");
        }
        assert!(responses.contains_key("503"), "{name}");
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let operations = operations();
    let names: BTreeSet<&str> = operations
        .iter()
        .map(|(name, operation)| operation["operationId"].as_str().unwrap_or(name))
        .collect();
    assert_eq!(names.len(), operations.len());
}

#[test]
fn what_is_referred_to_is_there() {
    let document = serde_json::to_value(document()).expect("it is JSON");
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    let text = document.to_string();
    let references = text.split("#/components/schemas/").skip(1);
    for reference in references {
        let name = reference.split('"').next().expect("it ends");
        assert!(schemas.contains_key(name), "{name} is not described");
    }
}
