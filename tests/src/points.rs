//! The fault points, as the code has them.

use std::fs;
use std::path::PathBuf;

use crate::stack::in_project;

/// The code that runs in functions and event sources, without its tests: each file with its text.
pub fn code() -> Vec<(PathBuf, String)> {
    let mut code = Vec::new();
    let mut folders = ["shared", "infra/event-sources/src", "functions"]
        .map(in_project)
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("testing.rs")
            {
                let text = fs::read_to_string(&path).unwrap();
                let tests = text.find("#[cfg(test)]\nmod tests {");
                code.push((path, text[..tests.unwrap_or(text.len())].to_owned()));
            }
        }
    }
    code
}

/// The names of all points, one for each place that has one.
pub fn points() -> Vec<String> {
    let mut points = Vec::new();
    for (_, text) in code() {
        let places = text.split("FailPoint(\"").skip(1);
        points.extend(places.filter_map(|rest| Some(rest.split_once("\")")?.0.to_owned())));
    }
    points.sort();
    points
}
