//! The running stack's parts: stopped, started, told to hurry, and made to fail.

use std::path::{Path, PathBuf};
use std::{env, fs};

use shared::faults::Fault;
use tokio::process::Command;

use crate::eventually;

/// A path in the project: where it is now, which need not be where the tests were built.
pub fn in_project(path: &str) -> PathBuf {
    let package = env::var("CARGO_MANIFEST_DIR").unwrap();
    let mut above = Path::new(&package).ancestors();
    let root = above.find(|folder| folder.join("functions.toml").is_file());
    root.unwrap().join(path)
}

/// Runs a command of `infra/local` on this stack.
pub async fn local(words: &[&str]) {
    let done = Command::new("python3")
        .arg("infra/local")
        .args(words)
        .current_dir(in_project(""))
        .output()
        .await
        .unwrap();
    assert!(
        done.status.success(),
        "infra/local {words:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Starts the event sources, and with them all functions, anew with these settings.
pub async fn restart_event_sources(settings: &[String]) {
    local(&["stop", "event-sources", "--kill"]).await;
    start_event_sources(settings).await;
}

/// Starts the event sources where they have ended.
pub async fn start_event_sources(settings: &[String]) {
    let mut words = vec!["start", "event-sources"];
    words.extend(settings.iter().map(String::as_str));
    local(&words).await;
}

/// The stack's folder.
pub fn folder() -> PathBuf {
    let name = env::var("ADMIT_STACK").unwrap_or_else(|_| "test".to_owned());
    in_project("target/stacks").join(name)
}

/// The number of a component's process.
pub fn pid(component: &str) -> Option<u32> {
    let record = fs::read(folder().join("run").join(format!("{component}.json"))).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
    let pid = u32::try_from(record["pid"].as_u64()?).ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

/// The processes that a process has started, with their names.
pub fn children(parent: u32) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            let its_parent: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            let program = fs::read_link(entry.path().join("exe")).ok()?;
            let name = program.file_name()?.to_str()?.to_owned();
            (its_parent == parent).then_some((pid, name))
        })
        .collect()
}

/// The most memory that a process has had, in MiB.
pub fn peak_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// Kills the processes of the functions that `which` picks, so that their next processes start from nothing. Waits
/// until the event sources have noticed.
pub async fn end_functions(which: impl Fn(&str) -> bool) {
    let mut processes = children(pid("event-sources").unwrap());
    processes.retain(|(_, name)| which(name));
    let pids: Vec<_> = processes.iter().map(|(pid, _)| *pid).collect();
    signal("KILL", &pids).await;
    eventually("the processes have ended", async || {
        // A dead process keeps its entry in /proc until its parent has been told.
        let gone = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
        pids.iter().all(gone).then_some(())
    })
    .await;
}

/// Sends a signal by its name to processes that may have ended.
pub async fn signal(name: &str, pids: &[u32]) {
    for pid in pids {
        let mut kill = Command::new("kill");
        drop(kill.args(["-s", name, &pid.to_string()]).output().await);
    }
}

/// The folder in which faults are armed, see `shared::faults`.
#[derive(Debug, Clone)]
pub struct Faults(PathBuf);

impl Faults {
    /// No faults yet.
    pub fn none() -> Self {
        let folder = folder().join("faults");
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The setting by which the functions find them.
    pub fn setting(&self) -> String {
        format!("ADMIT_FAULTS={}", self.0.display())
    }

    /// Has the next `times` calls at `point`, or returns of the function of this name, fail so.
    pub fn arm(&self, point: &str, fault: Fault, times: u32) {
        self.arm_in("any", point, fault, times);
    }

    /// Has the next `times` calls that this function makes at `point` fail so.
    pub fn arm_in(&self, function: &str, point: &str, fault: Fault, times: u32) {
        for number in 0..times {
            // Rename the file into place, so that a process that looks meanwhile sees all of it or nothing.
            let prepared = self.0.join("prepared");
            fs::write(&prepared, "").unwrap();
            let unique = format!("{}{number}", fastrand::u64(..));
            fs::rename(
                prepared,
                self.0.join(format!("{point}.{unique}.{fault}.{function}")),
            )
            .unwrap();
        }
    }

    /// How many are armed at `point` that nothing has come upon yet.
    pub fn left(&self, point: &str) -> usize {
        let prefix = format!("{point}.");
        let files = fs::read_dir(&self.0).unwrap().flatten();
        files
            .filter(|file| file.file_name().to_string_lossy().starts_with(&prefix))
            .count()
    }

    /// Takes back what is armed; how many there were.
    pub fn disarm(&self) -> usize {
        let files = fs::read_dir(&self.0).unwrap().flatten();
        files
            .filter(|file| fs::remove_file(file.path()).is_ok())
            .count()
    }
}
