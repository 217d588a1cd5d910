use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Completion, FinishReason, ModelError, ModelId, Prompt, Role, Usage};

/// The body of `POST /chat/completions`.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: std::borrow::Cow<'a, str>,
}

impl<'a> Request<'a> {
    pub(super) fn new(model: &'a str, prompt: &'a Prompt) -> Self {
        let mut messages = Vec::new();
        if let Some(text) = prompt.instructions_text() {
            messages.push(Turn { role: "system", content: text.into() });
        }
        if !prompt.context_texts().is_empty() {
            let context = format!("Answer from these texts:\n\n{}", prompt.context_texts().join("\n\n"));
            messages.push(Turn { role: "system", content: context.into() });
        }
        messages.extend(prompt.messages().iter().map(|message| Turn {
            role: match message.role {
                Role::User => "user",
                Role::Assistant => "assistant",
            },
            content: message.text.as_str().into(),
        }));
        Self { model, messages, max_tokens: prompt.output_limit(), temperature: prompt.sampling_temperature() }
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    finish_reason: Option<Value>,
}

/// Reads an answer, asking only for its text.
pub(super) fn completion(body: &[u8], prompt: &Prompt, id: &ModelId) -> Result<Completion, ModelError> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|source| ModelError::Malformed { missing: "readable JSON", source: Some(Box::new(source)) })?;
    let missing = |missing| ModelError::Malformed { missing, source: None };
    let choice = answer.choices.into_iter().next().ok_or_else(|| missing("choices"))?;
    let message = choice.message.ok_or_else(|| missing("choices[0].message"))?;
    let text = content(message.get("content")).ok_or_else(|| missing("choices[0].message.content"))?;

    let count = |name| answer.usage.as_ref().and_then(|usage| usage.get(name)).and_then(Value::as_u64);
    let counts = count("prompt_tokens").zip(count("completion_tokens"));
    let usage = counts.map_or_else(|| estimate(prompt, &text), |(input, output)| Usage::measured(input, output));
    let model = match answer.model {
        Some(name) if !name.is_empty() => ModelId::new(name),
        _ => id.clone(),
    };
    let mut completion = Completion::new(model, text, usage);
    completion.finish = match choice.finish_reason.as_ref().and_then(Value::as_str) {
        Some("stop") => FinishReason::Stop,
        Some("length") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        other => FinishReason::Other(other.unwrap_or_default().to_owned()),
    };
    Ok(completion)
}

fn estimate(prompt: &Prompt, answer: &str) -> Usage {
    let turns = prompt.messages().iter().map(|message| message.text.as_str());
    let context = prompt.context_texts().iter().map(String::as_str);
    Usage::estimate(turns.chain(context).chain(prompt.instructions_text()), answer)
}

/// A content is a text, or a list of parts of which those of type `text` count.
fn content(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

/// The message of an error answer, in any of the forms that servers use.
pub(super) fn error_message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let parsed: Option<Value> = serde_json::from_str(&text).ok();
    let message = parsed.as_ref().and_then(|value| {
        let error = value.get("error").unwrap_or(value);
        error.as_str().or_else(|| error.get("message")?.as_str()).or_else(|| value.get("detail")?.as_str())
    });
    message.unwrap_or_else(|| text.trim()).chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Completion, ModelError> {
        completion(body.as_bytes(), &Prompt::new("why?"), &ModelId::new("openai/test"))
    }

    #[test]
    fn a_full_answer_is_read() {
        let answer = read(
            r#"{"id":"c1","object":"chat.completion","model":"qwen3-4b","choices":[{"index":0,"message":
            {"role":"assistant","content":"Because."},"finish_reason":"length","logprobs":null}],
            "usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"extra":[1]}"#,
        )
        .unwrap();
        assert_eq!(answer.text, "Because.");
        assert_eq!(answer.model.as_str(), "qwen3-4b");
        assert_eq!(answer.finish, FinishReason::Length);
        assert_eq!(answer.usage, Usage::measured(9, 2));
        assert_eq!(answer.confidence, None);
    }

    #[test]
    fn near_misses_of_the_protocol_are_read_too() {
        for usage in ["{}", "null", r#"{"prompt_tokens":null}"#] {
            let body = format!(r#"{{"choices":[{{"message":{{"content":"x"}},"finish_reason":""}}],"usage":{usage}}}"#);
            let answer = read(&body).unwrap();
            assert!(answer.usage.estimated);
            assert_eq!(answer.finish, FinishReason::Other(String::new()));
            assert_eq!(answer.model.as_str(), "openai/test");
        }
        let parts = r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#;
        assert_eq!(read(parts).unwrap().text, "ab");
        assert_eq!(read(r#"{"choices":[{"message":{"content":""}}]}"#).unwrap().text, "", "empty is an answer");
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            ("", "readable JSON"),
            ("{}", "choices"),
            (r#"{"choices":[{}]}"#, "choices[0].message"),
            (r#"{"choices":[{"message":{"content":null}}]}"#, "choices[0].message.content"),
        ];
        for (body, expected) in cases {
            match read(body) {
                Err(ModelError::Malformed { missing, .. }) => assert_eq!(missing, expected),
                other => panic!("expected a missing {expected}, got {other:?}"),
            }
        }
    }

    #[test]
    fn error_messages_are_found_and_cut() {
        assert_eq!(error_message(br#"{"error":{"message":"no such model"}}"#), "no such model");
        assert_eq!(error_message(br#"{"error":"no such model"}"#), "no such model");
        assert_eq!(error_message(br#"{"detail":"no such model"}"#), "no such model");
        assert_eq!(error_message(b"<html>"), "<html>");
        assert_eq!(error_message("é".repeat(600).as_bytes()).chars().count(), 500);
    }
}
