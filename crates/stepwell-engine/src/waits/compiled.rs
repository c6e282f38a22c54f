//! Compiled conditions, by their text: waits of one function often share it, and keep the text only.

use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use stepwell_expr::Expr;

/// Conditions kept: an event whose waits have more different ones compiles them again, a few microseconds each.
const COMPILED_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Compiled {
    exprs: HashMap<Arc<str>, Expr>,
    order: VecDeque<Arc<str>>,
}

impl Compiled {
    /// The expression of a text; `None` when it does not compile, which only a store of another version can bring.
    pub(super) fn get(&mut self, source: &Arc<str>) -> Option<Expr> {
        if let Some(expr) = self.exprs.get(source) {
            return Some(expr.clone());
        }
        let expr = Expr::compile_interpolated(source).ok()?;
        if self.order.len() >= COMPILED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.exprs.remove(&oldest);
        }
        self.exprs.insert(Arc::clone(source), expr.clone());
        self.order.push_back(Arc::clone(source));
        Some(expr)
    }
}
