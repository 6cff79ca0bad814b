//! The places that name every route agree: the API's table, its description, the local routes,
//! the functions' folder and the template.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use shared::functions;
use shared::http::routes::ALL;
use tests::TestApp;
use tests::inbox::Inbox;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
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
    for part in html.split('"').filter(|part| part.starts_with("/docs/")) {
        assert_eq!(
            app.send(app.request("GET", part)).await.status,
            200,
            "{part}"
        );
    }
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
    for route in ALL {
        let target = format!(
            "{{ function = \"{}\", method = \"{}\" }}",
            route.function, route.method
        );
        let listed = router
            .iter()
            .any(|line| line.starts_with(&format!("\"{}\"", route.path)) && line.contains(&target));
        assert!(listed, "{} {}", route.method, route.path);
    }
    let listed: usize = router
        .iter()
        .map(|line| line.matches("function =").count())
        .sum();
    assert_eq!(listed, ALL.len());
}

#[test]
fn the_template_has_every_function_and_every_route() {
    let template = read("template.yaml");
    let functions: BTreeSet<_> = fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for function in &functions {
        assert!(
            template.contains(&format!("Binary: {function}\n")),
            "{function} is not in the template"
        );
    }
    assert_eq!(
        template.matches("Type: AWS::Serverless::Function").count(),
        functions.len()
    );
    for function in functions::ALL {
        // A function without a timeout of its own has that of all.
        let own = template
            .split(&format!("Binary: {}\n", function.name))
            .nth(1)
            .unwrap();
        let own = own.split("Type: AWS::").next().unwrap();
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
    for route in ALL {
        assert!(functions.contains(route.function), "{}", route.function);
        let event = format!("Path: \"{}\", Method: {} }}", route.path, route.method);
        assert!(template.contains(&event), "{event} is not in the template");
    }
}

#[tokio::test]
async fn every_trigger_has_a_sample_event_that_its_function_takes() {
    let (app, inbox) = (TestApp::start().await, Inbox::open().await);
    let names: Vec<_> = fs::read_dir(root().join("events"))
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
    for entry in fs::read_dir(root().join("functions")).unwrap() {
        let function = entry.unwrap().file_name().into_string().unwrap();
        let mut samples = names
            .iter()
            .filter(|name| name.starts_with(&function))
            .peekable();
        assert!(samples.peek().is_some(), "{function} has no sample event");
        for sample in samples {
            let mut event: Value =
                serde_json::from_str(&read(&format!("events/{sample}.json"))).unwrap();
            if event.get("ResponseURL").is_some() {
                event["ResponseURL"] = inbox.event("Create")["ResponseURL"].clone();
            }
            let answer = app.invoke(&function, &event).await.unwrap();
            // Without a real token those that need one answer 401: they have read the event.
            let status = answer["statusCode"].as_u64().unwrap_or(200);
            assert!(status < 500 && status != 400, "{sample}: {answer}");
        }
    }
}
