//! Gives an account of a store a new password, in the four steps in which Secrets Manager asks for it.

use shared::Error;
use shared::config::Config;
use shared::rotation::{Request, Rotation};

/// Does one step of a rotation, by the owners as they are now.
///
/// # Errors
/// It was not done; Secrets Manager repeats it.
pub async fn handle(config: &Config, request: Request) -> Result<(), Error> {
    let rotation = Rotation::new(config).await?;
    Ok(rotation.carry_out(&request).await?)
}
