//! The README's commands work as they are written.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use tests::stack::{folder, in_project};
use tests::{TestApp, eventually_within, setting};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The blocks of shell commands in the README's section of this title.
fn commands(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(in_project("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {section}\n")).unwrap();
    blocks(section.split("\n## ").next().unwrap())
}

/// The blocks of shell commands in a text.
fn blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect();
    assert!(!blocks.is_empty(), "{text}");
    blocks
}

/// The commands with this stack's port and folder in place of those of `make up`.
fn here(commands: &str, port: &str) -> String {
    let own = folder();
    let own = own.file_name().unwrap().to_str().unwrap();
    commands
        .replace("9000", port)
        .replace("target/stacks/local/", &format!("target/stacks/{own}/"))
        .replace("$PWD/target/tools", tools().to_str().unwrap())
}

fn tools() -> PathBuf {
    let tools = std::env::var_os("ADMIT_TOOLS");
    tools.map_or_else(|| in_project("target/tools"), PathBuf::from)
}

/// A shell as a reader has it, without what cargo tells tests of their package: with that, `cargo lambda watch` would
/// build a third of the dependencies anew, and so would the next `cargo test`.
fn bash(commands: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", commands])
        .current_dir(in_project(""))
        .kill_on_drop(true);
    for (name, _) in env::vars_os() {
        let of_cargo = name.to_str().is_some_and(|name| name.starts_with("CARGO"));
        if of_cargo && name != "CARGO_TARGET_DIR" && name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    command
}

#[tokio::test]
async fn each_command_of_calling_it_does_what_it_says() {
    let url = setting("ADMIT_API_URL");
    let port = url.rsplit(':').next().unwrap();
    // In one shell, as a reader has them.
    let all = commands("Calling it").join("\n");
    let (watching, once): (Vec<_>, Vec<_>) = all
        .lines()
        .partition(|line| line.starts_with("cargo lambda watch"));
    assert_eq!(watching.len(), 1, "{watching:?} is tried on its own");
    let done = bash(&here(&once.join("\n"), port)).output().await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{out}\n{err}");
    assert!(out.contains(r#""status":"CONFIRMED""#), "{out}");
    assert!(out.contains(r#""next_cursor":"#), "{out}");
    assert!(out.contains(r#""statusCode":200"#), "{out}");
}

#[tokio::test]
async fn the_first_event_is_sold_as_its_page_says() {
    let url = setting("ADMIT_API_URL");
    let port = url.rsplit(':').next().unwrap();
    let text = fs::read_to_string(in_project("docs/FIRST_EVENT.md")).unwrap();
    let all = here(&blocks(&text).join("\n"), port);
    let done = bash(&all).output().await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{out}\n{err}");
    for part in [
        r#""total":110.00"#,
        "/problems/payment-declined",
        "declined, as it should be",
        r#""status":"CONFIRMED""#,
        "197\n",
    ] {
        assert!(out.contains(part), "{part} in {out}\n{err}");
    }
}

/// Every `make` command that a document names is one that there is.
#[test]
fn the_make_commands_of_the_documents_exist() {
    let makefile = fs::read_to_string(in_project("Makefile")).unwrap();
    let documents = [
        "README.md",
        "RELIABILITY.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/FIRST_EVENT.md",
        "docs/RUNBOOK.md",
    ];
    for document in documents {
        let text = fs::read_to_string(in_project(document)).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("make "));
        let quoted = text.split("`make ").skip(1);
        for command in lines.chain(quoted) {
            let target: String = command
                .chars()
                .take_while(|character| character.is_ascii_lowercase() || *character == '-')
                .collect();
            if !target.is_empty() {
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{document}: make {target}"
                );
            }
        }
    }
}

/// `cargo lambda watch`, with what it has started.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id() {
            // Its children are cargo and the functions: they are in its process group.
            drop(
                std::process::Command::new("kill")
                    .args(["--", &format!("-{pid}")])
                    .status(),
            );
        }
    }
}

#[tokio::test]
async fn cargo_lambda_watch_serves_every_route_against_the_stores() {
    let app = TestApp::start().await;
    let all = commands("Calling it").join("\n");
    let line = all
        .lines()
        .find(|line| line.starts_with("cargo lambda watch"))
        .unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let path = all
        .lines()
        .find(|line| line.starts_with("export PATH="))
        .unwrap();
    let line = here(&format!("{path}\nexec {line}"), "9000").replace("9100", &free.to_string());
    let log = fs::File::create(folder().join("log/watch.log")).unwrap();
    let mut command = bash(&line);
    command
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0);
    let _watch = Watch(command.spawn().unwrap());
    let watched = app.at(format!("http://127.0.0.1:{free}"));
    eventually_within(120, "cargo lambda watch serves", async || {
        let listing = watched.request("GET", "/openapi.json");
        let answer = listing
            .timeout(Duration::from_secs(100))
            .send()
            .await
            .ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    // cargo starts a function when it is first asked. That may take longer than a booking here waits for its payment.
    let nothing = json!({"action": "settle", "payment_id": "pay_01a228ce5a2870b1b13d628c1af0d1e5"});
    let settled = watched.invoke("charge-payment", &nothing).await;
    assert_eq!(settled, Ok(json!({"status": null})));
    // The test's user, event and booking come into being through it, each by another function.
    let user = watched.user().await;
    let event = watched.event_with(5).await;
    let booking = watched.book(&user, &event, 2).await;
    assert_eq!(
        (booking.status, booking.text("status")),
        (201, "CONFIRMED".to_owned()),
        "{booking:?}"
    );
    let (id, payment) = (booking.text("booking_id"), booking.text("payment_id"));
    let paid = watched
        .post(&user, "/payments", json!({"user_id": user.id, "amount": 5}))
        .await;
    assert_eq!(paid.status, 201, "{paid:?}");
    watched.await_notification(&user, &id).await;
    for path in [
        "/events".to_owned(),
        format!("/events/{event}"),
        "/bookings".to_owned(),
        format!("/bookings/{id}"),
        format!("/payments/{payment}"),
        "/notifications".to_owned(),
        "/docs".to_owned(),
        "/docs/swagger-ui.css".to_owned(),
    ] {
        let answer = watched
            .request("GET", &path)
            .bearer_auth(&user.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "GET {path}");
        let answer = watched
            .request("HEAD", &path)
            .bearer_auth(&user.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "HEAD {path}");
    }
    assert_eq!(
        watched.cancel(&user, &id).await.body["status"],
        Value::from("CANCELLED")
    );
    assert_eq!(watched.available(&event).await, 5);
}
