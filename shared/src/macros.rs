//! The code that every function's file would otherwise repeat.

/// Declares what one process of a function keeps between requests, each made from its settings.
#[macro_export]
macro_rules! clients {
    ($app:ident { $($name:ident: $client:ty),+ $(,)? }) => {
        /// What one process of this function keeps between requests.
        struct $app {
            $($name: $client,)+
        }

        impl $crate::FromConfig for $app {
            async fn from_config(config: &$crate::config::Config) -> Result<Self, $crate::Error> {
                Ok(Self {
                    $($name: <$client as $crate::FromConfig>::from_config(config).await?,)+
                })
            }

            fn warm_up(&'static self) {
                $($crate::FromConfig::warm_up(&self.$name);)+
            }
        }
    };
}

/// Defines the main function of a binary:
///
/// - `serve!(ROUTE, App, handle)` serves the requests of a route.
/// - `serve!(App, handle)` serves the invocations of the function that the binary is named after.
/// - `serve!(in turn App, handle)` does the same, but always one after the other.
/// - `serve!(pages App, handle, show)` serves the requests for the pages of that function.
#[macro_export]
macro_rules! serve {
    ($route:expr, $app:ty, $handle:path) => {
        fn main() -> Result<(), $crate::Error> {
            $crate::block_on(async {
                let app = $crate::start::<$app>().await?;
                $crate::http::serve(&$route, app, $handle).await
            })
        }
    };
    (pages $app:ty, $handle:path, $show:path) => {
        fn main() -> Result<(), $crate::Error> {
            $crate::block_on(async {
                let app = $crate::start::<$app>().await?;
                $crate::http::serve_pages(env!("CARGO_BIN_NAME"), app, $handle, $show).await
            })
        }
    };
    (in turn $app:ty, $handle:path) => {
        fn main() -> Result<(), $crate::Error> {
            $crate::block_on(async {
                let app = $crate::start::<$app>().await?;
                $crate::invocation::serve_in_turn(env!("CARGO_BIN_NAME"), app, $handle).await
            })
        }
    };
    ($app:ty, $handle:path) => {
        fn main() -> Result<(), $crate::Error> {
            $crate::block_on(async {
                let app = $crate::start::<$app>().await?;
                $crate::invocation::serve(env!("CARGO_BIN_NAME"), app, $handle).await
            })
        }
    };
}
