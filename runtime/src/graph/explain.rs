//! The job graph in words and pictures: text, Mermaid and DOT.

use super::{Graph, NodeId, NodeKind};
use crate::dead_letter::ErrorPolicy;
use std::fmt::Write;

/// How a graph is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Lines of text.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
}

impl Graph {
    /// Explains the graph and its compiled form: which steps are chained, where records change
    /// workers.
    pub fn explain(&self, format: ExplainFormat, chaining: bool) -> String {
        match format {
            ExplainFormat::Text => self.explain_text(chaining),
            ExplainFormat::Mermaid => self.explain_mermaid(chaining),
            ExplainFormat::Dot => self.explain_dot(chaining),
        }
    }

    fn explain_text(&self, chaining: bool) -> String {
        let mut text = format!("job \"{}\"\n", self.name);
        let uids = self.uids().unwrap_or_default();
        for (id, node) in self.nodes.iter().enumerate() {
            let uid = uids.get(id).map_or("?", String::as_str);
            let _ = write!(text, "  {id:>2}  {:<9} {}", kind_word(node.kind), node.name);
            if uid != node.name {
                let _ = write!(text, " [uid {uid}]");
            }
            if !node.details.is_empty() {
                let _ = write!(text, ": {}", node.details);
            }
            if node.error_policy != ErrorPolicy::Fail {
                let _ = write!(text, " (on error: {})", node.error_policy);
            }
            text.push('\n');
            for input in &node.inputs {
                let port = &self.nodes[input.from.node].ports[input.from.port];
                let _ = writeln!(
                    text,
                    "        <- {} {}{} ({})",
                    input.from.node,
                    self.nodes[input.from.node].name,
                    if port.name == "out" {
                        String::new()
                    } else {
                        format!(".{}", port.name)
                    },
                    input.exchange.word()
                );
            }
        }
        text.push_str("compiled\n");
        for (host, members) in self.compiled(chaining) {
            let names: Vec<&str> = members
                .iter()
                .map(|m| self.nodes[*m].name.as_str())
                .collect();
            let _ = write!(text, "  {}", names.join(" -> "));
            let inputs: Vec<String> = self.nodes[host]
                .inputs
                .iter()
                .map(|i| {
                    format!(
                        "{} from {}",
                        i.exchange.word(),
                        self.nodes[i.from.node].name
                    )
                })
                .collect();
            if !inputs.is_empty() {
                let _ = write!(text, "   [{}]", inputs.join(", "));
            }
            text.push('\n');
        }
        text
    }

    /// The operators that run: each with the nodes chained into it.
    fn compiled(&self, chaining: bool) -> Vec<(NodeId, Vec<NodeId>)> {
        let hosts = self.chains(chaining);
        let mut compiled: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
        for (id, host) in hosts.iter().enumerate() {
            match compiled.iter_mut().find(|(h, _)| h == host) {
                Some((_, members)) => members.push(id),
                None => compiled.push((*host, vec![id])),
            }
        }
        compiled
    }

    fn explain_mermaid(&self, chaining: bool) -> String {
        let mut text = String::from("flowchart LR\n");
        for (host, members) in self.compiled(chaining) {
            if members.len() > 1 {
                let _ = writeln!(text, "  subgraph chain{host} [\" \"]");
            }
            for id in &members {
                let node = &self.nodes[*id];
                let (open, close) = match node.kind {
                    NodeKind::Source => ("([", "])"),
                    NodeKind::Sink => ("[/", "/]"),
                    NodeKind::Step => ("(", ")"),
                    NodeKind::Operator => ("[", "]"),
                };
                let _ = writeln!(text, "    n{id}{open}\"{}\"{close}", escape(&node.name));
            }
            if members.len() > 1 {
                text.push_str("  end\n");
            }
        }
        for (id, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                let _ = writeln!(
                    text,
                    "  n{} -->|{}| n{id}",
                    input.from.node,
                    input.exchange.word()
                );
            }
        }
        text
    }

    fn explain_dot(&self, chaining: bool) -> String {
        let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n", escape(&self.name));
        for (host, members) in self.compiled(chaining) {
            let _ = writeln!(text, "  subgraph cluster_{host} {{");
            for id in members {
                let node = &self.nodes[id];
                let shape = match node.kind {
                    NodeKind::Source | NodeKind::Sink => "cds",
                    NodeKind::Step => "ellipse",
                    NodeKind::Operator => "box",
                };
                let _ = writeln!(
                    text,
                    "    n{id} [label=\"{}\", shape={shape}];",
                    escape(&node.name)
                );
            }
            text.push_str("  }\n");
        }
        for (id, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                let _ = writeln!(
                    text,
                    "  n{} -> n{id} [label=\"{}\"];",
                    input.from.node,
                    input.exchange.word()
                );
            }
        }
        text.push_str("}\n");
        text
    }
}

fn kind_word(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Source => "source",
        NodeKind::Step => "step",
        NodeKind::Operator => "operator",
        NodeKind::Sink => "sink",
    }
}

fn escape(text: &str) -> String {
    text.replace('"', "'")
}
