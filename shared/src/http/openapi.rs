//! The OpenAPI description, made from the table of routes that the functions serve.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::PartialSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, SchemaType};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    AllOfBuilder, Components, Info, License, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, Ref,
    RefOr, Required, Response, ResponseBuilder, Schema, Server, Type,
};

use super::problem::{Code, Document};
use super::routes::{self, Body, Content, Route, Shape};
use crate::ids::{BookingId, EventId, PaymentId, PromoCode, QuotaId, TicketTypeId};

const BEARER: &str = "bearer";

/// Describes the API: every route's parameters, body, statuses and answers.
pub fn describe() -> OpenApi {
    let mut schemas = BTreeMap::new();
    let mut paths = Paths::new();
    for route in routes::ALL {
        paths.add_path_operation(
            route.path,
            vec![http_method(route.method)],
            operation(route, &mut schemas),
        );
    }
    let mut components = Components::new();
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access_token that POST /login gives."))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let mut info = Info::new("Admit", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Book tickets: never oversold, never charged twice, never paid without a ticket. \
         Every error is a problem document (RFC 9457) that says what to mend."
            .to_owned(),
    );
    info.license = Some(License::new(env!("CARGO_PKG_LICENSE")));
    OpenApiBuilder::new()
        .info(info)
        // Relative to the URL of this description, which may include the name of a stage.
        .servers(Some([Server::new("./")]))
        .paths(paths)
        .components(Some(components))
        .build()
}

type Schemas = BTreeMap<String, RefOr<Schema>>;

fn operation(route: &Route, schemas: &mut Schemas) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(operation_id(route)))
        .tag(tag(route))
        .summary(Some(route.summary));
    for parameter in parameters(route) {
        operation = operation.parameter(parameter);
    }
    if let Some(body) = &route.body {
        operation = operation.request_body(Some(request_body(body, schemas)));
    }
    if route.signed_in {
        operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []));
    }
    for answer in route.answers {
        let content = ContentBuilder::new();
        let mut response = ResponseBuilder::new().description(answer.description);
        response = match &answer.content {
            Content::Json(shape) => {
                let schema = RefOr::Ref(reference(shape, schemas));
                response.content("application/json", content.schema(Some(schema)).build())
            }
            Content::Either(one, other) => {
                let schema = AnyOfBuilder::new()
                    .item(reference(one, schemas))
                    .item(reference(other, schemas));
                response.content(
                    "application/json",
                    content.schema(Some(Schema::AnyOf(schema.build()))).build(),
                )
            }
            Content::Page(shape) => {
                let schema = page(reference(shape, schemas));
                response.content("application/json", content.schema(Some(schema)).build())
            }
            Content::Other(media_type) => response.content(*media_type, content.build()),
        };
        if answer.status == StatusCode::ACCEPTED {
            response = response
                .header("Location", text_header())
                .header("Retry-After", seconds_header());
        }
        if route.versioned {
            response = response.header("ETag", text_header());
        }
        operation = operation.response(answer.status.as_str(), response.build());
    }
    for (status, codes) in by_status(&route.all_problems()) {
        operation = operation.response(status.as_str(), problem_response(&codes, schemas));
    }
    operation
}

fn request_body(body: &Body, schemas: &mut Schemas) -> RequestBody {
    let (schema, required) = match body {
        Body::Required(shape) => {
            let reference = reference(shape, schemas);
            let mut parts = Vec::new();
            (shape.parts)(&mut parts);
            let parts = parts.iter().map(|(name, _)| name.as_str());
            for name in parts.chain([&*(shape.name)()]) {
                close(name, schemas);
            }
            (RefOr::Ref(reference), Required::True)
        }
        Body::Empty => {
            let none = ObjectBuilder::new()
                .additional_properties(Some(AdditionalProperties::FreeForm(false)));
            (none.into(), Required::False)
        }
    };
    let content = ContentBuilder::new().schema(Some(schema)).build();
    RequestBodyBuilder::new()
        .content("application/json", content)
        .required(Some(required))
        .build()
}

/// No field but those that are described is taken.
fn close(name: &str, schemas: &mut Schemas) {
    if let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(name)
        && !object.properties.is_empty()
    {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

/// The function's name with underscores, such as `create_booking`. If a function serves several routes,
/// the path is used instead, to tell them apart.
fn operation_id(route: &Route) -> String {
    let base = if route.function == "api-docs" {
        route.path
    } else {
        route.function
    };
    let words = base
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// The first part of the path, which is what the route is about.
fn tag(route: &Route) -> &'static str {
    match route.path.split('/').nth(1) {
        Some("login") => "users",
        Some("openapi.json") | None => "docs",
        Some(name) => name,
    }
}

fn parameters(route: &Route) -> Vec<Parameter> {
    let string = || ObjectBuilder::new().schema_type(Type::String);
    let mut parameters = Vec::new();
    for name in route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    {
        parameters.push(
            parameter(ParameterIn::Path, name, "")
                .required(Required::True)
                .schema(Some(path_parameter(name))),
        );
    }
    if route.paged {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(100));
        let limit = limit.default(Some(20.into()));
        parameters
            .push(parameter(ParameterIn::Query, "limit", "How many to show.").schema(Some(limit)));
        let cursor = parameter(
            ParameterIn::Query,
            "cursor",
            "The next_cursor of the page before.",
        );
        let form = string()
            .max_length(Some(1024))
            .pattern(Some("^[A-Za-z0-9_-]+$"));
        parameters.push(cursor.schema(Some(form)));
    }
    if route.idempotency {
        let key = "Identifies this request: a repeat gets the first answer and does nothing twice. May be \
             quoted, as an RFC 9651 string.";
        let schema = string()
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[ -~]+$"));
        parameters
            .push(parameter(ParameterIn::Header, "Idempotency-Key", key).schema(Some(schema)));
    }
    if route.problems.contains(&Code::PreconditionFailed) {
        let description =
            "The event's ETag that you read: if it was changed since, nothing is done.";
        parameters
            .push(parameter(ParameterIn::Header, "If-Match", description).schema(Some(string())));
    }
    parameters
        .into_iter()
        .map(ParameterBuilder::build)
        .collect()
}

/// The schema of the id that a part of a path is.
fn path_parameter(name: &str) -> RefOr<Schema> {
    match name {
        "event_id" => EventId::schema(),
        "booking_id" => BookingId::schema(),
        "payment_id" => PaymentId::schema(),
        "ticket_type_id" => TicketTypeId::schema(),
        "quota_id" => QuotaId::schema(),
        "code" => PromoCode::schema(),
        _ => ObjectBuilder::new().schema_type(Type::String).into(),
    }
}

fn parameter(parameter_in: ParameterIn, name: &str, description: &str) -> ParameterBuilder {
    let builder = ParameterBuilder::new()
        .name(name)
        .parameter_in(parameter_in)
        .required(Required::False);
    builder.description(Some(description).filter(|text| !text.is_empty()))
}

fn by_status(problems: &[Code]) -> BTreeMap<StatusCode, Vec<Code>> {
    let mut by_status = BTreeMap::<StatusCode, Vec<Code>>::new();
    for code in problems {
        let (_, status, _) = code.parts();
        by_status.entry(status).or_default().push(*code);
    }
    by_status
}

fn problem_response(codes: &[Code], schemas: &mut Schemas) -> Response {
    let names: Vec<_> = codes
        .iter()
        .map(|code| format!("`/problems/{}`", code.parts().0))
        .collect();
    let content = ContentBuilder::new()
        .schema(Some(problem_schema(codes, schemas)))
        .build();
    let mut response = ResponseBuilder::new()
        .description(names.join(" or "))
        .content("application/problem+json", content);
    if codes
        .iter()
        .any(|code| matches!(code, Code::Unauthorized | Code::InvalidCredentials))
    {
        response = response.header("WWW-Authenticate", text_header());
    }
    if codes.iter().any(|code| code.may_pass()) {
        response = response.header("Retry-After", seconds_header());
    }
    if codes.contains(&Code::HoldOpen) {
        response = response.header("Location", text_header());
    }
    response.build()
}

/// What all problems say, and what those of these kinds say besides.
fn problem_schema(codes: &[Code], schemas: &mut Schemas) -> RefOr<Schema> {
    let common = reference(&Shape::of::<Document<'_>>(), schemas);
    let mut own = ObjectBuilder::new();
    for code in codes {
        for (name, kind, text) in code.members() {
            let description = format!("{text} Only of `/problems/{}`.", code.parts().0);
            let member = ObjectBuilder::new()
                .schema_type(kind.clone())
                .description(Some(description));
            own = own.property(*name, member);
        }
    }
    let own = own.build();
    if own.properties.is_empty() {
        return RefOr::Ref(common);
    }
    AllOfBuilder::new().item(common).item(own).into()
}

fn text_header() -> Header {
    Header::new(ObjectBuilder::new().schema_type(Type::String).build())
}

fn seconds_header() -> Header {
    Header::new(
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .build(),
    )
}

/// A page of what `item` refers to, see [`values::page::Paginated`].
fn page(item: Ref) -> ObjectBuilder {
    let cursor = ObjectBuilder::new()
        .schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
        .description(Some("The cursor of the next page; null on the last one."));
    ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(RefOr::Ref(item)))
        .required("items")
        .property("next_cursor", cursor)
        .required("next_cursor")
}

/// A reference to a schema, which it adds to the components with everything it is made of.
fn reference(shape: &Shape, schemas: &mut Schemas) -> Ref {
    let name = (shape.name)().into_owned();
    if !schemas.contains_key(&name) {
        let mut parts = Vec::new();
        (shape.parts)(&mut parts);
        schemas.extend(parts);
        schemas.insert(name.clone(), (shape.schema)());
    }
    Ref::from_schema_name(name)
}

fn http_method(method: &str) -> HttpMethod {
    match method {
        "POST" => HttpMethod::Post,
        "PATCH" => HttpMethod::Patch,
        _ => HttpMethod::Get,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole description: what changes in it changes the API for its clients.
    #[test]
    fn the_description_of_the_api() {
        insta::assert_snapshot!(describe().to_pretty_json().unwrap());
    }
}
