//! Reading a query never panics, and no spelling hides a parameter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::policy::query;

fuzz_target!(|input: (&str, &str)| {
    let (text, wanted) = input;
    for (name, value) in query::pairs(text) {
        assert!(
            query::has(text, &name)
                || name.contains('[')
                || name.trim() != name
                || has_control(&name)
        );
        assert!(value.len() <= text.len() * 3);
    }
    if query::contains(text, "include", wanted) {
        assert!(query::has(text, "include"));
    }
    for hidden in ["_method=PUT", "%5F%6d%65thod=PUT", "X_HTTP-Method%5B%5D", "%u005fmethod%00"] {
        for separator in ["&", ";"] {
            assert!(query::has_method_override(&format!("{text}{separator}{hidden}")));
            assert!(query::has_method_override(&format!("{hidden}{separator}{text}")));
        }
    }
    let encoded: String = wanted.bytes().map(|byte| format!("%{byte:02x}")).collect();
    if !wanted.contains(',') && wanted.trim() == wanted && !has_control(wanted) {
        assert!(query::contains(&format!("{text}&include={encoded}"), "include", wanted));
    }
    if !text.contains(['%', '+']) {
        assert_eq!(query::decode(text), text);
    }
});

fn has_control(name: &str) -> bool {
    name.chars().any(char::is_control)
}
