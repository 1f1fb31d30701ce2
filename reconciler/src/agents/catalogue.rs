//! The catalogue of model providers: built-in rows as data, extended or overridden by `provider` resources.
//!
//! Never here: which provider a session gets (`resolver.rs` decides), and how a manifest spells a row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::value::Fields;

/// A model provider, as far as the resolver needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The id that manifests install it by.
    pub id: Cow<'static, str>,
    /// The name under which it is proxied; an alias of the id.
    pub slug: Option<Cow<'static, str>>,
    /// The environment variable that carries its credential.
    pub env: Cow<'static, str>,
    /// The model that is used when none is asked for.
    pub default_model: Option<Cow<'static, str>>,
    /// What the model library calls it, where that is neither slug nor id.
    pub registry: Option<Cow<'static, str>>,
    /// The environment variable that carries its base URL, where that is not the usual one.
    pub base_url_env: Option<Cow<'static, str>>,
}

impl Provider {
    /// What the model library calls it.
    pub fn registry_name(&self) -> &str {
        self.registry.as_deref().or(self.slug.as_deref()).unwrap_or(&self.id)
    }

    /// The environment variable that carries its base URL.
    pub fn base_url_env_name(&self) -> String {
        match &self.base_url_env {
            Some(name) => name.to_string(),
            None => match self.env.strip_suffix("_KEY") {
                Some(stem) => format!("{stem}_BASE_URL"),
                None => format!("{}_BASE_URL", self.env),
            },
        }
    }

    /// The names that credentials are looked up under: the id, then the slug.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.id).chain(self.slug.as_deref().filter(|slug| *slug != &*self.id))
    }

    fn unknown(id: &str) -> Self {
        let env: String = id.chars().map(|char| if char == '-' { '_' } else { char.to_ascii_uppercase() }).collect();
        Self {
            id: Cow::Owned(id.to_owned()),
            slug: None,
            env: Cow::Owned(format!("{env}_API_KEY")),
            default_model: None,
            registry: None,
            base_url_env: None,
        }
    }
}

/// Providers by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue(BTreeMap<String, Provider>);

impl Default for Catalogue {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Catalogue {
    /// The built-in rows.
    pub fn builtin() -> Self {
        let rows = ROWS.iter().map(|&(id, slug, env, default_model, registry)| Provider {
            id: Cow::Borrowed(id),
            slug: slug.map(Cow::Borrowed),
            env: Cow::Borrowed(env),
            default_model: default_model.map(Cow::Borrowed),
            registry: registry.map(Cow::Borrowed),
            base_url_env: None,
        });
        Self(rows.map(|row| (row.id.to_string(), row)).collect())
    }

    /// Overrides or adds the row of a `provider` resource; a field that it lacks keeps the built-in value.
    pub fn declare(&mut self, id: &str, fields: &Fields) {
        let row = self.0.entry(id.to_owned()).or_insert_with(|| Provider::unknown(id));
        let text = |name: &str| {
            let value = fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            value.map(|text| Cow::Owned(text.to_owned()))
        };
        row.slug = text("slug").or(row.slug.take());
        row.default_model = text("defaultModel").or(row.default_model.take());
        row.registry = text("registry").or(row.registry.take());
        row.base_url_env = text("baseUrlEnv").or(row.base_url_env.take());
        if let Some(env) = text("env") {
            row.env = env;
        }
    }

    /// The row with this id, or else the one with this slug.
    pub fn find(&self, id_or_slug: &str) -> Option<&Provider> {
        self.0.get(id_or_slug).or_else(|| self.0.values().find(|row| row.slug.as_deref() == Some(id_or_slug)))
    }

    /// The row with this id or slug; an id that is in no row gets one without a default model.
    pub fn find_or_unknown(&self, id: &str) -> Cow<'_, Provider> {
        self.find(id).map_or_else(|| Cow::Owned(Provider::unknown(id)), Cow::Borrowed)
    }

    /// All rows in order of their ids.
    pub fn rows(&self) -> impl Iterator<Item = &Provider> {
        self.0.values()
    }
}

/// Id, slug, credential variable, default model, name in the model library.
type Row = (&'static str, Option<&'static str>, &'static str, Option<&'static str>, Option<&'static str>);

/// The providers that the seed system ships; where its worker knows another default model, the worker's.
const ROWS: &[Row] = &[
    ("amazon-bedrock", None, "AWS_BEARER_TOKEN_BEDROCK", None, None),
    ("cerebras", None, "CEREBRAS_API_KEY", Some("llama-3.3-70b"), None),
    ("chatgpt", Some("openai-codex"), "OPENAI_API_KEY", Some("gpt-5.1-codex-max"), None),
    ("claude", Some("anthropic"), "ANTHROPIC_API_KEY", Some("claude-sonnet-4-20250514"), None),
    ("cohere", None, "COHERE_API_KEY", Some("command-r-plus"), None),
    ("deepseek", None, "DEEPSEEK_API_KEY", Some("deepseek-v4-flash"), None),
    ("elevenlabs", None, "ELEVENLABS_API_KEY", None, None),
    ("fireworks", None, "FIREWORKS_API_KEY", Some("accounts/fireworks/models/llama-v3p3-70b-instruct"), None),
    ("gemini", None, "GEMINI_API_KEY", Some("gemini-2.0-flash"), None),
    ("gemini-cli", Some("google"), "GEMINI_API_KEY", Some("gemini-2.5-pro"), None),
    ("groq", None, "GROQ_API_KEY", Some("llama-3.3-70b-versatile"), None),
    ("mistral", None, "MISTRAL_API_KEY", Some("mistral-large-latest"), None),
    ("nvidia", None, "NVIDIA_API_KEY", Some("nvidia/moonshotai/kimi-k2.5"), None),
    ("openai", None, "OPENAI_API_KEY", Some("gpt-4.1"), None),
    ("opencode-zen", None, "OPENCODE_ZEN_API_KEY", Some("anthropic/claude-sonnet-4"), None),
    ("openrouter", None, "OPENROUTER_API_KEY", Some("anthropic/claude-sonnet-4"), None),
    ("perplexity", None, "PERPLEXITY_API_KEY", Some("sonar-pro"), None),
    ("together-ai", None, "TOGETHER_API_KEY", Some("meta-llama/Llama-3.3-70B-Instruct-Turbo"), None),
    ("xai", None, "XAI_API_KEY", Some("grok-3"), None),
    ("z-ai", None, "Z_AI_API_KEY", Some("glm-4.7"), Some("zai")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_provider_is_found_by_id_and_by_slug() {
        let catalogue = Catalogue::builtin();
        assert_eq!(catalogue.rows().count(), ROWS.len());
        let claude = catalogue.find("anthropic").unwrap();
        assert_eq!((&*claude.id, claude.registry_name()), ("claude", "anthropic"));
        assert_eq!(claude.names().collect::<Vec<_>>(), ["claude", "anthropic"]);
        let zai = catalogue.find("z-ai").unwrap();
        assert_eq!((zai.registry_name(), zai.base_url_env_name().as_str()), ("zai", "Z_AI_API_BASE_URL"));
        assert!(catalogue.find("nobody").is_none());
        assert_eq!(catalogue.find_or_unknown("no-body").env, "NO_BODY_API_KEY");
    }

    #[test]
    fn a_declared_row_overrides_only_what_it_names() {
        let mut catalogue = Catalogue::builtin();
        catalogue.declare("z-ai", &Fields::from([("defaultModel".to_owned(), json!("glm-5"))]));
        let row = catalogue.find("z-ai").unwrap();
        assert_eq!((row.default_model.as_deref(), row.registry_name()), (Some("glm-5"), "zai"));
        catalogue.declare("acme", &Fields::from([("slug".to_owned(), json!("acme-llm"))]));
        assert_eq!(catalogue.find("acme-llm").unwrap().env, "ACME_API_KEY");
    }
}
