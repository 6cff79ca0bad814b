//! The layers: which crate may know which, and that no module's imports go in a circle.

#![expect(clippy::unwrap_used, reason = "its helpers are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Each crate of `shared` with those that it may know, from the ground up.
const LAYERS: [(&str, &[&str]); 6] = [
    ("values", &[]),
    ("runtime", &["values"]),
    ("stores", &["values", "runtime"]),
    ("domain", &["values", "runtime", "stores"]),
    ("operations", &["values", "runtime", "stores"]),
    ("shared", &["values", "runtime", "stores", "domain"]),
];

/// What only those who answer a request, or an invocation, may know.
const HTTP: [&str; 3] = ["aws_lambda_events", "http", "lambda_http"];

/// The packages of this workspace with what each depends on outside of its tests.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let depends_on = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let built = dependencies.filter(|dependency| dependency["kind"].is_null());
        built.map(|dependency| text(&dependency["name"])).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (text(&package["name"]), depends_on(package)))
        .collect()
}

#[test]
fn each_layer_knows_only_those_below_it() {
    let packages = packages();
    for (layer, below) in LAYERS {
        let known = packages[layer]
            .iter()
            .filter(|name| packages.contains_key(*name));
        for name in known {
            assert!(below.contains(&name.as_str()), "{layer} knows {name}");
        }
    }
    for layer in ["values", "stores", "domain", "operations"] {
        for http in HTTP {
            assert!(!packages[layer].contains(http), "{layer} knows {http}");
        }
    }
}

#[test]
fn a_function_knows_the_facade_and_only_a_deploy_knows_the_operations() {
    let layers: Vec<_> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let packages = packages();
    for function in fs::read_dir(functions).unwrap() {
        let name = function.unwrap().file_name().into_string().unwrap();
        for known in &packages[&name] {
            let may = match known.as_str() {
                "shared" => true,
                "operations" => name == "deploy",
                other => !layers.contains(&other) && !packages.contains_key(other),
            };
            assert!(may, "{name} knows {known}");
        }
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for (layer, _) in LAYERS {
        let folder = if layer == "shared" { "." } else { layer };
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(folder)
            .join("src");
        let mut left = modules(&source);
        // Takes away those that import none of the rest, until there are no more.
        while let Some(ground) = left
            .iter()
            .find(|(_, imports)| !imports.iter().any(|name| left.contains_key(name)))
            .map(|(name, _)| name.clone())
        {
            left.remove(&ground);
        }
        assert!(left.is_empty(), "a circle in {layer}: {left:?}");
    }
}

/// The modules of a crate, each with those that it imports.
fn modules(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut modules = BTreeMap::new();
    for entry in fs::read_dir(source).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "lib" {
            continue;
        }
        let mut imports = BTreeSet::new();
        for file in files(&path) {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for rest in code.split("crate::").skip(1) {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                imports.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
        imports.remove(&name);
        modules.insert(name, imports);
    }
    modules
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().flatten();
    entries.flat_map(|entry| files(&entry.path())).collect()
}
