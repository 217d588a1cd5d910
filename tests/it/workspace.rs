//! The invariants of the workspace. Each has a positive control: a check that cannot fail holds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::support;

type Graph = BTreeMap<String, BTreeSet<String>>;

const FLOOR_1: [&str; 6] = [
    "bedplate-cache",
    "bedplate-recovery",
    "bedplate-observability",
    "bedplate-collaboration",
    "bedplate-media",
    "bedplate-storage",
];
const FLOOR_2: [&str; 4] = ["bedplate-tasks", "bedplate-health", "bedplate-github", "bedplate-models"];
/// What a library with its default features must not pull in.
const HEAVY: [&str; 7] = ["axum", "hyper", "reqwest", "sqlx", "redis", "tonic", "opentelemetry"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// The libraries of the workspace, each with the siblings it depends on in its normal build.
fn graph() -> Graph {
    metadata()
        .packages
        .iter()
        .filter(|package| package.publish.is_none())
        .map(|package| {
            let siblings = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal && dependency.path.is_some());
            (package.name.to_string(), siblings.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

/// Every edge that the floors forbid.
fn forbidden_edges(graph: &Graph) -> Vec<String> {
    let allowed = |from: &str, to: &str| match from {
        "bedplate" => true,
        "bedplate-cache" => to == "bedplate-cache-macros",
        "bedplate-observability" => to == "bedplate-observability-macros",
        from if FLOOR_2.contains(&from) => ["bedplate-recovery", "bedplate-cache"].contains(&to),
        _ => false,
    };
    let edges = graph.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    edges.filter(|(from, to)| !allowed(from, to)).map(|(from, to)| format!("{from} -> {to}")).collect()
}

#[test]
fn the_crate_graph_is_as_drawn() {
    let graph = graph();
    let known: BTreeSet<&str> = FLOOR_1
        .iter()
        .chain(&FLOOR_2)
        .chain(&["bedplate", "bedplate-cache-macros", "bedplate-observability-macros"])
        .copied()
        .collect();
    assert_eq!(graph.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    assert_eq!(forbidden_edges(&graph), [""; 0]);
    assert!(graph["bedplate"].contains("bedplate-cache"), "the graph has edges at all");

    let mut planted = graph;
    planted.get_mut("bedplate-cache").unwrap().insert("bedplate-media".to_owned());
    assert_eq!(forbidden_edges(&planted), ["bedplate-cache -> bedplate-media"]);
}

/// The packages in the normal build of a library.
fn tree(package: &str, features: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(root())
        .args(["tree", "--locked", "-e", "normal", "--prefix", "none", "--format", "{lib}", "-p"]);
    let output = command.arg(package).args(features).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn default_features_pull_in_nothing_heavy() {
    for library in FLOOR_1.iter().chain(&FLOOR_2).chain(&["bedplate"]) {
        let tree = tree(library, &[]);
        let heavy: Vec<&&str> = HEAVY.iter().filter(|heavy| tree.contains(**heavy)).collect();
        assert!(heavy.is_empty(), "{library} pulls in {heavy:?}");
        assert!(tree.contains("serde"), "{library}: the tree is read at all");
    }
    let full = tree("bedplate", &["--features", "full"]);
    for heavy in ["axum", "reqwest", "sqlx"] {
        assert!(full.contains(heavy), "the control finds {heavy} where it is");
    }
}

#[test]
fn each_library_builds_alone_and_with_each_single_feature() {
    if std::env::var_os("BEDPLATE_FULL").is_none() {
        support::skipped("set BEDPLATE_FULL=1 to build each library alone and with each single feature");
        return;
    }
    let mut built = 0;
    for package in metadata().packages.iter().filter(|package| package.publish.is_none()) {
        let features = package.features.keys().filter(|feature| *feature != "default").map(Some);
        for feature in features.chain([None]) {
            let mut command = Command::new(env!("CARGO"));
            command.current_dir(root()).args(["check", "--locked", "-q", "--no-default-features", "-p", &package.name]);
            if let Some(feature) = feature {
                command.args(["--features", feature]);
            }
            let output = command.env("RUSTFLAGS", "-D warnings").output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} with {feature:?} does not build:\n{errors}", package.name);
            built += 1;
        }
    }
    assert!(built > 12, "only {built} builds were made");
}

/// The Rust sources below a folder with their lines before the inline tests.
fn sources(folder: &Path) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !["tests", "target", "data"].iter().any(|name| path.ends_with(name)) {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()));
        }
    }
    found
}

fn too_long(sources: &[(PathBuf, usize)], limit: usize) -> Vec<&PathBuf> {
    sources.iter().filter(|(_, lines)| *lines > limit).map(|(path, _)| path).collect()
}

#[test]
fn no_source_file_is_longer_than_600_lines_and_the_facade_is_thin() {
    let sources_of = |folder: &str| sources(&root().join(folder));
    let all: Vec<(PathBuf, usize)> = ["crates", "examples", "benches"].iter().flat_map(|one| sources_of(one)).collect();
    assert!(all.len() > 100, "only {} sources were found", all.len());
    assert!(too_long(&all, 600).is_empty(), "{:?}", too_long(&all, 600));
    assert!(!too_long(&all, 100).is_empty(), "the control finds files of over 100 lines");

    let facade: usize = sources_of("crates/unified/src").iter().map(|(path, _)| code_lines(path)).sum();
    assert!((500..=2_500).contains(&facade), "the facade has {facade} lines of code");
}

/// The lines of a source that are neither blank nor comments: documentation does not make a facade thick.
fn code_lines(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).map(str::trim);
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// The files below a folder that people write: test data and what is built are left out.
fn written(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !["data", "node_modules", "target"].iter().any(|name| path.ends_with(name)) {
                found.extend(written(&path));
            }
        } else if is_written(&path) {
            found.push(path);
        }
    }
    found
}

/// A file without an extension is a script, as `.ci/run` is, or a license.
fn is_written(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    extension.is_none_or(|extension| ["rs", "md", "sh", "yml", "yaml", "toml"].contains(&&*extension))
}

#[test]
fn the_repository_names_no_machine() {
    let forbidden = ["/home/", "/root/", "/tmp/"];
    let folders = ["crates", "examples", "benches", "tests", "docs", "scripts", ".ci", ".github"];
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| written(&root().join(folder))).collect();
    let of_the_root = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    files.extend(of_the_root.filter(|path| path.is_file() && path.extension().is_some() && is_written(path)));
    // This file names what is forbidden.
    files.retain(|path| !path.ends_with("tests/it/workspace.rs"));
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let named: Vec<&&str> = forbidden.iter().filter(|place| text.contains(**place)).collect();
        assert!(named.is_empty(), "{} names {named:?}", path.display());
    }
    assert!(files.len() > 300, "only {} files were looked at", files.len());
    for kind in [".ci/run", "scripts/services.sh", "README.md", "Cargo.toml", "docs/src/modes.md", "tests/it/main.rs"] {
        assert!(files.contains(&root().join(kind)), "{kind} was not looked at");
    }
    assert!(files.iter().any(|path| path.extension().is_some_and(|extension| extension == "yml")), "no workflow");
}
