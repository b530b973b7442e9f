//! The schema of the topic for `encoding: protobuf`: the row's own type, named after the topic.
//!
//! A schema is changed by a revision that adds fields. What it holds beyond ours stays: a newer version of this program
//! wrote it, and wire bytes of an older one fit it.

use tonic::Code;

use super::{
    report::{Finding, Outcome, failed},
    topics::Builder,
};
use crate::{
    gcp::proto::pubsub::{Encoding as Messages, Schema, SchemaSettings, schema::Type},
    schema::descriptor,
};

impl Builder<'_> {
    /// `projects/P/schemas/S`, of the topic.
    fn schema_name(&self) -> String {
        format!("projects/{}/schemas/{}", self.config.project_id, self.config.pubsub.topic_id)
    }

    /// What a topic is given, so that it takes our messages and no others.
    pub(super) fn schema_settings(&self) -> SchemaSettings {
        let encoding = Messages::Binary.into();
        SchemaSettings { schema: self.schema_name(), encoding, ..SchemaSettings::default() }
    }

    /// Sees to the schema.
    pub(super) async fn schema(&self) -> Finding {
        let name = self.schema_name();
        let what = format!("schema `{name}`");
        let wanted = Schema {
            name: name.clone(),
            r#type: Type::ProtocolBuffer.into(),
            definition: descriptor::text(),
            ..Schema::default()
        };
        let is = match self.admin.schema(&name).await {
            Ok(Some(is)) => is,
            Ok(None) => return self.new_schema(what, &wanted).await,
            Err(failure) => return failed(what, self.refusal("read", "pubsub.schemas.get", &name, failure)),
        };
        match missing(&is, &wanted.definition) {
            Err(words) => {
                let (project, id) = (&self.config.project_id, &self.config.pubsub.topic_id);
                let hint = format!(
                    "if it is meant for these rows: real-streaming schema --format descriptor > {id}.proto; gcloud \
                     pubsub schemas commit {id} --project={project} --type=protocol-buffer --definition-file={id}.proto"
                );
                Finding::new(Outcome::Differs, what).details([words]).hint(hint)
            }
            Ok(missing) if missing.is_empty() => Finding::new(Outcome::Same, what),
            Ok(missing) => {
                if !self.request.dry_run
                    && let Err(failure) = self.admin.commit_schema(&wanted).await
                {
                    return failed(what, self.refusal("change", "pubsub.schemas.commit", &name, failure));
                }
                let words = missing.into_iter().map(|field| format!("field `{field}` added"));
                Finding::new(Outcome::Changed, what).details(words)
            }
        }
    }

    async fn new_schema(&self, what: String, wanted: &Schema) -> Finding {
        if !self.request.dry_run
            && let Err(failure) = self.admin.create_schema(wanted).await
            && failure.code != Code::AlreadyExists
        {
            return failed(what, self.refusal("create", "pubsub.schemas.create", &wanted.name, failure));
        }
        Finding::new(Outcome::Created, what).details(["a protocol buffer, the row's own type".to_owned()])
    }
}

/// The fields that a schema lacks; or why it is left alone.
fn missing(is: &Schema, wanted: &str) -> Result<Vec<String>, String> {
    if is.r#type() != Type::ProtocolBuffer {
        return Err(format!("it is {} and no protocol buffer", is.r#type().as_str_name()));
    }
    let wanted = descriptor::fields(wanted).expect("it reads what it writes");
    let Some(is) = descriptor::fields(&is.definition) else {
        return Err("its definition was written by somebody else".to_owned());
    };
    let mut missing = Vec::new();
    for (name, field) in &wanted {
        match is.get(name) {
            None => missing.push(name.clone()),
            Some(other) if other != field => {
                return Err(format!("field `{name}` is `{other}` and not `{field}`"));
            }
            Some(_) => {}
        }
    }
    match is.keys().find(|name| !wanted.contains_key(*name)) {
        Some(more) if !missing.is_empty() => {
            Err(format!("it lacks field `{}`, and has `{more}`, which would be lost", missing[0]))
        }
        _ => Ok(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "syntax = \"proto2\";\nmessage Event {\n  optional string a = 1;\n  optional int64 b = 2;\n}\n";

    #[track_caller]
    fn check(definition: &str, result: Result<&[&str], &str>) {
        let is = Schema { r#type: Type::ProtocolBuffer.into(), definition: definition.into(), ..Schema::default() };
        let found = missing(&is, OURS);
        let found = found.as_ref().map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found.as_ref().map(|fields| &fields[..]).map_err(|words| words.as_str()), result);
    }

    #[test]
    fn fields_are_added_and_never_taken_away_or_changed() {
        check(OURS, Ok(&[]));
        check("message Event {\n optional string a = 1;\n}", Ok(&["Event.b"]));
        check(&OURS.replace("  optional int64", "  optional bool c = 3;\n  optional int64"), Ok(&[]));
        check(
            "message Event {\n optional string a = 1;\n optional bool c = 3;\n}",
            Err("it lacks field `Event.b`, and has `Event.c`, which would be lost"),
        );
        check(
            &OURS.replace("int64 b", "string b"),
            Err("field `Event.b` is `optional string = 2` and not `optional int64 = 2`"),
        );
        check("message Event { optional string a = 1; }", Err("its definition was written by somebody else"));
        let avro = Schema { r#type: Type::Avro.into(), ..Schema::default() };
        assert_eq!(missing(&avro, OURS), Err("it is AVRO and no protocol buffer".to_owned()));
    }
}
