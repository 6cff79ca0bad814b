//! PostgreSQL's own benchmark, with our statements: as fast as a client can be.

use std::fs;

use secrecy::ExposeSecret;
use tests::{secrets, setting};
use tokio::process::Command;
use uuid::Uuid;

use crate::steps::{Statements, TIME, Target, Work};

/// Bookings a second: reserve and confirm, and for a hold what comes between, by so many clients.
pub async fn race(statements: &Statements, targets: &[Target], work: Work, clients: usize) -> f64 {
    let file = std::env::temp_dir().join(format!("admit-{}.pgbench", Uuid::now_v7().simple()));
    fs::write(&file, script(statements, targets, work)).unwrap();
    let office = secrets::account("office").await;
    let mut command = Command::new(setting("ADMIT_PGBENCH"));
    command
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--jobs=2",
            "--define=number=0",
        ])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={}", TIME.as_secs()))
        .arg("--file")
        .arg(&file)
        .arg("booking_db")
        .env("PGHOST", &office.host)
        .env("PGPORT", office.port.to_string())
        .env("PGUSER", &office.username)
        .env("PGPASSWORD", office.password.expose_secret())
        .env("PGSSLMODE", "require");
    let done = command.output().await.unwrap();
    fs::remove_file(&file).unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let complained = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}{complained}");
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rest| rest.split_whitespace().next());
    rate.and_then(|rate| rate.parse().ok())
        .unwrap_or_else(|| panic!("{said}{complained}"))
}

/// A booking: its id grows, as ours do.
fn script(statements: &Statements, targets: &[Target], work: Work) -> String {
    let now = shared::time::now().timestamp();
    let id = "lpad(:id::text, 32, '0')::uuid";
    let one_of = |texts: Vec<String>| format!("(array[{}])[:target::int]", texts.join(","));
    let events = targets.iter().map(|target| format!("'{}'", target.event));
    let event = one_of(events.collect());
    let kinds = targets.iter().map(|target| {
        let kind = target.kind.map(|kind| format!("'{}'::uuid", kind.uuid()));
        kind.unwrap_or_else(|| "null::uuid".to_owned())
    });
    let kind = format!("array[{}]", one_of(kinds.collect()));
    let hold = if work == Work::Hold { "true" } else { "false" };
    let (user, caller) = ("(:client_id + 1)::bigint", "'user:' || :client_id + 1");
    let text = "null::text";
    let reserve = fill(
        &statements.reserve,
        &[
            id,
            user,
            &event,
            &kind,
            "array[1]",
            caller,
            "'POST /bookings'",
            text,
            text,
            "60",
            hold,
            text,
            "null::bigint",
            text,
            text,
        ],
    );
    let begin = fill(
        &statements.begin,
        &[
            id,
            user,
            id,
            "5",
            "25",
            "600",
            caller,
            "'POST /pay'",
            text,
            text,
        ],
    );
    let begin = if work == Work::Hold {
        format!("{begin};\n")
    } else {
        String::new()
    };
    let confirm = fill(&statements.confirm, &[id, id, "true"]);
    format!(
        "\\set target random(1, {})\n\
         \\set number :number + 1\n\
         \\set id {now} * 1000000000 + :number * 1000 + :client_id\n\
         {reserve};\n{begin}{confirm};\n",
        targets.len()
    )
}

/// A statement with values for its parameters.
fn fill(statement: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(statement.to_owned(), |text, (number, value)| {
        text.replace(&format!("${}", number + 1), value)
    })
}
