//! PostgreSQL's own benchmark, with our two statements: as fast as a client can be.

use std::fs;

use secrecy::ExposeSecret;
use tests::{secrets, setting};
use tokio::process::Command;
use uuid::Uuid;

use crate::steps::{Statements, TIME};

/// Bookings a second: reserve and confirm, by so many clients.
pub async fn race(statements: &Statements, events: &[String], clients: usize) -> f64 {
    let file = std::env::temp_dir().join(format!("admit-{}.pgbench", Uuid::now_v7().simple()));
    fs::write(&file, script(statements, events)).unwrap();
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
fn script(statements: &Statements, events: &[String]) -> String {
    let now = shared::time::now().timestamp();
    let id = "lpad(:id::text, 32, '0')::uuid";
    let events: Vec<_> = events.iter().map(|event| format!("'{event}'")).collect();
    let event = format!("(array[{}])[:event::int]", events.join(","));
    let reserve = statements
        .reserve
        .replace("$1", id)
        .replace("$2", "1")
        .replace("$3", &event)
        .replace("$4", "1")
        .replace("$5", "'user:1'")
        .replace("$6", "'POST /bookings'")
        .replace("$7", "null::text")
        .replace("$8", "null::text")
        .replace("$9", "60");
    let confirm = statements
        .confirm
        .replace("$1", id)
        .replace("$2", id)
        .replace("$3", "true");
    format!(
        "\\set event random(1, {})\n\
         \\set number :number + 1\n\
         \\set id {now} * 1000000000 + :number * 1000 + :client_id\n\
         {reserve};\n{confirm};\n",
        events.len()
    )
}
