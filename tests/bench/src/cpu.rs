//! Processor time by component, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tests::stack;

/// The kernel counts in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

const COMPONENTS: [&str; 6] = [
    "postgres",
    "pooler",
    "rabbitmq",
    "documents",
    "aws",
    "event-sources",
];

/// Processor time that the living processes of each component have used.
#[derive(Debug, Clone, Default)]
pub struct Used(BTreeMap<String, Duration>);

struct Process {
    parent: u32,
    name: String,
    used: Duration,
}

impl Used {
    /// What was used until now. Functions go by their own names.
    pub fn now() -> Self {
        let processes = processes();
        let roots: BTreeMap<u32, &str> = COMPONENTS
            .iter()
            .filter_map(|name| Some((stack::pid(name)?, *name)))
            .collect();
        let mut used = BTreeMap::<String, Duration>::new();
        for (pid, process) in &processes {
            let Some(component) = component(*pid, &processes, &roots) else {
                continue;
            };
            let own = component == "event-sources" && !roots.contains_key(pid);
            let name = if own { &process.name } else { component };
            *used.entry(name.to_owned()).or_default() += process.used;
        }
        Self(used)
    }

    /// What each has used since `before`.
    pub fn since(&self, before: &Self) -> BTreeMap<String, Duration> {
        self.0
            .iter()
            .map(|(name, used)| {
                let before = before.0.get(name).copied().unwrap_or_default();
                (name.clone(), used.saturating_sub(before))
            })
            .collect()
    }
}

fn component<'r>(
    pid: u32,
    processes: &BTreeMap<u32, Process>,
    roots: &BTreeMap<u32, &'r str>,
) -> Option<&'r str> {
    let mut at = pid;
    loop {
        if let Some(root) = roots.get(&at) {
            return Some(root);
        }
        at = processes.get(&at)?.parent;
    }
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(')')?;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
            let exe = fs::read_link(entry.path().join("exe")).ok()?;
            let process = Process {
                parent: number(1)?,
                name: exe.file_name()?.to_string_lossy().into_owned(),
                used: TICK * (number(11)? + number(12)?),
            };
            Some((pid, process))
        })
        .collect()
}
