//! What every request may say beside its body: the parameters of the query, the organisation, who asks, the request id, and
//! preconditions. Each is parsed once, here, into a type that cannot be wrong.
//!
//! Never here: bodies, and what a route does with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{LIVE, Moment, Reach, Role, Scope};
use holdfast_reconciler::resource::{Address, OrgId};

use crate::access::{Granted, Standing};
use crate::gate::Lane;
use crate::limits::{AUTHOR_BYTES_MAX, QUERY_PARAMS_MAX};
use crate::problem::shown;
use crate::protocol::{AUTHOR_HEADER, LAST_EVENT_HEADER, REQUEST_ID_HEADER, revision_of_etag};
use crate::refusal::Refusal;
use crate::router::App;
use crate::users::user_name;

/// Who is at the other end of a connection, as far as the operating system tells. Who is not known is not trusted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peer {
    /// The user id, on a Unix socket.
    pub(crate) uid: Option<u32>,
    /// Whether it may everything without a token, because it could open the socket.
    pub(crate) trusted: bool,
}

/// What a request says beside its body.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The organisation, if the request names one.
    pub(crate) org: Option<OrgId>,
    /// The request id, if the request has one.
    pub(crate) request_id: Option<String>,
    author: Option<String>,
    peer: Peer,
    /// What the request was let in with, if it came over the network.
    granted: Option<Granted>,
    /// The organisation that the request itself names.
    said_org: Option<OrgId>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    /// Where a client that was cut off had come to in a watch.
    pub(crate) last_event: Option<String>,
    query: BTreeMap<String, String>,
}

impl FromRequestParts<App> for Ask {
    type Rejection = Refusal;

    /// Parses the request and, if it asks for a revision with `min_revision`, waits for it.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let mut ask = Self {
            org: None,
            request_id: text(&parts.headers, &REQUEST_ID_HEADER)?,
            author: author(&parts.headers)?,
            peer: parts.extensions.get().copied().unwrap_or_default(),
            granted: parts.extensions.get().cloned(),
            said_org: None,
            if_match: text(&parts.headers, &header::IF_MATCH)?,
            if_none_match: text(&parts.headers, &header::IF_NONE_MATCH)?,
            last_event: text(&parts.headers, &LAST_EVENT_HEADER)?,
            query: query(parts.uri.query().unwrap_or_default())?,
        };
        ask.said_org = ask.take("org")?;
        ask.org = match &ask.granted {
            None => ask.said_org.clone(),
            Some(granted) => granted.of_query(ask.said_org.clone())?,
        };
        if let Some(wanted) = ask.take::<Revision>("min_revision")? {
            app.gate.wait_for(wanted).await?;
        }
        Ok(ask)
    }
}

impl Ask {
    /// Takes one parameter out of the query.
    pub(crate) fn take<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.query.remove(name) else { return Ok(None) };
        let parsed = text.parse().map_err(|error: T::Err| {
            let message = format!("the parameter `{name}` is malformed: {error}");
            Refusal::invalid("E_QUERY", message, "see `docs/http.md` for the parameters of this route")
        })?;
        Ok(Some(parsed))
    }

    /// Takes a parameter that is `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        self.plain(name, "is `true` or `false`")
    }

    /// Takes a parameter that counts something.
    pub(crate) fn count<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        self.plain(name, "is a whole number, not negative and not too large")
    }

    /// Takes a parameter whose type has no words of its own for what is wrong.
    fn plain<T: FromStr>(&mut self, name: &str, rule: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.query.remove(name) else { return Ok(None) };
        let parsed = text.parse().map_err(|_: T::Err| {
            let message = format!("the parameter `{name}` {rule}, not `{}`", shown(&text));
            Refusal::invalid("E_QUERY", message, "see `docs/http.md` for the parameters of this route")
        })?;
        Ok(Some(parsed))
    }

    /// Takes a parameter that lists words with commas between them; without it the list is empty.
    pub(crate) fn take_words<C: FromIterator<String>>(&mut self, name: &str) -> C {
        let text = self.query.remove(name).unwrap_or_default();
        text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Takes a parameter that names a moment, and finds its revision.
    pub(crate) async fn moment(&mut self, app: &App, name: &str) -> Result<Option<Revision>, Refusal> {
        match self.take::<Moment>(name)? {
            None => Ok(None),
            Some(Moment::Revision(revision)) => Ok(Some(revision)),
            Some(time @ Moment::Time(_)) => {
                Ok(Some(app.gate.call(Lane::Read, move |plane| plane.head_at(time)).await?.revision))
            }
        }
    }

    /// Whether it came over the Unix socket, which asks for no token.
    pub(crate) fn is_trusted(&self) -> bool {
        self.peer.trusted
    }

    /// Takes the parameter that names a user; the empty name is nobody's.
    pub(crate) fn user(&mut self) -> Result<Option<String>, Refusal> {
        match self.take::<String>("user")? {
            Some(user) if user.is_empty() => {
                Err(Refusal::invalid("E_QUERY", "the parameter `user` is empty", "name a user, or leave it out"))
            }
            user => Ok(user),
        }
    }

    /// Takes how many rows a page may hold.
    pub(crate) fn limit(&mut self) -> Result<Option<usize>, Refusal> {
        match self.count("limit")? {
            Some(0) => Err(Refusal::invalid(
                "E_QUERY",
                "the parameter `limit` is 0, and a page without rows tells nothing",
                "ask for at least one, or leave it out",
            )),
            limit => Ok(limit),
        }
    }

    /// Takes the parameters that say which keys are meant: one of `address`, `key` and `prefix`.
    pub(crate) fn scope(&mut self) -> Result<Scope, Refusal> {
        let address = self.take::<Address>("address")?.map(|address| Scope::Key(format!("{LIVE}{address}")));
        let key: Option<String> = self.take("key")?;
        if key.as_ref().is_some_and(String::is_empty) {
            return Err(Refusal::invalid("E_QUERY", "the parameter `key` is empty", "name a key, or leave it out"));
        }
        let key = key.map(Scope::Key);
        let prefix = self.take("prefix")?.map(Scope::Prefix);
        let mut named = address.into_iter().chain(key).chain(prefix);
        match (named.next(), named.next()) {
            (scope, None) => Ok(scope.unwrap_or_default()),
            (_, Some(_)) => {
                Err(Refusal::invalid("E_QUERY", "`address`, `key` and `prefix` exclude each other", "name one of them"))
            }
        }
    }

    /// Refuses the parameters that nobody took: a misspelt one must not be ignored.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self.query.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid(
                "E_QUERY",
                format!("this route has no parameter `{}`", shown(name)),
                "see `docs/http.md` for the parameters of this route",
            )),
        }
    }

    /// The organisation that is meant: that of the query or of the body, which must not differ, else what the caller falls back
    /// to, else the token's only one. A foreign one is refused.
    pub(crate) fn settle(&self, body: Option<OrgId>, otherwise: Option<&OrgId>) -> Result<Option<OrgId>, Problem> {
        let named = match (&self.said_org, body) {
            (Some(query), Some(body)) if *query != body => {
                let message = "the request and its body name two different values for the organisation";
                return Err(Problem::new(ProblemKind::Invalid, "E_ORG", message).help("name it once"));
            }
            (query, body) => query.clone().or(body),
        };
        match &self.granted {
            None => Ok(named),
            Some(granted) => granted.org(named.or_else(|| otherwise.cloned())),
        }
    }

    /// The organisations that the request may be about.
    pub(crate) fn reach(&self) -> Reach {
        self.granted.as_ref().map_or(Reach::All, |granted| granted.access.reach.clone())
    }

    /// Who vouches for what the request says of itself: its token, or nothing for the socket.
    pub(crate) fn owner(&self) -> String {
        self.granted.as_ref().map_or_else(String::new, |granted| granted.access.id.clone())
    }

    /// Refuses a request whose token lacks a role that only some of its parameters need.
    pub(crate) fn needs(&self, role: Role) -> Result<(), Problem> {
        self.granted.as_ref().map_or(Ok(()), |granted| granted.has(role))
    }

    /// A place among the watches of the request's token; none on the socket.
    pub(crate) fn standing(&self) -> Result<Option<Standing>, Refusal> {
        self.granted.as_ref().map(Granted::watch).transpose()
    }

    /// Who asks, where the body may say it too.
    pub(crate) fn author_or(&self, said: Option<String>) -> String {
        match (&self.granted, said.filter(|said| !said.is_empty())) {
            (Some(granted), said) => granted.author(said.as_deref().or(self.author.as_deref())),
            (None, Some(said)) => said,
            (None, None) => self.author(),
        }
    }

    /// Who asks: on the network its token and what the request says; on the socket what it says, else the user at the other end.
    pub(crate) fn author(&self) -> String {
        if let Some(granted) = &self.granted {
            return granted.author(self.author.as_deref());
        }
        match (&self.author, self.peer.uid) {
            (Some(author), _) => author.clone(),
            (None, Some(uid)) => user_name(uid).unwrap_or_else(|| format!("uid:{uid}")),
            (None, None) => "http".to_owned(),
        }
    }

    /// The revision that `If-Match` demands.
    pub(crate) fn if_match(&self) -> Result<Option<Revision>, Refusal> {
        let Some(tag) = &self.if_match else { return Ok(None) };
        match revision_of_etag(tag) {
            Some(revision) => Ok(Some(revision)),
            None => Err(Refusal::invalid(
                "E_IF_MATCH",
                format!("`If-Match: {}` is not the tag of one revision", shown(tag)),
                "send the `ETag` that a read answered, such as `\"41\"`",
            )),
        }
    }

    /// Whether `If-None-Match: *` demands that nothing is there yet.
    pub(crate) fn must_be_absent(&self) -> Result<bool, Refusal> {
        match self.if_none_match.as_deref() {
            None => Ok(false),
            Some("*") => Ok(true),
            Some(tag) => Err(Refusal::invalid(
                "E_IF_NONE_MATCH",
                format!("a write takes `If-None-Match: *` only, not `{}`", shown(tag)),
                "use `If-Match` to demand a revision",
            )),
        }
    }

    /// Whether the client already holds what this tag names.
    pub(crate) fn already_has(&self, revision: Revision) -> bool {
        let Some(tags) = &self.if_none_match else { return false };
        let names = |tag: &str| revision_of_etag(tag.trim_start_matches("W/")) == Some(revision);
        tags == "*" || tags.split(',').any(|tag| names(tag.trim()))
    }

    /// Refuses preconditions on a write that cannot hold them: to ignore one would overwrite somebody's value in silence.
    pub(crate) fn no_preconditions(&self) -> Result<(), Refusal> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Ok(()),
            _ => Err(Refusal::invalid(
                "E_IF_MATCH",
                "this route cannot hold `If-Match` or `If-None-Match`",
                "leave the header out; the plan's id is what guards an apply",
            )),
        }
    }
}

/// The parameters of a query; one that stands twice is refused.
fn query(text: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let help = "see `docs/http.md` for the parameters of this route";
    if decoded(text).is_none() {
        let message = "the query is not percent-encoded UTF-8";
        return Err(Refusal::invalid("E_QUERY", message, "encode each name and value"));
    }
    let mut found = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if found.len() == QUERY_PARAMS_MAX {
            return Err(Refusal::invalid("E_QUERY", format!("more than {QUERY_PARAMS_MAX} parameters"), help));
        }
        if found.contains_key(name.as_ref()) {
            let message = format!("the parameter `{}` stands twice", shown(&name));
            return Err(Refusal::invalid("E_QUERY", message, help));
        }
        found.insert(name.into_owned(), value.into_owned());
    }
    Ok(found)
}

/// A header that stands once and is printable.
fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim().to_owned())),
        (Ok(_), Some(_)) => {
            Err(Refusal::invalid("E_HEADER", format!("the header `{name}` stands twice"), "send it once"))
        }
        (Err(_), _) => Err(Refusal::invalid(
            "E_HEADER",
            format!("the header `{name}` is not printable ASCII"),
            "percent-encode it",
        )),
    }
}

/// A percent-encoded text; none if a `%` begins no byte, or the bytes are not UTF-8.
fn decoded(encoded: &str) -> Option<Cow<'_, str>> {
    let begins_byte =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let whole = encoded.split('%').skip(1).all(begins_byte);
    percent_encoding::percent_decode_str(encoded).decode_utf8().ok().filter(|_| whole)
}

/// The author of the request's header, decoded.
fn author(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(encoded) = text(headers, &AUTHOR_HEADER)? else { return Ok(None) };
    match decoded(&encoded) {
        Some(author) if is_author(&author) => Ok(Some(author.into_owned())),
        Some(_) | None => Err(Refusal::invalid(
            "E_AUTHOR",
            "the author is malformed",
            format!("use 1 to {AUTHOR_BYTES_MAX} bytes of UTF-8 without control characters, percent-encoded"),
        )),
    }
}

/// Whether a text can stand in a commit as its author.
fn is_author(text: &str) -> bool {
    !text.is_empty() && text.len() <= AUTHOR_BYTES_MAX && !text.chars().any(char::is_control)
}
