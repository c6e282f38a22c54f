//! Conditions and keys.

use serde_json::json;
use stepwell_expr::{Bindings, Expr};

const NOW_MS: i64 = 1_767_225_600_000;

/// What compiles can be evaluated, explained and compiled again; what does not says where.
///
/// # Panics
/// When it is not so.
pub fn check(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let event = json!({
        "name": "a/b", "id": "1", "ts": NOW_MS, "user": {},
        "data": {"a": "x", "b": 3, "c": [1, 2.5, null, "y"], "d": {"e": true, "f": "2026-01-01T00:00:00Z"}, "g": -1.5e300},
    });
    for compile in [
        Expr::compile,
        Expr::compile_restricted,
        Expr::compile_interpolated,
    ] {
        let expr = match compile(source) {
            Ok(expr) => expr,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(!error.render().to_string().is_empty());
                continue;
            }
        };
        assert_eq!(expr.source(), source);
        let bindings = Bindings::of_event(&event);
        let truth = expr.eval_bool(&bindings, NOW_MS);
        let again = compile(source).expect("it compiled a moment ago");
        assert_eq!(
            format!("{:?}", again.eval_bool(&bindings, NOW_MS)),
            format!("{truth:?}")
        );
        let _key = expr.eval_key(&bindings, NOW_MS);
        let _int = expr.eval_int(&bindings, NOW_MS);
        let _why = expr.explain(&bindings, NOW_MS);
        let equalities = expr.equalities();
        assert!(equalities.len() <= source.len());
        if let Ok(filled) = expr.interpolate(&event) {
            let incoming = Bindings::of_incoming(&event);
            let _truth = filled.eval_bool(&incoming, NOW_MS);
        }
    }
}
