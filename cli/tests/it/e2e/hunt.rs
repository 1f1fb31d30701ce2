//! Secrets are hunted: a canary stands in every place where a secret can stand, everything is asked in every form, and all
//! that came of it is searched for each canary, plain, in base64 and in hex.

use std::path::Path;

use rustix::process::Signal;

use crate::serve::Server;
use crate::support::Project;

/// Where each canary is put. None contains another.
const PROVIDER: &str = "cnry-provider-6b1d9f04";
const OVERWRITTEN: &str = "cnry-overwritten-2f7e";
const FROM_FILE: &str = "cnry-from-file-91c3a7";
const DOT_ENV: &str = "cnry-dot-env-55d20e8b";
const PLATFORM: &str = "cnry-platform-07aa41f";
const CONNECTOR: &str = "cnry-connector-e8830d";
const OWN_KIND: &str = "cnry-own-kind-3390bc1";
const NESTED: &str = "cnry-nested-d41f6622a";
const BY_HAND: &str = "cnry-by-hand-70b9e5c1";
const PROFILE: &str = "cnry-profile-1c44fd90";
const LITERAL: &str = "cnry-literal-a05be2d7";
const WORKER: &str = "cnry-worker-env-8e12f";
const CANARIES: [&str; 12] = [
    PROVIDER,
    OVERWRITTEN,
    FROM_FILE,
    DOT_ENV,
    PLATFORM,
    CONNECTOR,
    OWN_KIND,
    NESTED,
    BY_HAND,
    PROFILE,
    LITERAL,
    WORKER,
];

const MANIFEST: &str = r#"[project]
name = "team"

[memory]
org = "default"

[agents.triage]
name = "Triage"
dir = "./agents/triage"
owner = "maria"

[[agents.triage.providers]]
id = "z-ai"
model = "glm-4.6"
key = "$Z_KEY"

[[agents.triage.providers]]
id = "openai"
key = "file:openai.key"

[[agents.triage.providers]]
id = "gemini"
key = "$DOT_KEY"

[[agents.triage.providers]]
id = "groq"
key = "cnry-literal-a05be2d7"

[[agents.triage.platforms]]
type = "telegram"
name = "main"
config = { botToken = "$BOT_TOKEN" }

[agents.triage.skills.mcp.gh]
url = "https://mcp.example"
headers = { Authorization = "$GH_TOKEN" }

[kinds.feature-flag]
fields.token = { type = "string", sensitive = true }
fields.limits = { type = "table", fields = { secret = { type = "string", sensitive = true } } }

[resources.feature-flag.new-ui]
token = "$FLAG_TOKEN"
limits = { secret = "$FLAG_LIMIT" }
"#;

const CONNECTOR_FILE: &str = "version: 1
type: auth_profile
slug: hn-token
connector: hackernews
kind: env
name: Token
credentials:
  HN_TOKEN: $HN_TOKEN
";

/// Each way in which a canary might be written: itself, hex of either case, and what of its base64 is the same wherever it
/// stands in a longer text, in both alphabets.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let bytes = canary.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![canary.to_owned(), canary.chars().rev().collect(), hex.to_uppercase(), hex];
    for ahead in 0..3 {
        let mut padded = vec![0; ahead];
        padded.extend_from_slice(bytes);
        let whole = base64(&padded);
        // The first and last characters also hold bits of what stands beside.
        let inner: String = whole.chars().skip(ahead + 1).take(4 * (bytes.len() - 3) / 3).collect();
        forms.push(inner.replace('+', "-").replace('/', "_"));
        forms.push(inner);
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}

struct Hunt {
    forms: Vec<(&'static str, Vec<u8>)>,
    searched: usize,
}

impl Hunt {
    fn new() -> Self {
        let forms = CANARIES.iter().flat_map(|canary| forms(canary).into_iter().map(move |form| (*canary, form)));
        Self { forms: forms.collect(), searched: 0 }
    }

    /// Searches for something that the product itself made, from now on.
    fn add(&mut self, secret: &str) {
        assert!(secret.len() >= 32, "`{secret}` could stand somewhere by chance");
        let secret: &'static str = String::leak(secret.to_owned());
        self.forms.extend(forms(secret).into_iter().map(|form| (secret, form)));
    }

    fn found(&self, bytes: &[u8]) -> Option<&'static str> {
        let holds = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
        self.forms.iter().find(|(_, form)| holds(form)).map(|(canary, _)| *canary)
    }

    fn search(&mut self, what: &str, bytes: &[u8]) {
        self.searched += bytes.len();
        if let Some(canary) = self.found(bytes) {
            panic!("{what} holds `{canary}`\n{}", String::from_utf8_lossy(bytes));
        }
    }

    /// Every file below the project and the home, but for those that the test itself wrote.
    fn files(&mut self, project: &Project, after: &str) {
        for (path, bytes) in project.files() {
            let name = path.file_name().unwrap().to_str().unwrap();
            let ours = ["lobu.toml", "openai.key", ".env"].contains(&name) && path.starts_with(project.path());
            // The only file that may hold a master key.
            let ours = ours || path.starts_with(project.home().join(".config/holdfast"));
            if !ours && path.extension().is_none_or(|kind| kind != "yaml") {
                self.search(&format!("{} after {after}", path.display()), &bytes);
            }
        }
    }
}

#[test]
fn a_canary_is_found_in_each_of_its_forms() {
    let hunt = Hunt::new();
    let hex: String = PROVIDER.bytes().map(|byte| format!("{byte:02x}")).collect();
    for ahead in ["", "a", "ab", "abc", "abcd"] {
        let text = format!("{ahead}{PROVIDER} and more");
        for found in
            [text.clone(), format!("{ahead}{hex}"), base64(text.as_bytes()), base64(text.as_bytes()).replace('+', "-")]
        {
            assert_eq!(hunt.found(found.as_bytes()), Some(PROVIDER), "{found}");
        }
    }
    assert_eq!(hunt.found(b"nothing of that sort"), None);
}

#[test]
fn p8_no_canary_is_in_any_output_log_file_or_answer() {
    for served in [false, true] {
        let searched = hunt(served);
        println!("served {served}: {searched} bytes searched for {} forms", Hunt::new().forms.len());
        assert!(searched > 100_000);
    }
}

/// Plants, asks and searches; gives how many bytes were searched.
fn hunt(served: bool) -> usize {
    let mut hunt = Hunt::new();
    let project = Project::bare();
    for folder in ["agents/triage", "connectors"] {
        std::fs::create_dir_all(project.path().join(folder)).unwrap();
    }
    project.write("lobu.toml", MANIFEST);
    project.write("openai.key", FROM_FILE);
    project.write(".env", &format!("DOT_KEY={DOT_ENV}\n"));
    project.write("connectors/hn.yaml", CONNECTOR_FILE);
    let variables = [
        ("Z_KEY", OVERWRITTEN),
        ("BOT_TOKEN", PLATFORM),
        ("HN_TOKEN", CONNECTOR),
        ("FLAG_TOKEN", OWN_KIND),
        ("FLAG_LIMIT", NESTED),
        ("GH_TOKEN", WORKER),
    ];
    let server = served.then(|| Server::start(&project));
    let run = |hunt: &mut Hunt, variables: &[(&str, &str)], arguments: &[&str], input: &str, codes: &[i32]| {
        let ended = project.run_with(arguments, variables, input);
        let what = format!("served {served}: {}", arguments.join(" "));
        hunt.search(&what, ended.stdout.as_bytes());
        hunt.search(&what, ended.stderr.as_bytes());
        let code = ended.code.unwrap();
        assert!(codes.contains(&code), "{what}: {code}\n{}\n{}", ended.stdout, ended.stderr);
    };
    run(&mut hunt, &variables, &["check"], "", &[0]);
    run(&mut hunt, &variables, &["--yes", "-v", "--full", "--all"], "", &[0]);
    let rotated: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, if *name == "Z_KEY" { PROVIDER } else { value })).collect();
    for format in ["text", "json", "markdown", "github"] {
        let plan = ["--dry-run", "--full", "--all", "-v", "--format", format];
        run(&mut hunt, &rotated, &plan, "", &[0]);
        run(&mut hunt, &variables, &["--dry-run", "--against", "nothing.json", "--format", format], "", &[1]);
    }
    run(&mut hunt, &rotated, &["--yes", "-v", "--format", "json"], "", &[0]);
    run(&mut hunt, &[], &["secret", "set", "own", "-v"], BY_HAND, &[0]);
    run(&mut hunt, &[], &["profile", "set", "maria", "z-ai", "-v"], PROFILE, &[0]);
    made_here(&mut hunt, &project);
    hunt.files(&project, "everything was put");
    reads(&mut hunt, &run, &rotated);
    refusals(&mut hunt, &run, &rotated, &project);
    if let Some(server) = server {
        answers(&mut hunt, &project);
        server.stop(Signal::TERM);
    }
    hunt.files(&project, "everything was asked");
    // The hunt itself works: the folder does hold what the test wrote there.
    let manifest = std::fs::read(project.path().join("lobu.toml")).unwrap();
    assert_eq!(hunt.found(&manifest), Some(LITERAL));
    hunt.searched
}

/// What the product makes itself: the master key, which stays in its file, and an access token, which is printed once.
fn made_here(hunt: &mut Hunt, project: &Project) {
    let key = std::fs::read_to_string(project.home().join(".config/holdfast/master.key")).unwrap();
    hunt.add(key.trim());
    let made = project.run(&["token", "create", "ci", "--role", "read"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let token = made.stdout.trim();
    assert!(!made.stderr.contains(token), "{}", made.stderr);
    hunt.add(token);
}

type Run<'r> = dyn Fn(&mut Hunt, &[(&str, &str)], &[&str], &str, &[i32]) + 'r;

/// Whatever can be asked.
fn reads(hunt: &mut Hunt, run: &Run<'_>, variables: &[(&str, &str)]) {
    let reads: [&[&str]; 18] = [
        &["token", "list"],
        &["session", "triage", "--full"],
        &["session", "triage", "--user", "maria"],
        &["session", "triage", "--at", "r1"],
        &["explain", "session", "triage"],
        &["explain", "secret/provider:z-ai:apiKey", "value"],
        &["explain", "settings/triage"],
        &["get", "feature-flag/new-ui"],
        &["get", "secret/own"],
        &["secret", "list"],
        &["profile", "list"],
        &["history"],
        &["show", "r1"],
        &["diff", "r1", "r2", "--full"],
        &["status"],
        &["verify"],
        &["export"],
        &["--dry-run", "--all"],
    ];
    for words in reads {
        for format in ["text", "json"] {
            let words: Vec<&str> = words.iter().copied().chain(["-v", "--format", format]).collect();
            run(hunt, variables, &words, "", &[0]);
        }
    }
    run(hunt, variables, &["backup", "saved.backup", "-v"], "", &[0]);
    run(hunt, &[], &["secret", "rotate", "-v"], "", &[0]);
}

/// Whatever can go wrong beside a secret.
fn refusals(hunt: &mut Hunt, run: &Run<'_>, variables: &[(&str, &str)], project: &Project) {
    // A literal cannot be sealed into a file; without it, the plan can.
    run(hunt, variables, &["--dry-run", "--out", "plan.json", "-v"], "", &[1]);
    project.edit("key = \"cnry-literal-a05be2d7\"\n", "key = \"$Z_KEY\"\n");
    run(hunt, variables, &["--dry-run", "--out", "plan.json", "-v"], "", &[0, 3]);
    run(hunt, variables, &["show", "plan.json", "--format", "json"], "", &[0]);
    run(hunt, &[], &["apply", "plan.json", "--yes"], "", &[1]);
    run(hunt, variables, &["apply", "plan.json", "--yes", "--format", "json"], "", &[0]);
    project.edit(
        "key = \"$Z_KEY\"\n\n[[agents.triage.platforms]]",
        "key = \"cnry-literal-a05be2d7\"\n\n[[agents.triage.platforms]]",
    );
    for (arguments, input) in [
        (&["secret", "set", "bad\nname", "-v"][..], BY_HAND),
        (&["set", "feature-flag/new-ui", &format!("token={OWN_KIND}")], ""),
        (&["set", "settings/triage", &format!("guardrails={BY_HAND}")], ""),
        (&["profile", "set", "maria", "z-ai", "--expires", PROFILE], PROFILE),
    ] {
        // What stands in an argument by mistake may be repeated to who typed it, but not by anybody else.
        let ended = project.run_with(arguments, variables, input);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        let typed = arguments.iter().any(|word| word.contains("cnry-"));
        if !typed {
            hunt.search(&arguments.join(" "), format!("{}{}", ended.stdout, ended.stderr).as_bytes());
        }
    }
    for (from, to) in [
        ("key = \"cnry-literal-a05be2d7\"", "key = \"cnry-literal-a05be2d7"),
        ("key = \"cnry-literal-a05be2d7", "kye = \"cnry-literal-a05be2d7\""),
        ("kye = \"cnry-literal-a05be2d7\"", "key = [\"cnry-literal-a05be2d7\"]"),
    ] {
        project.edit(from, to);
        for format in ["text", "json", "github"] {
            run(hunt, variables, &["--dry-run", "-v", "--format", format], "", &[1]);
        }
    }
    project.edit("key = [\"cnry-literal-a05be2d7\"]", "key = \"cnry-literal-a05be2d7\"");
}

/// What the server answers to anybody who asks.
fn answers(hunt: &mut Hunt, project: &Project) {
    use std::io::{Read as _, Write as _};
    let socket: &Path = &project.store().join("server.sock");
    for target in [
        "/v1/resources?limit=10000",
        "/v1/resources/feature-flag/new-ui",
        "/v1/explain/secret/provider:z-ai:apiKey",
        "/v1/agents/triage/session",
        "/v1/agents/triage/session?user=maria",
        "/v1/agents/triage/explain?user=maria",
        "/v1/secrets",
        "/v1/profiles",
        "/v1/commits",
        "/v1/commits/r2",
        "/v1/diff?from=0&to=3",
        "/v1/status",
        "/v1/backup",
        "/metrics",
        "/openapi.json",
        "/v1/nothing",
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "), "{target}");
        hunt.search(target, &answer);
    }
}
