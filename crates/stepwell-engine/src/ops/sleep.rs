//! Sleep: a step that ends by itself at a time.

use super::Asked;
use crate::ItemKind;
use crate::decision::Decision;
use crate::engine::Engine;
use stepwell_protocol::StepId;

impl Engine {
    pub(crate) fn start_sleep(
        &mut self,
        asked: &Asked<'_>,
        step: StepId,
        text: &str,
        out: &mut Decision,
    ) {
        if let Some(until) = self.until(asked, "sleep", text, out) {
            self.queue(asked, ItemKind::Sleep(step), until, None, out);
        }
    }
}
