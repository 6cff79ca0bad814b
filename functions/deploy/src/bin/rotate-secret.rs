//! Gives an account of a store a new password, in the four steps in which Secrets Manager asks for it.

use operations::rotation::{Request, Rotation};
use shared::config::Config;
use shared::{Error, serve};

/// Does one step of a rotation, by the owners as they are now.
///
/// # Errors
/// It was not done; Secrets Manager repeats it.
async fn handle(config: &Config, request: Request) -> Result<(), Error> {
    let rotation = Rotation::new(config).await?;
    Ok(rotation.carry_out(&request).await?)
}

serve!(in turn Config, handle);
