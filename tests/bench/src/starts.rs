//! Starts: from exec to the first call of the Runtime API, beside a function that does nothing.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::Value;
use shared::functions;
use tests::setting;

use crate::figures::{self, Figure, row};

const RUNS: usize = 300;

#[derive(Debug, Default)]
struct Started {
    milliseconds: Figure,
    megabytes: Figure,
}

/// Starts each function and the reference once a round.
pub fn measure() {
    let folder = PathBuf::from(setting("ADMIT_PROGRAMS"));
    let settings = fs::read(setting("ADMIT_FUNCTIONS")).unwrap();
    let settings: Value = serde_json::from_slice(&settings).unwrap();
    let mut names: Vec<_> = functions::ALL
        .iter()
        .map(|function| function.name)
        .collect();
    names.insert(0, "hello");
    let mut all = BTreeMap::<&str, Started>::new();
    let runs = env::var("ADMIT_BENCH_RUNS")
        .ok()
        .and_then(|text| text.parse().ok());
    for _ in 0..runs.unwrap_or(RUNS) {
        for name in &names {
            let (took, memory) = start(&folder.join(name), &settings[resource(name)]);
            let started = all.entry(name).or_default();
            started.milliseconds.add(took);
            started.megabytes.add(memory);
        }
    }
    let mut text =
        "| function | start p50, ms | p95, ms | resident, MB | zipped, MB |\n".to_owned();
    text += "| --- | ---: | ---: | ---: | ---: |\n";
    for name in names {
        let Started {
            milliseconds,
            megabytes,
        } = &all[name];
        text += &row(&[
            if name == "hello" {
                "bare function".to_owned()
            } else {
                format!("`{name}`")
            },
            format!("{:.1}", milliseconds.median()),
            format!("{:.1}", milliseconds.at(0.95)),
            format!("{:.1}", megabytes.median()),
            format!("{:.1}", zipped(&folder.join(name))),
        ]);
    }
    figures::write("starts", &text).unwrap();
}

/// Milliseconds to the first call of the Runtime API, and megabytes that are resident then.
fn start(program: &Path, settings: &Value) -> (f64, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let variables = settings.as_object().into_iter().flatten();
    let variables = variables.map(|(name, value)| (name, value.as_str().unwrap()));
    let mut command = Command::new(program);
    command
        .envs(variables)
        .env(
            "AWS_LAMBDA_RUNTIME_API",
            listener.local_addr().unwrap().to_string(),
        )
        .env("AWS_LAMBDA_FUNCTION_NAME", program.file_name().unwrap())
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = [0; 64];
    let read = stream.read(&mut asked).unwrap();
    let took = began.elapsed();
    let asked = String::from_utf8_lossy(&asked[..read]);
    assert!(
        asked.contains("/invocation/next"),
        "{program:?} asked {asked}"
    );
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let resident: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    (took.as_secs_f64() * 1e3, resident * 1024.0 / 1e6)
}

fn zipped(program: &Path) -> f64 {
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
    zip.write_all(&fs::read(program).unwrap()).unwrap();
    zip.finish().unwrap().len() as f64 / 1e6
}

/// The name of a function in the template: `get-event` is `GetEvent`.
fn resource(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}
