//! The damped random walk of `PageRank` over an undirected weighted graph.

/// Holds the edges of each vertex as pairs of neighbor and weight.
pub(super) type Graph = Vec<Vec<(usize, f64)>>;

/// Ranks the vertices by power iteration: `S(i) = (1 − d)/n + d · Σ w(j,i) / Σ w(j,·) · S(j)`.
pub(super) fn rank(graph: &Graph) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a graph has far fewer than 2^52 vertices")]
    let share = 1.0 / graph.len().max(1) as f64;
    let totals: Vec<f64> = graph.iter().map(|edges| edges.iter().map(|(_, weight)| weight).sum()).collect();
    let mut scores = vec![share; graph.len()];
    for _ in 0..MAX_ROUNDS {
        let flows: Vec<f64> =
            scores.iter().zip(&totals).map(|(score, total)| if *total > 0.0 { score / total } else { 0.0 }).collect();
        let mut change = 0.0;
        for (edges, score) in graph.iter().zip(&mut scores) {
            let inflow: f64 =
                edges.iter().filter_map(|(from, weight)| flows.get(*from).map(|flow| flow * weight)).sum();
            let next = (1.0 - DAMPING) * share + DAMPING * inflow;
            change += (next - *score).abs();
            *score = next;
        }
        if change < TOLERANCE {
            break;
        }
    }
    scores
}

const DAMPING: f64 = 0.85;
const TOLERANCE: f64 = 1e-6;
const MAX_ROUNDS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_of_a_star_outranks_its_leaves_by_the_closed_form() {
        // For a star of four leaves, S(hub) = (0.15 + 0.85·4·0.15) / (5·(1 − 0.85²)).
        let graph: Graph = vec![
            vec![(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0)],
            vec![(0, 1.0)],
            vec![(0, 1.0)],
            vec![(0, 1.0)],
            vec![(0, 1.0)],
        ];
        let scores = rank(&graph);
        let expected = (0.15 + 0.85 * 4.0 * 0.15) / (5.0 * (1.0 - 0.85 * 0.85));
        assert!((scores[0] - expected).abs() < 1e-4, "{scores:?}");
        assert!(scores[1] < scores[0]);
    }

    #[test]
    fn an_empty_graph_and_lone_vertices_are_harmless() {
        assert!(rank(&Vec::new()).is_empty());
        let scores = rank(&vec![Vec::new(); 3]);
        assert!(scores.iter().all(|score| (score - scores[0]).abs() < 1e-12));
    }
}
