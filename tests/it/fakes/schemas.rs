//! A stand-in for Pub/Sub's schema service: protocol buffers, compiled and compared as the documented rules say, and the
//! messages that a topic with a schema takes.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value as Field,
};
use protox::file::{File, FileResolver};
use real_streaming::gcp::proto::pubsub::{
    CommitSchemaRequest, CreateSchemaRequest, Encoding, GetSchemaRequest, Schema, SchemaSettings, SchemaView,
    schema::Type,
};
use serde_json::Value;
use tonic::{Request, Response, Status};

use super::pubsub::{State, id, named, service::schema_service_server::SchemaService};

/// "Schemas" and "Quotas and limits" of the documentation.
const MAX_DEFINITION: usize = 300 << 10;
const MAX_REVISIONS: usize = 20;

pub struct Service(pub Arc<Mutex<State>>);

#[tonic::async_trait]
impl SchemaService for Service {
    async fn create_schema(&self, request: Request<CreateSchemaRequest>) -> Result<Response<Schema>, Status> {
        let mut state = self.0.lock();
        let parent = request.get_ref().parent.clone();
        state.admit(&request, "parent", &parent)?;
        let CreateSchemaRequest { schema, schema_id, .. } = request.into_inner();
        let name = format!("{parent}/schemas/{schema_id}");
        named(&name, "schemas")?;
        let mut schema = schema.ok_or_else(|| Status::invalid_argument("no schema"))?;
        checked(&schema)?;
        if state.schemas.contains_key(&name) {
            let words = format!("Resource already exists in the project (resource={schema_id}).");
            return Err(Status::already_exists(words));
        }
        (schema.name, schema.revision_id) = (name.clone(), "00000001".into());
        state.changes.push(format!("create {name}"));
        state.schemas.insert(name, vec![schema.clone()]);
        Ok(Response::new(schema))
    }

    async fn get_schema(&self, request: Request<GetSchemaRequest>) -> Result<Response<Schema>, Status> {
        let mut state = self.0.lock();
        let GetSchemaRequest { name, .. } = request.get_ref().clone();
        state.admit(&request, "name", &name)?;
        let mut schema = state.schemas.get(&name).and_then(|revisions| revisions.last()).cloned();
        if let Some(schema) = &mut schema
            && request.get_ref().view() == SchemaView::Basic
        {
            schema.definition.clear();
        }
        let missing = || Status::not_found(format!("Resource not found (resource={}).", id(&name)));
        schema.map(Response::new).ok_or_else(missing)
    }

    async fn commit_schema(&self, request: Request<CommitSchemaRequest>) -> Result<Response<Schema>, Status> {
        let mut state = self.0.lock();
        let CommitSchemaRequest { name, schema } = request.get_ref().clone();
        state.admit(&request, "name", &name)?;
        let mut schema = schema.ok_or_else(|| Status::invalid_argument("no schema"))?;
        let after = checked(&schema)?;
        let Some(revisions) = state.schemas.get_mut(&name) else {
            return Err(Status::not_found(format!("Resource not found (resource={}).", id(&name))));
        };
        if revisions.len() >= MAX_REVISIONS {
            return Err(Status::failed_precondition("The schema has the maximum number of revisions."));
        }
        let before = revisions.last().expect("a schema has a revision");
        if before.r#type != schema.r#type || schema.name != name {
            return Err(Status::invalid_argument("Name and type of a schema do not change."));
        }
        let before = compile(&before.definition).expect("it was taken");
        compatible(&before, &after).map_err(Status::invalid_argument)?;
        schema.revision_id = format!("{:08}", revisions.len() + 1);
        revisions.push(schema.clone());
        state.changes.push(format!("commit {name}"));
        Ok(Response::new(schema))
    }
}

/// What a topic's settings must be.
pub fn check_settings(state: &State, settings: Option<&SchemaSettings>) -> Result<(), Status> {
    let Some(settings) = settings else { return Ok(()) };
    if !state.schemas.contains_key(&settings.schema) {
        return Err(Status::not_found(format!("Resource not found (resource={}).", id(&settings.schema))));
    }
    match settings.encoding() {
        Encoding::Unspecified => Err(Status::invalid_argument("Invalid schema encoding provided")),
        _ => Ok(()),
    }
}

/// Whether a topic with these settings takes a message.
pub fn takes(state: &State, settings: &SchemaSettings, data: &[u8]) -> bool {
    assert_eq!(settings.encoding(), Encoding::Binary, "the stand-in reads no other messages by a schema");
    let revisions = state.schemas.get(&settings.schema).map(Vec::as_slice).unwrap_or_default();
    let until =
        |revision: &&Schema| settings.last_revision_id.is_empty() || revision.revision_id <= settings.last_revision_id;
    let fits = |revision: &Schema| {
        let schema = compile(&revision.definition).expect("it was taken");
        DynamicMessage::decode(schema, data).is_ok_and(|message| whole(&message))
    };
    revisions.iter().filter(until).any(fits)
}

/// No field that the schema does not know, none missing that it requires, at any depth.
fn whole(message: &DynamicMessage) -> bool {
    let schema = message.descriptor();
    let mut required = schema.fields().filter(|field| field.cardinality() == Cardinality::Required);
    let nested = |value: &Field| match value {
        Field::Message(message) => whole(message),
        Field::List(list) => list.iter().filter_map(Field::as_message).all(whole),
        _ => true,
    };
    message.unknown_fields().next().is_none()
        && required.all(|field| message.has_field(&field))
        && message.fields().all(|(_, value)| nested(value))
}

/// Whether a subscription by the topic's schema can write into these columns.
pub fn fits_table(state: &State, topic: &str, columns: &[Value]) -> Result<(), String> {
    let schema = state.settings.get(topic).and_then(|settings| state.schemas.get(&settings.schema));
    let schema = schema.and_then(|revisions| revisions.last()).ok_or("the topic has no schema")?;
    columns_fit(&compile(&schema.definition)?, columns)
}

fn columns_fit(message: &MessageDescriptor, columns: &[Value]) -> Result<(), String> {
    for field in message.fields() {
        let column = columns.iter().find(|column| column["name"] == field.name());
        let column = column.ok_or_else(|| format!("Incompatible schema: {} is no column", field.full_name()))?;
        let repeated = column["mode"] == "REPEATED";
        let kind = column["type"].as_str().unwrap_or_default();
        if repeated != field.is_list() || !holds(&field, kind) {
            return Err(format!("Incompatible schema: {} does not fit {column}", field.full_name()));
        }
        if let Kind::Message(message) = field.kind() {
            columns_fit(&message, column["fields"].as_array().map(Vec::as_slice).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// "BigQuery subscriptions", the table of protocol buffer types.
fn holds(field: &FieldDescriptor, kind: &str) -> bool {
    match field.kind() {
        Kind::Message(_) => kind == "RECORD",
        Kind::String => {
            ["STRING", "JSON", "TIMESTAMP", "DATETIME", "DATE", "TIME", "NUMERIC", "BIGNUMERIC"].contains(&kind)
        }
        Kind::Bool => kind == "BOOLEAN",
        Kind::Double | Kind::Float => kind == "FLOAT",
        Kind::Int32 => ["INTEGER", "NUMERIC", "BIGNUMERIC", "DATE"].contains(&kind),
        Kind::Int64 => ["INTEGER", "NUMERIC", "BIGNUMERIC", "DATE", "DATETIME", "TIMESTAMP"].contains(&kind),
        Kind::Bytes => kind == "BYTES",
        _ => false,
    }
}

fn checked(schema: &Schema) -> Result<MessageDescriptor, Status> {
    if schema.r#type() != Type::ProtocolBuffer {
        return Err(Status::unimplemented("the stand-in knows protocol buffers alone"));
    }
    if schema.definition.len() > MAX_DEFINITION {
        return Err(Status::invalid_argument("The definition is too large."));
    }
    compile(&schema.definition).map_err(|words| Status::invalid_argument(format!("Invalid schema definition: {words}")))
}

/// One top-level message, and nothing from another file.
fn compile(definition: &str) -> Result<MessageDescriptor, String> {
    struct Single(String);
    impl FileResolver for Single {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                "schema.proto" => File::from_source(name, &self.0),
                other => Err(protox::Error::file_not_found(other)),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Single(definition.to_owned()));
    compiler.open_file("schema.proto").map_err(|error| error.to_string())?;
    let pool = compiler.descriptor_pool();
    let file = pool.get_file_by_name("schema.proto").expect("it was compiled");
    let mut messages = file.messages();
    match (messages.next(), messages.next(), file.enums().next()) {
        (Some(message), None, None) => Ok(message),
        _ => Err("exactly one top-level type must be defined".to_owned()),
    }
}

/// Optional fields may come and go; what stays, stays as it is.
fn compatible(before: &MessageDescriptor, after: &MessageDescriptor) -> Result<(), String> {
    let known = |message: &MessageDescriptor| message.fields().map(|field| field.number()).collect::<BTreeSet<_>>();
    for number in known(before).union(&known(after)) {
        let described = |field: FieldDescriptor| (field.name().to_owned(), field.cardinality(), kind(&field.kind()));
        let (was, is) = (before.get_field(*number), after.get_field(*number));
        if let (Some(Kind::Message(was)), Some(Kind::Message(is))) =
            (was.as_ref().map(FieldDescriptor::kind), is.as_ref().map(FieldDescriptor::kind))
        {
            compatible(&was, &is)?;
        }
        match (was.map(described), is.map(described)) {
            (Some(was), Some(is)) if was != is => return Err(format!("field {number} changed")),
            (Some((name, Cardinality::Required, _)), None) | (None, Some((name, Cardinality::Required, _))) => {
                return Err(format!("field {name} is required"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Message(_) => "a message".to_owned(),
        other => format!("{other:?}"),
    }
}
