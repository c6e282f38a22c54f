//! What the derive macros take, and what they say when they don't.

#[test]
fn misuse_is_explained_where_it_stands() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
