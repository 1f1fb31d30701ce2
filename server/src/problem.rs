//! Problems on the wire: RFC 9457 `application/problem+json`, with the members that a plane's problem has beyond it, and the
//! HTTP status of each kind.
//!
//! Never here: deciding that something is a problem, and values of secrets: what goes in here is printed and logged.

use axum::http::StatusCode;
use holdfast_reconciler::agents::evidence::Evidence;
use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::Blocked;
use holdfast_reconciler::unseen::is_unseen;
use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";
/// What stands before the code in the member `type`.
const TYPE_PREFIX: &str = "urn:holdfast:problem:";

/// A problem as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// A name for the code that is unique beyond this product.
    pub r#type: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What, in one line.
    pub detail: String,
    /// The id of the request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The stable code.
    pub code: String,
    /// The sort of the problem.
    pub kind: ProblemKind,
    /// Why: the causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// For a session: how each step of the resolution went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// For a blocked apply: what blocks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Blocked>,
    /// Findings about the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl ProblemBody {
    /// Puts a problem into its form on the wire.
    pub fn new(problem: Problem, status: StatusCode, instance: Option<String>) -> Self {
        let Problem { kind, code, message, causes, help, evidence, blocked, diagnostics } = problem;
        Self {
            r#type: format!("{TYPE_PREFIX}{code}"),
            title: title(kind).to_owned(),
            status: status.as_u16(),
            detail: message,
            instance,
            code,
            kind,
            causes,
            help,
            evidence,
            blocked,
            diagnostics,
        }
    }

    /// The problem that was put in.
    pub fn into_problem(self) -> Problem {
        let Self {
            r#type: _,
            title: _,
            status: _,
            instance: _,
            detail,
            code,
            kind,
            causes,
            help,
            evidence,
            blocked,
            diagnostics,
        } = self;
        Problem { kind, code, message: detail, causes, help, evidence, blocked, diagnostics }
    }
}

/// The HTTP status of a kind of problem.
pub fn status(kind: ProblemKind) -> StatusCode {
    match kind {
        ProblemKind::Invalid => StatusCode::BAD_REQUEST,
        ProblemKind::NotFound => StatusCode::NOT_FOUND,
        ProblemKind::Conflict => StatusCode::PRECONDITION_FAILED,
        ProblemKind::Stale | ProblemKind::Blocked => StatusCode::CONFLICT,
        ProblemKind::Failed => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemKind::Gone => StatusCode::GONE,
        ProblemKind::Denied => StatusCode::UNAUTHORIZED,
        ProblemKind::Forbidden => StatusCode::FORBIDDEN,
        ProblemKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ProblemKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A kind of problem in words.
fn title(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Invalid => "the request is malformed",
        ProblemKind::NotFound => "there is no such thing",
        ProblemKind::Conflict => "a precondition did not hold",
        ProblemKind::Stale => "the plan is stale",
        ProblemKind::Blocked => "a guard refuses",
        ProblemKind::Failed => "the request cannot be carried out",
        ProblemKind::Gone => "the state of that time is gone",
        ProblemKind::Denied => "a token is needed",
        ProblemKind::Forbidden => "the token does not allow this",
        ProblemKind::Unavailable => "not now",
        ProblemKind::Internal => "the server is at fault",
    }
}

/// Text from outside, made safe to stand in a message: characters that are not seen escaped, cut at 80 characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(80)
        .flat_map(|char| if is_unseen(char) { char.escape_default().collect() } else { vec![char] })
        .collect()
}

/// What is wrong with a JSON text, without any piece of it that could be a value: the rule and the place.
pub(crate) fn json_problem(what: &str, error: &serde_json::Error) -> Problem {
    let message = format!("malformed {what} at line {}, column {}", error.line(), error.column());
    let mut problem =
        Problem::new(ProblemKind::Invalid, "E_JSON", message).help("see `docs/http.md` for the form of the body");
    problem.causes.push(without_values(&error.to_string()));
    problem
}

/// The rule that serde names, without the value that broke it: the value may be a secret that stands in the wrong place.
fn without_values(message: &str) -> String {
    let rule = message.rsplit_once(" at line ").map_or(message, |(rule, _)| rule);
    let named = ["missing field", "unknown field", "duplicate field"].iter().any(|start| rule.starts_with(start));
    if named {
        return rule.to_owned();
    }
    if let Some(sort) =
        ["invalid type", "invalid value", "invalid length"].iter().find(|start| rule.starts_with(*start))
    {
        return match rule.rsplit_once(", expected ") {
            Some((_, expected)) => format!("{sort}, expected {}", in_words(expected)),
            None => (*sort).to_owned(),
        };
    }
    if let Some((_, expected)) = rule.strip_prefix("unknown variant").and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("unknown value, expected {expected}");
    }
    if rule.starts_with("data did not match any variant") {
        return "none of the forms that this value can have".to_owned();
    }
    // A validated name: "invalid kind `X`: the rule". The name goes; no rule has a colon after a backtick.
    match (rule.split_once('`'), rule.rsplit_once("`: ")) {
        (Some((what, _)), Some((_, rule))) => format!("{}: {rule}", what.trim_end()),
        (Some((what, _)), None) => what.trim_end().to_owned(),
        (None, _) => rule.to_owned(),
    }
}

/// What a deserializer expects, in the words of JSON: the program's own types are nobody's business.
fn in_words(expected: &str) -> String {
    let sort = expected.split_once(' ').map_or(expected, |(sort, _)| sort);
    let words = match sort {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "struct" | "map" => "an object",
        "sequence" | "tuple" => "a list",
        "enum" | "variant" | "field" | "identifier" | "char" => "a string",
        "unit" | "option" => "null or a value",
        "internally" | "adjacently" => "an object",
        _ => match expected {
            "a sequence" => "a list",
            "a map" => "an object",
            "a borrowed string" => "a string",
            _ => expected,
        },
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_reconciler::agents::evidence::{Outcome, Step};

    #[test]
    fn a_problem_survives_the_wire_whole() {
        let mut problem = Problem::new(ProblemKind::Failed, "E_NO_PROVIDER", "no provider").help("set a key");
        problem.causes.push("a cause".into());
        problem.evidence.push(Evidence {
            step: Step::OrgSecret,
            provider: Some("z-ai".into()),
            looked_for: "provider:z-ai:apiKey".into(),
            outcome: Outcome::Absent,
            detail: None,
        });
        problem.blocked.push(Blocked {
            code: "E_BREAKS".into(),
            address: "agent/a".into(),
            path: None,
            owner: None,
            revision: None,
            at: None,
            message: "breaks".into(),
            remedies: vec!["--allow-break a".into()],
        });
        problem.diagnostics.push(Diagnostic::error("E_UNSET", "`$Z_AI_API_KEY` is not set"));
        let body = ProblemBody::new(problem.clone(), status(problem.kind), Some("r".into()));
        let sent = serde_json::to_vec(&body).unwrap();
        let received: ProblemBody = serde_json::from_slice(&sent).unwrap();
        assert_eq!(received.into_problem(), problem);
    }

    #[test]
    fn a_json_error_speaks_of_json_and_names_no_type_of_the_program() {
        fn cause<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
            json_problem("body", &crate::body::from_json::<T>(text.as_bytes()).unwrap_err()).causes.join("; ")
        }
        use crate::wire::{SecretBody, TxnBody};
        use holdfast_reconciler::plane::ImportRequest;
        let put = r#"{"ops": [{"put": {"key": "a", "value": 5}}]}"#;
        assert_eq!(cause::<SecretBody>("[1]"), "invalid type, expected an object");
        assert_eq!(cause::<SecretBody>("7"), "invalid type, expected an object");
        assert_eq!(
            cause::<holdfast_reconciler::raw_value::RawValue>("5"),
            "a raw value is a string, or an object with a string base64"
        );
        assert_eq!(cause::<ImportRequest>(r#"{"state": 5}"#), "invalid type, expected an object");
        let state = r#"{"state": {"format": "f", "version": -1, "resources": []}}"#;
        assert_eq!(cause::<ImportRequest>(state), "invalid value, expected a whole number from 0");
        let state = r#"{"state": {"format": "f", "version": 1, "resources": {}}}"#;
        assert_eq!(cause::<ImportRequest>(state), "invalid type, expected a list");
        for text in ["5", "[]", put] {
            let said = cause::<TxnBody>(text);
            assert!(["struct", "enum", "TxnBody", "RawValue"].iter().all(|word| !said.contains(word)), "{said}");
        }
    }

    #[test]
    fn p8_a_json_error_never_repeats_a_value() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            #[allow(dead_code)]
            revision: u64,
            #[allow(dead_code)]
            kind: Option<holdfast_reconciler::resource::KindName>,
            #[allow(dead_code)]
            sort: Option<ProblemKind>,
        }
        let bad = [
            r#"{"revision": "sk-secret"}"#,
            r#"{"revision": "a, expected sk-secret"}"#,
            r#"{"revision": 1, "kind": "SK-secret"}"#,
            r#"{"revision": 1, "kind": "a`sk-secret"}"#,
            r#"{"revision": 1, "sort": "sk-secret"}"#,
            r#"{"revision": sk-secret}"#,
        ];
        for text in bad {
            let error = serde_json::from_str::<Body>(text).unwrap_err();
            let problem = json_problem("body", &error);
            let printed = serde_json::to_string(&problem).unwrap();
            assert!(!printed.to_lowercase().contains("sk-secret"), "{printed}");
            assert!(!problem.causes[0].is_empty(), "{printed}");
        }
        let error = serde_json::from_str::<Body>(r#"{"revison": 1}"#).unwrap_err();
        assert!(json_problem("body", &error).causes[0].contains("unknown field `revison`"));
    }
}
