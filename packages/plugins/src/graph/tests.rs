use proptest::prelude::*;

use super::*;

fn graph(nodes: &[&'static str], edges: &[(&'static str, &'static str)]) -> Result<Graph, String> {
    Graph::new(nodes.iter().copied(), edges.iter().copied()).map_err(|error| error.to_string())
}

fn order(graph: &Graph) -> String {
    graph.order().collect::<Vec<_>>().join(" ")
}

#[test]
fn nodes_run_after_their_inputs_and_else_in_the_order_given() {
    let graph = graph(
        &["out", "b", "a", "in", "alone"],
        &[("in", "a"), ("in", "b"), ("b", "out"), ("a", "out")],
    )
    .unwrap();
    assert_eq!(order(&graph), "in b a out alone");
    assert_eq!(
        graph.levels(),
        [vec!["in", "alone"], vec!["b", "a"], vec!["out"]]
    );
    let inputs: Vec<_> = graph.inputs("out").unwrap().collect();
    assert_eq!(inputs, ["b", "a"]);
    assert_eq!(graph.inputs("in").unwrap().len(), 0);
    assert!(graph.inputs("nobody").is_none());
    assert_eq!(graph.sinks().collect::<Vec<_>>(), ["out", "alone"]);
}

#[test]
fn a_second_edge_does_not_double_the_files() {
    let graph = graph(&["a", "b"], &[("a", "b"), ("a", "b")]).unwrap();
    assert_eq!(graph.inputs("b").unwrap().collect::<Vec<_>>(), ["a"]);
    assert_eq!(order(&graph), "a b");
}

#[test]
fn no_nodes_are_a_graph_too() {
    let graph = graph(&[], &[]).unwrap();
    assert!(graph.is_empty() && graph.levels().is_empty());
}

#[test]
fn a_cycle_is_named_and_what_only_hangs_on_it_is_not() {
    let error = graph(
        &["in", "a", "b", "c", "after"],
        &[
            ("in", "a"),
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("c", "after"),
        ],
    );
    assert_eq!(
        error.unwrap_err(),
        "the graph cannot be run: a cycle: \"b\" → \"c\" → \"a\" → \"b\""
    );
    let itself = graph(&["a"], &[("a", "a")]).unwrap_err();
    assert_eq!(itself, "the graph cannot be run: a cycle: \"a\" → \"a\"");
    // Found from a node behind the cycle.
    let behind = graph(&["z", "a", "b"], &[("a", "b"), ("b", "a"), ("b", "z")]).unwrap_err();
    assert_eq!(
        behind,
        "the graph cannot be run: a cycle: \"a\" → \"b\" → \"a\""
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let error = graph(
        &["a", "b", "a"],
        &[
            ("a", "gone"),
            ("lost", "gone"),
            ("gone", "gone"),
            ("a", "b"),
            ("b", "a"),
        ],
    );
    assert_eq!(
        error.unwrap_err(),
        "the graph cannot be run: two nodes have the id \"a\"; \
         the edge \"a\" → \"gone\" needs \"gone\", which is no node; \
         the edge \"lost\" → \"gone\" needs \"lost\" and \"gone\", which is no node; \
         the edge \"gone\" → \"gone\" needs \"gone\", which is no node; \
         a cycle: \"b\" → \"a\" → \"b\""
    );
}

proptest! {
    /// Edges that only lead from lower to higher numbers have no cycle; any others are ordered, or a real cycle is named.
    #[test]
    fn any_graph_is_ordered_or_has_the_cycle_it_names(
        count in 1_usize..12,
        pairs in proptest::collection::vec((0_usize..12, 0_usize..12), 0..30),
        downhill in any::<bool>(),
    ) {
        let ids: Vec<String> = (0..count).map(|at| at.to_string()).collect();
        let edges: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(a, b)| (a % count, b % count))
            .filter(|(a, b)| !downhill || a < b)
            .map(|(a, b)| (ids[a].as_str(), ids[b].as_str()))
            .collect();
        match Graph::new(ids.iter().map(String::as_str), edges.iter().copied()) {
            Ok(graph) => {
                let order: Vec<&str> = graph.order().collect();
                prop_assert_eq!(order.len(), count);
                let place = |id: &str| order.iter().position(|other| *other == id);
                for (source, target) in &edges {
                    prop_assert!(place(source) < place(target));
                }
                let levels = graph.levels();
                let level = |id: &str| levels.iter().position(|level| level.contains(&id));
                for (source, target) in &edges {
                    prop_assert!(level(source) < level(target));
                }
            }
            Err(error) => {
                prop_assert!(!downhill);
                let [Problem::Cycle { nodes }] = error.problems.as_slice() else {
                    return Err(TestCaseError::fail(error.to_string()));
                };
                for (at, node) in nodes.iter().enumerate() {
                    let next = &nodes[(at + 1) % nodes.len()];
                    prop_assert!(edges.contains(&(node.as_str(), next.as_str())));
                }
            }
        }
    }
}
