//! The description of `/api/v1`, made from the types of the answers.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::failure::FailureBody;
use super::pages::{audience, compare, live, neighbours, quarantine, recommend, run, runs, trailer, trailers, upload};

/// One operation.
struct Operation {
    path: &'static str,
    summary: &'static str,
    /// Options of the address: name, type, meaning.
    options: &'static [(&'static str, &'static str, &'static str)],
    schema: fn(&mut SchemaGenerator) -> Value,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

const PAGE: (&str, &str, &str) = ("page", "integer", "Page of the list, from 1");

const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/runs",
        summary: "List the runs of the store, the last one changed first",
        options: &[("q", "string", "Part of the run's id"), PAGE],
        schema: of::<runs::Runs>,
    },
    Operation { path: "/runs/{run}", summary: "Show a run", options: &[], schema: of::<run::RunPage> },
    Operation { path: "/runs/{run}/live", summary: "Show the state of a run", options: &[], schema: of::<live::Live> },
    Operation {
        path: "/runs/{run}/compare",
        summary: "Compare the models of two runs, pair by pair",
        options: &[("with", "string", "Id of the other run")],
        schema: of::<compare::Compare>,
    },
    Operation {
        path: "/runs/{run}/quarantine",
        summary: "List the quarantined jobs of a run",
        options: &[("reason", "integer", "Number of a reason, from 1"), PAGE],
        schema: of::<quarantine::Quarantine>,
    },
    Operation {
        path: "/runs/{run}/trailers",
        summary: "List the trailers of a run",
        options: &[
            ("q", "string", "Part of the title or id"),
            ("genre", "string", "Genre"),
            ("state", "string", "committed, open or quarantined"),
            ("label", "string", "like, neutral, dislike or unrated"),
            ("order", "string", "id, title or ratings"),
            PAGE,
        ],
        schema: of::<trailers::Trailers>,
    },
    Operation {
        path: "/runs/{run}/trailers/{id}",
        summary: "Show a trailer",
        options: &[],
        schema: of::<trailer::TrailerPage>,
    },
    Operation {
        path: "/runs/{run}/trailers/{id}/neighbours",
        summary: "Show the trailers with the nearest embeddings",
        options: &[],
        schema: of::<neighbours::Neighbours>,
    },
    Operation {
        path: "/runs/{run}/trailers/{id}/audience",
        summary: "Predict who likes the movie",
        options: &[],
        schema: of::<audience::Audience>,
    },
    Operation {
        path: "/runs/{run}/try",
        summary: "Recommend movies to a viewer",
        options: &[
            ("user", "string", "Id of a viewer of the dataset"),
            ("like", "string", "Id of a movie that the viewer likes; repeatable"),
            ("neutral", "string", "Id of a movie that the viewer is neutral about; repeatable"),
            ("dislike", "string", "Id of a movie that the viewer dislikes; repeatable"),
            ("q", "string", "Part of the title of the movies to rate"),
        ],
        schema: of::<recommend::Recommend>,
    },
];

/// Returns the description as an OpenAPI 3.1 document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let failure = of::<FailureBody>(&mut generator);
    let failed =
        |meaning: &str| json!({ "description": meaning, "content": { "application/json": { "schema": failure } } });
    let responses = |schema: Value| {
        json!({
            "200": { "description": "The answer", "content": { "application/json": { "schema": schema } } },
            "304": { "description": "The client has the answer: If-None-Match holds its ETag" },
            "400": failed("An option is not valid"),
            "401": failed("The token is missing or wrong"),
            "404": failed("The page, run, movie or user does not exist"),
            "500": failed("A record in the store is damaged"),
            "503": failed("The store does not answer"),
        })
    };
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let mut parameters: Vec<Value> = operation
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        for (name, kind, meaning) in operation.options {
            let minimum =
                if *kind == "integer" { json!({ "type": kind, "minimum": 1 }) } else { json!({ "type": kind }) };
            parameters.push(json!({ "name": name, "in": "query", "description": meaning, "schema": minimum }));
        }
        let schema = (operation.schema)(&mut generator);
        let get = json!({ "summary": operation.summary, "parameters": parameters, "responses": responses(schema) });
        paths.insert(operation.path.to_owned(), json!({ "get": get }));
    }
    let uploaded = of::<upload::Uploaded>(&mut generator);
    let mut answers = responses(uploaded);
    answers["413"] = failed("The file is too large");
    answers["422"] = failed("The file is not a video");
    paths.insert(
        "/runs/{run}/try/upload".to_owned(),
        json!({ "post": {
            "summary": "Look at a trailer of your own",
            "parameters": [
                { "name": "run", "in": "path", "required": true, "schema": { "type": "string" } },
                { "name": "x-file-name", "in": "header", "schema": { "type": "string" } },
            ],
            "requestBody": { "required": true, "content": { "application/octet-stream": {} } },
            "responses": answers,
        } }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "jhalak serve",
            "description": "Runs, trailers, quarantined jobs and recommendations of a store, to read",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/api/v1" }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": generator.take_definitions(true),
        },
    })
}
