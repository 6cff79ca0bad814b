//! The layers: which crate may know which, and that no module's imports go in a circle.

#![expect(clippy::unwrap_used, reason = "its helpers are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Each crate of `shared` with those that it may know, from the ground up.
const LAYERS: [(&str, &[&str]); 7] = [
    ("values", &[]),
    ("runtime", &["values"]),
    ("stores", &["values", "runtime"]),
    ("domain", &["values", "runtime", "stores"]),
    ("operations", &["values", "runtime", "stores"]),
    ("shared", &["values", "runtime", "stores", "domain"]),
    ("html", &["shared"]),
];

/// What only those who answer a request, or an invocation, may know.
const HTTP: [&str; 3] = ["aws_lambda_events", "http", "lambda_http"];

/// The project's folder: cargo runs a test in its package's.
fn root() -> PathBuf {
    env::current_dir().unwrap().parent().unwrap().to_owned()
}

/// The packages of this workspace with what each depends on outside of its tests.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Command::new(env::var("CARGO").unwrap())
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
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
    for layer in ["values", "stores", "domain"] {
        for http in HTTP {
            assert!(!packages[layer].contains(http), "{layer} knows {http}");
        }
    }
}

#[test]
fn a_function_knows_the_facade_and_only_a_deploy_knows_the_operations() {
    let layers: Vec<_> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    let functions = root().join("functions");
    let packages = packages();
    for function in fs::read_dir(functions).unwrap() {
        let name = function.unwrap().file_name().into_string().unwrap();
        for known in &packages[&name] {
            let may = match known.as_str() {
                "shared" => true,
                "operations" => name == "deploy",
                "html" => name == "pages",
                other => !layers.contains(&other) && !packages.contains_key(other),
            };
            assert!(may, "{name} knows {known}");
        }
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for (layer, _) in LAYERS {
        let folder = if layer == "shared" { "" } else { layer };
        check_siblings(&root().join("shared").join(folder).join("src"), "crate::");
    }
}

/// Checks the modules that stand in a folder, each with all below it, and then those of each module.
fn check_siblings(folder: &Path, path: &str) {
    let siblings: BTreeMap<_, _> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|module| {
            (
                module.file_stem().unwrap().to_str().unwrap().to_owned(),
                module,
            )
        })
        .filter(|(name, _)| !["lib", "mod"].contains(&name.as_str()))
        .collect();
    let mut left: BTreeMap<_, _> = siblings
        .iter()
        .map(|(name, module)| (name, imports(module, path)))
        .collect();
    // Takes away those that import none of the rest, until there are no more.
    while let Some(ground) = left
        .iter()
        .find(|(name, imports)| {
            !imports
                .iter()
                .any(|other| other != **name && left.contains_key(other))
        })
        .map(|(name, _)| *name)
    {
        left.remove(ground);
    }
    assert!(
        left.is_empty(),
        "a circle in {}: {left:?}",
        folder.display()
    );
    for (name, module) in siblings.iter().filter(|(_, module)| module.is_dir()) {
        check_siblings(module, &format!("{path}{name}::"));
    }
}

/// What a module imports by a path, or from its parent.
fn imports(module: &Path, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files(module) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let mut after: Vec<_> = code.split(path).skip(1).collect();
        if file == *module {
            after.extend(code.split("super::").skip(1));
        }
        found.extend(after.into_iter().flat_map(names));
    }
    found
}

/// The first names of `a::b…` or of `{a, b::{c, d}, e}…`.
fn names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start().chars();
        text.take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(list) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let deeper = |c| match c {
        '{' => 1,
        '}' => -1,
        _ => 0,
    };
    let mut depth = 0;
    let end = list.find(|c| {
        depth += deeper(c);
        depth < 0
    });
    let mut depth = 0;
    let parts = list[..end.unwrap_or(list.len())].split(|c| {
        depth += deeper(c);
        depth == 0 && c == ','
    });
    parts.map(name).collect()
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap().flatten();
    entries.flat_map(|entry| files(&entry.path())).collect()
}
