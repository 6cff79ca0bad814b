//! Gives an account of a store a new password, in the four steps in which Secrets Manager asks for it.

use shared::Error;
use shared::config::Config;
use shared::rotation::{Request, Rotation};

/// What one process of this function keeps between invocations.
#[derive(Debug)]
pub struct App {
    rotation: Rotation,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            rotation: Rotation::new(config).await?,
        })
    }
}

/// Does one step of a rotation.
///
/// # Errors
/// It was not done; Secrets Manager repeats it.
pub async fn handle(app: &App, request: Request) -> Result<(), Error> {
    Ok(app.rotation.carry_out(&request).await?)
}
