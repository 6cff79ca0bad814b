//! The OpenAPI schema of a newtype, declared beside the rule that it describes.

/// Declares a type that is a string in JSON: its description, then its lengths or nothing, then
/// the pattern it follows or nothing.
#[macro_export]
macro_rules! string_schema {
    ($name:ident, $description:expr, $min:literal, $max:literal, $pattern:literal) => {
        $crate::string_schema!(@impl $name, $description, Some($min), Some($max), Some($pattern));
    };
    ($name:ident, $description:expr, $min:literal, $max:literal) => {
        $crate::string_schema!(@impl $name, $description, Some($min), Some($max), None::<&str>);
    };
    ($name:ident, $description:expr, $pattern:expr) => {
        $crate::string_schema!(@impl $name, $description, None, None, Some($pattern));
    };
    (@impl $name:ident, $description:expr, $min:expr, $max:expr, $pattern:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .description(Some($description))
                    .min_length($min)
                    .max_length($max)
                    .pattern($pattern)
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

/// Declares a type that is a whole number in JSON, from its least to its most.
#[macro_export]
macro_rules! integer_schema {
    ($name:ident, $description:literal, $min:expr, $max:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::Integer)
                    .description(Some($description))
                    .minimum(Some($min))
                    .maximum(Some($max))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

/// Declares a whole number from its least to its most: the type, its reading from JSON and its schema.
#[macro_export]
macro_rules! whole_number {
    ($name:ident, $type:ty, $min:literal, $max:literal, $description:literal) => {
        #[doc = $description]
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name($type);

        impl $name {
            /// The number itself.
            pub fn get(self) -> $type {
                self.0
            }
        }

        impl TryFrom<$type> for $name {
            type Error = $crate::tickets::OutOfRange;

            fn try_from(number: $type) -> Result<Self, Self::Error> {
                if ($min..=$max).contains(&number) {
                    Ok(Self(number))
                } else {
                    Err($crate::tickets::OutOfRange)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::money::Number::whole(deserializer)
                    .and_then(|number| <$type>::try_from(number).ok())
                    .and_then(|number| Self::try_from(number).ok())
                    .ok_or_else(|| {
                        serde::de::Error::custom(concat!(
                            "must be a whole number from ",
                            $min,
                            " to ",
                            $max
                        ))
                    })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        $crate::integer_schema!($name, $description, $min, $max);
    };
}

/// Reads a type from a string in JSON as its `FromStr` does.
#[macro_export]
macro_rules! deserialize_from_str {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::json::parse_string(deserializer)
            }
        }
    };
}

/// Declares a type for texts that follow a rule. Takes its name, the function that makes its content from a text
/// or refuses the text, the error message for a refused text, and its schema as [`string_schema`] takes it.
#[macro_export]
macro_rules! validated_text {
    ($(#[$doc:meta])* $name:ident, $make:expr, $invalid:literal, $($schema:tt)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text::InvalidText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let make: fn(&str) -> Option<String> = $make;
                make(text).map(Self).ok_or($crate::text::InvalidText($invalid))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        $crate::deserialize_from_str!($name);
        $crate::string_schema!($name, $($schema)+);
    };
}

/// Declares how an amount of money stands in a request, by its bounds in major units. A schema can't
/// say that its decimals are the currency's.
#[macro_export]
macro_rules! amount_schema {
    ($name:ident, $description:literal, above $above:literal, $max:expr) => {
        $crate::amount_schema!(@impl $name, $description, exclusive_minimum, $above, $max);
    };
    ($name:ident, $description:literal, $min:literal, $max:expr) => {
        $crate::amount_schema!(@impl $name, $description, minimum, $min, $max);
    };
    (@impl $name:ident, $description:literal, $lower:ident, $bound:literal, $max:expr) => {
        #[doc = $description]
        struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::Number)
                    .description(Some($description))
                    .$lower(Some($bound))
                    .maximum(Some($max))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}
