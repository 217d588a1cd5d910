use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Who says a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The person or program that asks.
    User,
    /// The model, in an earlier turn.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// What a model is asked: a conversation that ends with the user's turn, instructions, and texts to answer from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Prompt {
    instructions: Option<String>,
    context: Vec<String>,
    messages: Vec<Message>,
    max_output_tokens: Option<u32>,
    temperature: Option<f32>,
}

impl Prompt {
    /// Asks a question.
    pub fn new(question: impl Into<String>) -> Self {
        Self {
            instructions: None,
            context: Vec::new(),
            messages: vec![Message { role: Role::User, text: question.into() }],
            max_output_tokens: None,
            temperature: None,
        }
    }

    /// Adds what the model answered so far and the user's next turn.
    pub fn then(mut self, answer: impl Into<String>, question: impl Into<String>) -> Self {
        self.messages.push(Message { role: Role::Assistant, text: answer.into() });
        self.messages.push(Message { role: Role::User, text: question.into() });
        self
    }

    /// Sets how the model is to behave, which providers call the system message.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// Adds a text to answer from.
    pub fn context(mut self, text: impl Into<String>) -> Self {
        self.context.push(text.into());
        self
    }

    /// Bounds the answer, in the model's tokens, at least 1. Too few cut the answer off
    /// ([`FinishReason::Length`](crate::FinishReason::Length)); the model's own bound applies where none is set.
    pub const fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// Sets the sampling temperature, 0.0 (the likeliest words) to 2.0; the model's own default where none is set.
    pub const fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Returns the instructions.
    #[must_use]
    pub fn instructions_text(&self) -> Option<&str> {
        self.instructions.as_deref()
    }

    /// Returns the texts to answer from.
    #[must_use]
    pub fn context_texts(&self) -> &[String] {
        &self.context
    }

    /// Returns the conversation, oldest turn first.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Returns the user's last turn.
    #[must_use]
    pub fn question(&self) -> &str {
        self.messages.last().map_or("", |message| message.text.as_str())
    }

    /// Returns the bound of the answer in tokens.
    #[must_use]
    pub const fn output_limit(&self) -> Option<u32> {
        self.max_output_tokens
    }

    /// Returns the sampling temperature.
    #[must_use]
    pub const fn sampling_temperature(&self) -> Option<f32> {
        self.temperature
    }

    /// Makes sure that the prompt can be sent to a model.
    ///
    /// # Errors
    /// [`ModelError::InvalidPrompt`] names the part that is empty or out of bounds.
    pub fn validate(&self) -> Result<(), ModelError> {
        let invalid = |field, value: String, expected| Err(ModelError::InvalidPrompt { field, value, expected });
        if self.question().trim().is_empty() && self.context.iter().all(|text| text.trim().is_empty()) {
            return invalid("prompt.question", "empty".to_owned(), "a question, or a context to summarize");
        }
        if self.max_output_tokens == Some(0) {
            return invalid("prompt.max_output_tokens", "0".to_owned(), "at least 1 token");
        }
        if let Some(temperature) = self.temperature
            && !(0.0..=2.0).contains(&temperature)
        {
            return invalid("prompt.temperature", temperature.to_string(), "0.0 to 2.0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_out_of_bounds_is_named() {
        let cases = [
            (Prompt::new("  "), "prompt.question"),
            (Prompt::new("why?").max_output_tokens(0), "prompt.max_output_tokens"),
            (Prompt::new("why?").temperature(2.1), "prompt.temperature"),
            (Prompt::new("why?").temperature(f32::NAN), "prompt.temperature"),
        ];
        for (prompt, expected) in cases {
            match prompt.validate() {
                Err(ModelError::InvalidPrompt { field, .. }) => assert_eq!(field, expected),
                other => panic!("expected an invalid {expected}, got {other:?}"),
            }
        }
        Prompt::new("").context("a text to summarize").validate().unwrap();
    }

    #[test]
    fn the_question_is_the_last_turn() {
        let prompt = Prompt::new("one?").then("1", "two?");
        assert_eq!(prompt.question(), "two?");
        assert_eq!(prompt.messages().len(), 3);
    }
}
