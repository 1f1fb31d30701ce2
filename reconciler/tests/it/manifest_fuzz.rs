//! Mutated manifests, models, front matter and `.env` files: no input makes the loader panic or hold much memory (P6).
//!
//! A short campaign runs with the other tests; `HOLDFAST_LONG=1 cargo test -p holdfast-reconciler --test it manifest_fuzz -- --nocapture`
//! tries a million inputs, and `HOLDFAST_FUZZ_INPUTS` any other number. The seed is fixed, so that a failure can be repeated. The
//! inputs start from the projects of `testdata/manifests`.

use std::path::Path;

use holdfast_reconciler::manifest::{MemoryTree, environment, load};

use crate::support::manifest::{cases, testdata};

const INPUTS: u32 = 3_000;
const INPUTS_LONG: u32 = 1_000_000;
/// How the line begins that a campaign ends with.
const SAYS: &str = "manifest fuzzing: ";
const MEMORY_KIB_MAX: u64 = 64 * 1024;

/// Pieces that mean something to one of the parsers.
const PIECES: [&str; 40] = [
    "[",
    "]",
    "{",
    "}",
    "[[",
    "]]",
    "=",
    ":",
    ",",
    "\n",
    "\"",
    "\"\"\"",
    "'",
    "#",
    "- ",
    "---\n",
    "&a ",
    "*a",
    "? ",
    "| ",
    "!!str ",
    "<<: ",
    "$NAME",
    "env:",
    "file:",
    "..",
    "/",
    "agents.a",
    "[agents.a]\n",
    "key",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "9223372036854775808",
    "1e999",
    "nan",
    "~",
    "true",
    "\\u0000",
];

/// A generator of numbers whose sequence is fixed by its seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

type Files = Vec<(String, Vec<u8>)>;

fn collect(root: &Path, folder: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.len() < 16 * 1024 {
                files.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), bytes));
            }
        }
    }
    files.sort();
}

fn projects() -> Vec<Files> {
    let mut all = Vec::new();
    for kind in ["manifests/valid", "manifests/invalid"] {
        for case in cases(kind) {
            let root = testdata(kind).join(case);
            let mut files = Vec::new();
            collect(&root, &root, &mut files);
            all.push(files);
        }
    }
    all
}

fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len() + 1);
    let end = (at + numbers.below(24)).min(bytes.len());
    match numbers.below(7) {
        0 if at < bytes.len() => bytes[at] = numbers.next() as u8,
        1 => drop(bytes.drain(at..end)),
        2 => {
            let copy = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        3 => {
            let piece = PIECES[numbers.below(PIECES.len())].repeat(1 + numbers.below(3) * numbers.below(40));
            bytes.splice(at..at, piece.bytes());
        }
        4 => bytes.truncate(at),
        _ => {
            let piece = PIECES[numbers.below(PIECES.len())];
            bytes.splice(at..end, piece.bytes());
        }
    }
}

/// The most memory that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs in a process of its own: the memory that is measured must not be that of other tests.
#[test]
fn no_input_makes_the_loader_panic_or_hold_much_memory() {
    if std::env::var_os("HOLDFAST_FUZZ_ALONE").is_some() {
        return fuzz();
    }
    let name = "manifest_fuzz::no_input_makes_the_loader_panic_or_hold_much_memory";
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let done = alone.args(["--exact", name, "--nocapture"]).env("HOLDFAST_FUZZ_ALONE", "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    let counted = said.lines().find_map(|line| line.split_once(SAYS));
    say(counted.expect("a campaign says how many inputs it tried").1);
}

#[allow(clippy::print_stdout, reason = "a campaign prints how many cases it ran")]
fn say(line: &str) {
    println!("{SAYS}{line}");
}

fn fuzz() {
    let usual = if std::env::var_os("HOLDFAST_LONG").is_some() { INPUTS_LONG } else { INPUTS };
    let inputs = std::env::var("HOLDFAST_FUZZ_INPUTS").ok().map_or(usual, |text| text.parse().unwrap());
    let projects = projects();
    let mut numbers = Numbers(0x5eed_0001);
    let mut refused = 0;
    for _ in 0..inputs {
        let mut files = projects[numbers.below(projects.len())].clone();
        let file = numbers.below(files.len());
        for _ in 0..=numbers.below(4) {
            mutate(&mut files[file].1, &mut numbers);
        }
        let tree = MemoryTree::new(files);
        let (environment, _) = environment(&tree, []);
        let loaded = load(&tree, "fuzz", &environment);
        let errors = loaded.diagnostics.iter().any(|diagnostic| diagnostic.is_error());
        assert_eq!(errors, loaded.desired.is_none());
        refused += u32::from(errors);
    }
    assert!(
        refused > 0 && refused < inputs,
        "{refused} of {inputs} inputs were refused: the mutations are too weak or strong"
    );
    assert!(peak_kib() < MEMORY_KIB_MAX, "{} KiB", peak_kib());
    say(&format!("{inputs} inputs, {refused} of them refused, {} KiB at the peak", peak_kib()));
}
