//! Shapes: what a manifest may say, as data. One description serves the checks, their suggestions and the JSON Schema.
//!
//! Never here: the shapes themselves (`grammar.rs` and its peers), and comparing values with them (`check.rs`).

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A string.
    Text(Rule),
    /// A string that is a secret: a reference, or a literal that is never repeated.
    Secret,
    /// True or false.
    Boolean,
    /// A whole number in a range.
    Integer { min: i64, max: i64 },
    /// A number of at least `min`.
    Number { min: f64 },
    /// A list of one shape.
    List(&'static Shape),
    /// A table whose keys are names.
    Map { key: Rule, value: &'static Shape },
    /// A table with known keys.
    Table(&'static Table),
    /// A string of the first shape, or else something of the second.
    Either(&'static Shape, &'static Shape),
    /// A shape that contains itself, with the name that its schema is defined under.
    Named(&'static str, &'static Shape),
}

/// A table with known keys.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its keys; every other key is an error.
    pub(crate) keys: &'static [Entry],
    /// Keys that are accepted besides, and carried by no field.
    pub(crate) open: Option<fn(&str) -> bool>,
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
    /// What editors show.
    pub(crate) doc: &'static str,
}

impl Entry {
    pub(crate) const fn required(name: &'static str, shape: &'static Shape, doc: &'static str) -> Self {
        Self { name, required: true, shape, doc }
    }

    pub(crate) const fn optional(name: &'static str, shape: &'static Shape, doc: &'static str) -> Self {
        Self { name, required: false, shape, doc }
    }
}

/// What a string may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// Any text.
    Free,
    /// Any text with something in it.
    NonEmpty,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A text of a form.
    Form {
        test: fn(&str) -> bool,
        /// The form in words, after "must ".
        says: &'static str,
        /// The form as a regular expression, for the JSON Schema.
        pattern: &'static str,
    },
}

/// An id: of an agent, a platform, a connection.
pub(crate) const ID: Rule = Rule::Form {
    test: crate::resource::is_id,
    says: "be lower-case letters, digits and `-`, at most 63, starting with a letter or digit",
    pattern: "^[a-z0-9][a-z0-9-]{0,62}$",
};

/// A name that goes into an address without any other rule.
pub(crate) const NAME: Rule = Rule::Form {
    test: |text| text.trim() == text && crate::resource::ResourceName::new(text).is_ok() && text.len() <= 200,
    says: "be 1 to 200 bytes without control characters or spaces at its ends",
    pattern: "^[^\\s\\p{Cc}]([^\\p{Cc}]*[^\\s\\p{Cc}])?$",
};

/// Any text.
pub(crate) static TEXT: Shape = Shape::Text(Rule::Free);
/// Text with something in it.
pub(crate) static FILLED: Shape = Shape::Text(Rule::NonEmpty);
/// A list of texts.
pub(crate) static TEXTS: Shape = Shape::List(&TEXT);
/// A table of texts.
pub(crate) static TEXT_MAP: Shape = Shape::Map { key: Rule::NonEmpty, value: &TEXT };
/// True or false.
pub(crate) static BOOLEAN: Shape = Shape::Boolean;
/// Anything.
pub(crate) static ANY: Shape = Shape::Any;
/// A table of anything.
pub(crate) static ANY_MAP: Shape = Shape::Map { key: Rule::NonEmpty, value: &ANY };
