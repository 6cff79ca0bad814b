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
