//! The functions' environment variables, from the file that `make up` writes of the template's, in the
//! form that `sam local invoke --env-vars` takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::{env, fs};

use shared::Error;

/// One function's variables.
type Variables = BTreeMap<String, String>;

/// The file. It is read whenever a function's process starts: a deploy may have changed it.
#[derive(Debug)]
pub struct Settings(PathBuf);

impl Settings {
    /// The file that `ADMIT_FUNCTIONS` names.
    pub fn new() -> Result<Self, Error> {
        let file =
            env::var_os("ADMIT_FUNCTIONS").ok_or("the environment variable ADMIT_FUNCTIONS")?;
        Ok(Self(file.into()))
    }

    /// What a function's process is to have in its environment, and what it must not have: the others'.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn of(&self, function: &str) -> std::io::Result<(Variables, BTreeSet<String>)> {
        let all: BTreeMap<String, Variables> = serde_json::from_slice(&fs::read(&self.0)?)?;
        let others = all.values().flat_map(BTreeMap::keys).cloned().collect();
        let own = all
            .into_iter()
            .find(|(resource, _)| name(resource) == function);
        Ok((
            own.map(|(_, variables)| variables).unwrap_or_default(),
            others,
        ))
    }

    /// One variable of a function.
    ///
    /// # Errors
    /// The file can't be read, or has none.
    pub fn variable(&self, function: &str, variable: &str) -> Result<String, Error> {
        let (mut variables, _) = self.of(function)?;
        let value = variables.remove(variable);
        value.ok_or_else(|| format!("{function} has no variable {variable}").into())
    }
}

/// The function of a template's resource: `CreateBooking` is `create-booking`.
fn name(resource: &str) -> String {
    let mut name = String::new();
    for letter in resource.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_resource_is_named_after_its_function() {
        assert_eq!(name("CreateBooking"), "create-booking");
        assert_eq!(name("Login"), "login");
    }
}
