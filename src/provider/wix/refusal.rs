//! What Wix says when it says no: at least five shapes, any of which any of its token endpoints may use
//! (dev.wix.com, "About Errors"; RFC 6749 §5.2).

use http::StatusCode;
use serde_json::Value;

use crate::model::{Response, ServerText};
use crate::provider::{HttpResponse, ProviderError, Refusal, RefusalClass, answer};

/// Wix's name for the request, for its support.
pub(super) fn request_id(answer: &HttpResponse) -> Option<&str> {
    answer.headers().get("x-wix-request-id").and_then(|value| value.to_str().ok())
}

/// The JSON object of a successful answer that carries no error.
pub(super) fn accepted(answer: &HttpResponse) -> Result<Response, ProviderError> {
    let response = answer::object(answer, request_id(answer))?;
    let says_no = || Said::read(&response).is_error && !answer::has_token(&response);
    if !answer.status().is_success() || says_no() { Err(refused(answer, &response)) } else { Ok(response) }
}

/// The refusal in an answer.
pub(super) fn refused(answer: &HttpResponse, response: &Response) -> ProviderError {
    let said = Said::read(response);
    let status = answer.status();
    let class = classify(status, &said);
    ProviderError::Refused(Box::new(Refusal {
        class,
        status: Some(status.as_u16()),
        hint: hint(class, status, &said).map(str::to_owned),
        code: said.code.map(ServerText::new),
        message: ServerText::new(said.message),
        request_id: request_id(answer).map(ServerText::new),
    }))
}

/// The parts of an error that count, from whichever shape it has.
struct Said {
    code: Option<String>,
    message: String,
    /// Whether this is one of the shapes of an error, so that it counts in a 200 too.
    is_error: bool,
}

impl Said {
    fn read(response: &Response) -> Self {
        let details = response.get("details");
        let application = details.and_then(|details| details.get("applicationError"));
        let violation =
            details.and_then(|details| details.pointer("/validationError/fieldViolations/0")).map(|violation| {
                [violation.get("field"), violation.get("description")].map(text).map(Option::unwrap_or_default)
            });
        let code = text(response.get("error"))
            .or_else(|| application.and_then(|error| text(error.get("code"))))
            .or_else(|| text(response.get("errorCode")));
        let mut message = ["error_description", "errorDescription", "message"]
            .into_iter()
            .find_map(|name| text(response.get(name)))
            .or_else(|| application.and_then(|error| text(error.get("description"))))
            .unwrap_or_default();
        if let Some([field, description]) = &violation {
            message = [message.as_str(), field, description]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
        }
        let is_error = code.is_some() || violation.is_some() || !message.is_empty();
        Self { code, message, is_error }
    }
}

/// A code or text: Wix writes codes as strings and as numbers.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn classify(status: StatusCode, said: &Said) -> RefusalClass {
    if answer::is_passing(status) {
        return RefusalClass::Passing;
    }
    match said.code.as_deref() {
        Some("invalid_grant") => RefusalClass::GrantDead,
        Some("invalid_client" | "unauthorized_client" | "INVALID_CLIENT") => RefusalClass::Application,
        _ if said.message.contains("not a valid GUID") => RefusalClass::Application,
        // An unknown instance is a setting or an app that was removed, not a word on any grant.
        _ => RefusalClass::Other,
    }
}

fn hint(class: RefusalClass, status: StatusCode, said: &Said) -> Option<&'static str> {
    match class {
        RefusalClass::Application if said.message.contains("not a valid GUID") => {
            Some("the client id is the app's id from the OAuth page of its dashboard, a GUID")
        }
        RefusalClass::Application => Some(
            "app ids and headless client ids do not mix: check the client id and secret, and that `mode` says which \
             they are",
        ),
        RefusalClass::Other if status == StatusCode::NOT_FOUND => Some(
            "Wix finds no such instance of the app: check the instance id; if the app was removed from the site, its \
             owner has to install it again with `tokman obtain`",
        ),
        _ => None,
    }
}
