//! The places that name every route agree: the API's table, its description, the local routes,
//! the functions' folder and the template.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use shared::functions;
use shared::http::Route;
use shared::http::routes::{ALL, PAGES};
use tests::inbox::Inbox;
use tests::stack::{folder, in_project};
use tests::{Answer, TestApp, User, setting};
use tokio::process::Command;

fn read(path: &str) -> String {
    fs::read_to_string(in_project(path)).unwrap()
}

#[tokio::test]
async fn the_description_has_every_route_and_no_other() {
    let app = TestApp::start().await;
    let document = app.openapi();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let served: BTreeSet<_> = ALL
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(described, served);
    assert_references_resolve(document, document);
}

fn assert_references_resolve(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            }
            fields
                .values()
                .for_each(|field| assert_references_resolve(document, field));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| assert_references_resolve(document, item)),
        _ => {}
    }
}

#[tokio::test]
async fn the_docs_page_and_its_assets_are_ours() {
    let app = TestApp::start().await;
    let page = app.send(app.request("GET", "/docs")).await;
    let html = page.body.as_str().unwrap();
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "no asset is fetched from anybody else"
    );
    for part in html.split('"').filter(|part| part.starts_with("docs/")) {
        let path = format!("/{part}");
        assert_eq!(
            app.send(app.request("GET", &path)).await.status,
            200,
            "{part}"
        );
    }
    let initializer = app.request("GET", "/docs/swagger-initializer.js");
    let initializer = app.send(initializer).await;
    let script = initializer.body.as_str().unwrap();
    assert!(
        !script.contains("http://") && !script.contains("https://"),
        "{script}"
    );
    // Else Swagger UI sends the description's address to its makers, under any host name but localhost.
    assert!(script.contains(r#""validatorUrl": "none""#), "{script}");
}

#[test]
fn the_local_routes_are_the_apis() {
    let manifest = read("Cargo.toml");
    let router = manifest
        .split("[workspace.metadata.lambda.watch.router]")
        .nth(1)
        .unwrap();
    let router: Vec<_> = router
        .lines()
        .take_while(|line| !line.starts_with('['))
        .collect();
    for (route, method) in routes() {
        let target = format!(
            "{{ function = \"{}\", method = \"{method}\" }}",
            route.function
        );
        let listed = router
            .iter()
            .any(|line| line.starts_with(&format!("\"{}\"", route.path)) && line.contains(&target));
        assert!(listed, "{method} {}", route.path);
    }
    let listed: usize = router
        .iter()
        .map(|line| line.matches("function =").count())
        .sum();
    assert_eq!(listed, routes().count());
}

/// Every route with each method that it is asked by.
fn routes() -> impl Iterator<Item = (&'static Route, &'static str)> {
    let routes = ALL.iter().chain(PAGES).copied();
    routes.flat_map(|route| route.methods().iter().map(move |method| (route, *method)))
}

/// The templates of all areas, one behind the other.
fn templates_of_areas() -> String {
    let files = fs::read_dir(in_project("infra/areas")).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

/// What the templates say of one function.
fn part_of<'a>(template: &'a str, function: &str) -> &'a str {
    let begins = format!("Binary: {function}\n");
    let part = template.split(&begins).nth(1).unwrap();
    part.split("\n    Type: AWS::").next().unwrap()
}

/// The binaries of all functions: one file each.
fn binaries() -> BTreeSet<String> {
    let areas = fs::read_dir(in_project("functions")).unwrap();
    let files = areas.flat_map(|area| fs::read_dir(area.unwrap().path().join("src/bin")).unwrap());
    files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_owned())
        .map(|name| name.into_string().unwrap())
        .collect()
}

#[test]
fn the_templates_have_every_function_and_every_route() {
    let template = templates_of_areas();
    let functions = binaries();
    for function in &functions {
        assert!(
            template.contains(&format!("Binary: {function}\n")),
            "{function} is in no template"
        );
    }
    assert_eq!(
        template.matches("Type: AWS::Serverless::Function").count(),
        functions.len()
    );
    for function in functions::ALL {
        // A function without a timeout of its own has that of all.
        let own = part_of(&template, function.name);
        let seconds = |text: &str| {
            let text = text.split("Timeout: ").nth(1)?;
            text.lines().next()?.trim().parse::<u64>().ok()
        };
        let timeout = seconds(own).or_else(|| seconds(&template)).unwrap();
        assert_eq!(
            function.timeout.as_secs(),
            timeout,
            "the timeout of {}",
            function.name
        );
    }
    let known: BTreeSet<_> = functions::ALL
        .iter()
        .map(|function| function.name.to_owned())
        .collect();
    assert_eq!(known, functions);
    for (route, method) in routes() {
        let words = route.function.split('-');
        let resource: String = words
            .map(|word| word[..1].to_uppercase() + &word[1..])
            .collect();
        let made = format!(
            "RouteKey: {method} {}\n      Target: !Sub \"integrations/${{{resource}Integration}}\"",
            route.path
        );
        assert!(template.contains(&made), "{made} is in no template");
    }
    assert_eq!(
        template.matches("Type: AWS::ApiGatewayV2::Route").count(),
        routes().count()
    );
}

/// A sample event with what it can't know in it: who asks, and for what.
fn realistic(sample: &str, user: &User, booking: &Answer, inbox: &Inbox) -> Value {
    let text = read(&format!("events/{sample}.json"))
        .replace("Bearer TOKEN", &format!("Bearer {}", user.token))
        .replace(
            "\\\"user_id\\\": 1",
            &format!("\\\"user_id\\\": {}", user.id),
        )
        .replace(
            "bk_01a205dacee771e7b946b9382a1b206c",
            &booking.text("booking_id"),
        )
        .replace(
            "pay_01a205dacee771e7b946b9382a1b206c",
            &booking.text("payment_id"),
        );
    let mut event: Value = serde_json::from_str(&text).unwrap();
    if event.get("ResponseURL").is_some() {
        event["ResponseURL"] = inbox.event("Create")["ResponseURL"].clone();
    }
    event
}

/// Invokes a function as a developer does, with `cargo lambda invoke`.
async fn cargo_lambda_invoke(function: &str, event: &Value) -> Value {
    let file = folder().join(format!("{function}.event.json"));
    fs::write(&file, event.to_string()).unwrap();
    let url = setting("ADMIT_API_URL");
    let port = url.rsplit(':').next().unwrap();
    let invoked = Command::new(setting("ADMIT_CARGO_LAMBDA"))
        .args([
            "lambda",
            "invoke",
            "--invoke-address",
            "127.0.0.1",
            "--invoke-port",
            port,
        ])
        .arg("--data-file")
        .arg(&file)
        .arg(function)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&invoked.stderr);
    assert!(invoked.status.success(), "{function}: {said}");
    serde_json::from_slice(&invoked.stdout).unwrap()
}

#[tokio::test]
async fn every_trigger_has_a_sample_event_and_every_sample_is_taken() {
    let (app, inbox) = (TestApp::start().await, Inbox::open().await);
    let user = app.user().await;
    let booking = app.book(&user, &app.event_with(10).await, 1).await;
    let names: Vec<_> = fs::read_dir(in_project("events"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .replace(".json", "")
        })
        .collect();
    for function in binaries() {
        let mut samples = names
            .iter()
            .filter(|name| name.split('.').next() == Some(&function))
            .peekable();
        // API requests are all alike and need no sample. Every other trigger has its own kind of event.
        let mut routed = ALL.iter().chain(PAGES);
        let on_the_api = routed.any(|route| route.function == function);
        let there = on_the_api || samples.peek().is_some();
        assert!(there, "{function} has no sample event");
        for sample in samples {
            let event = realistic(sample, &user, &booking, &inbox);
            let answer = cargo_lambda_invoke(&function, &event).await;
            let status = answer["statusCode"].as_u64().unwrap_or(200);
            // Of a second run, the user is there.
            let there = sample == "register-user" && status == 409;
            assert!((200..300).contains(&status) || there, "{sample}: {answer}");
        }
    }
}
