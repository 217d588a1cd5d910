//! What is checked before anything is spent on a request.

use bedplate_media::{Format, Limits, Modality, check_within};
use garde::Validate as _;

use crate::Request;
use crate::error::Cause;

/// Checks the request and its content, and says what the content is.
pub(crate) fn validate(request: &Request, limits: &Limits) -> Result<Format, Cause> {
    request.validate().map_err(|report| first(&report))?;
    let modality = match &request.modality {
        Some(name) => Some(name.parse::<Modality>().map_err(|_| unknown_modality(name))?),
        None => None,
    };
    let name = request.file_name.as_deref();
    let format = check_within(&request.content, modality, name, limits).map_err(Cause::Content)?;
    if request.question.is_some() && format.modality() != Modality::Text {
        let reason = format!("is asked of {} content, expected text", format.modality());
        return Err(Cause::Field { field: "question".to_owned(), reason });
    }
    Ok(format)
}

fn first(report: &garde::Report) -> Cause {
    report.iter().next().map_or_else(
        || Cause::Field { field: "request".to_owned(), reason: "is invalid".to_owned() },
        |(path, error)| Cause::Field { field: path.to_string(), reason: error.message().to_owned() },
    )
}

fn unknown_modality(name: &str) -> Cause {
    let shown: String = name.chars().take(64).collect();
    let known = Modality::ALL.map(Modality::as_str).join(", ");
    Cause::Field { field: "modality".to_owned(), reason: format!("is {shown:?}, expected one of: {known}") }
}
