//! The public API of `bedplate-models`.

#[cfg(feature = "openai")]
mod openai;

use bedplate_models::{ExtractiveModel, Model, ModelError, Prompt};

#[tokio::test]
async fn a_model_is_used_through_its_trait() {
    let model: Box<dyn Model> = Box::new(ExtractiveModel::new());
    let prompt = Prompt::new("Where is the bedplate?").context("Steam drives it. The bedplate lies below the engine.");
    let answer = model.generate(&prompt).await.unwrap();
    assert_eq!(answer.text, "The bedplate lies below the engine.");
    assert_eq!(answer.model, *model.id());
}

#[test]
fn public_types_are_send_and_sync() {
    const fn check<T: Send + Sync + 'static>() {}
    check::<Box<dyn Model>>();
    check::<ModelError>();
    #[cfg(feature = "openai")]
    check::<bedplate_models::OpenAiCompatible>();
}
