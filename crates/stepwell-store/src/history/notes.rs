//! What is noted of a run finds its place in the tree: metadata at the spans that it is of, the app's own spans below
//! their steps.

use super::{Span, SpanStatus};
use crate::History;
use std::collections::{HashMap, HashSet};
use stepwell_engine::Timestamp;
use stepwell_protocol::StepId;
use stepwell_protocol::metadata::Target;
use stepwell_protocol::otlp::UserSpan;

/// How deep an app's own spans nest: readers of JSON stop somewhere. What is below is put beside.
const NESTED_MAX: usize = 16;

pub(super) fn attach(root: &mut Span, history: &History) {
    attach_spans(root, &history.user_spans);
    for noted in &history.metadata {
        let span = match &noted.target {
            Target::Run => None,
            Target::Step(step) => of_step(root, step, None),
            Target::Attempt(step, attempt) => of_step(root, step, Some(*attempt)),
            Target::Span(id) => find(root, id),
        };
        // What belongs to a span that is not there is better told at the run than not at all.
        let span = match span {
            Some(span) => span,
            None => &mut *root,
        };
        span.metadata.push(noted.clone());
    }
}

/// The span of a step, or of an attempt of it if it has any.
fn of_step<'a>(root: &'a mut Span, step: &StepId, attempt: Option<u32>) -> Option<&'a mut Span> {
    let mut children = root.children.iter_mut();
    let span = children.find(|child| child.step.as_ref() == Some(step))?;
    let is_it = |child: &Span| child.userland.is_none() && Some(child.attempts) == attempt;
    match span.children.iter().position(is_it) {
        Some(at) => span.children.get_mut(at),
        None => Some(span),
    }
}

fn find<'a>(span: &'a mut Span, id: &str) -> Option<&'a mut Span> {
    if span.id == id {
        return Some(span);
    }
    span.children.iter_mut().find_map(|child| find(child, id))
}

/// The app's own spans, by the spans above them.
struct Forest<'a> {
    below: HashMap<&'a str, Vec<&'a UserSpan>>,
    placed: HashSet<&'a str>,
}

fn attach_spans(root: &mut Span, spans: &[UserSpan]) {
    let known: HashSet<&str> = spans.iter().map(|span| &*span.id).collect();
    let mut forest = Forest {
        below: HashMap::new(),
        placed: HashSet::new(),
    };
    let mut tops = Vec::new();
    let mut rest = Vec::new();
    for span in spans {
        let above = span.parent.as_deref().filter(|above| known.contains(above));
        match above.filter(|_| !span.is_top) {
            Some(above) => {
                forest.below.entry(above).or_default().push(span);
                rest.push(span);
            }
            None => tops.push(span),
        }
    }
    // Those that are left form circles, or are nested too deep.
    for span in tops.into_iter().chain(rest) {
        if forest.placed.contains(&*span.id) {
            continue;
        }
        let step = span.step.as_ref();
        let place = step.and_then(|step| of_step(root, step, span.attempt));
        let place = match place {
            Some(place) => place,
            None => &mut *root,
        };
        let made = forest.make(span, &place.id.clone(), NESTED_MAX);
        place.children.push(made);
    }
    sort(root);
}

impl<'a> Forest<'a> {
    fn make(&mut self, span: &'a UserSpan, above: &str, nested_max: usize) -> Span {
        self.placed.insert(&span.id);
        let mut children = Vec::new();
        if nested_max > 0 {
            for child in self.below.remove(&*span.id).unwrap_or_default() {
                if !self.placed.contains(&*child.id) {
                    children.push(self.make(child, &span.id, nested_max - 1));
                }
            }
        }
        Span {
            id: span.id.clone(),
            parent: Some(above.to_owned()),
            name: span.name.clone(),
            status: match span.failed {
                true => SpanStatus::Failed,
                false => SpanStatus::Completed,
            },
            attempts: span.attempt.unwrap_or(0),
            step: None,
            op: None,
            kind: None,
            info: None,
            queued_at: Timestamp::from_ms(span.started_ms),
            started_at: Some(Timestamp::from_ms(span.started_ms)),
            ended_at: Some(Timestamp::from_ms(span.ended_ms)),
            output: None,
            http_status: None,
            skip: None,
            metadata: Vec::new(),
            userland: Some(Box::new(span.clone())),
            children,
        }
    }
}

/// The app's own spans come after the server's, by their times.
fn sort(span: &mut Span) {
    let key = |child: &Span| {
        let of_app = child.userland.is_some();
        (of_app, of_app.then_some(child.queued_at))
    };
    span.children.sort_by_key(key);
    span.children.iter_mut().for_each(sort);
}
