//! Sealed secrets: the key ring, sealing and opening, and the keyed tags that diffs compare.
//!
//! The cipher is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03); organisation, address and the version of this form are
//! its associated data, so that a sealed value opens only where it was put. Never here: where the key file lies
//! (`keyfile.rs`), the store, and any output.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use holdfast_engine::Digest;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::desired::SecretText;
use crate::resource::{Address, OrgId};

/// The version of the sealed form: version byte, key id, nonce, ciphertext with its tag.
const FORM: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;
const KEY_BYTES: usize = 32;
/// How many hexadecimal digits of the keyed digest a tag shows: 48 bits, enough to tell values apart and too few to be a
/// fingerprint of the value for anybody without the key.
const TAG_DIGITS: usize = 12;
/// The associated data of tokens. That of a record begins with the form and a length, so it is never this.
const TOKEN_DATA: &[u8] = b"holdfast worker token";
const KEY_LINE: &str = "holdfast-key-1";

/// The secret values of one record, by the text form of their path.
pub type SecretValues = BTreeMap<String, SecretText>;

/// Says which key sealed something, without telling anything about the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = KeyTextError;
    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let mut id = [0; KEY_ID_BYTES];
        if text.len() != 2 * KEY_ID_BYTES || !text.is_ascii() {
            return Err(KeyTextError::Empty);
        }
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| KeyTextError::Empty)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| KeyTextError::Empty)?;
        }
        Ok(Self(id))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Why a sealed value does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It was sealed under a key that is not in the ring.
    #[error("it was sealed under key `{sealed_under}`, and the master key at hand is `{at_hand}`")]
    OtherKey {
        /// The key that sealed it.
        sealed_under: KeyId,
        /// The newest key of the ring.
        at_hand: KeyId,
    },
    /// There is no key at all.
    #[error("there is no master key")]
    NoKey,
    /// The bytes are not what was sealed, or were sealed for another place.
    #[error("the sealed bytes are damaged or belong to another record")]
    Damaged,
    /// The sealed form is of a later version.
    #[error("the sealed bytes have form {0}, which this version does not know")]
    Form(u8),
}

/// Text that is not a key ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// A line that is not a key.
    #[error("line {0} is not `holdfast-key-1` and 64 hexadecimal digits, nor 64 hexadecimal digits alone")]
    Line(usize),
    /// No key at all.
    #[error("it holds no key")]
    Empty,
}

struct Key {
    cipher: XChaCha20Poly1305,
    tag_key: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys that secrets are sealed under: the newest seals, all of them open.
pub struct KeyRing {
    keys: BTreeMap<KeyId, Arc<Key>>,
    newest: KeyId,
}

impl KeyRing {
    /// Makes a ring with one new random key.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn generate() -> Result<(Self, Zeroizing<String>), getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        getrandom::fill(bytes.as_mut())?;
        let mut text = Zeroizing::new(String::with_capacity(KEY_LINE.len() + 2 * KEY_BYTES + 2));
        text.push_str(KEY_LINE);
        text.push(' ');
        for byte in bytes.iter() {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('\n');
        let (id, key) = Key::new(&bytes);
        Ok((Self { keys: BTreeMap::from([(id, Arc::new(key))]), newest: id }, text))
    }

    /// Reads a ring: one key a line, the newest first; blank lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// Names the line that is no key, without showing it.
    pub fn parse(text: &str) -> Result<Self, KeyTextError> {
        let mut keys = BTreeMap::new();
        let mut newest = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let digits = line.strip_prefix(KEY_LINE).map_or(line, str::trim);
            let bytes = parse_hex(digits).ok_or(KeyTextError::Line(number))?;
            let (id, key) = Key::new(&bytes);
            newest.get_or_insert(id);
            keys.insert(id, Arc::new(key));
        }
        Ok(Self { keys, newest: newest.ok_or(KeyTextError::Empty)? })
    }

    /// The key that seals.
    pub fn newest(&self) -> KeyId {
        self.newest
    }

    /// How many keys it holds; never 0.
    #[allow(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The same ring with another of its keys as the one that seals; none if it does not hold that key.
    pub fn sealing_with(&self, key: KeyId) -> Option<Self> {
        self.keys.contains_key(&key).then(|| Self { keys: self.keys.clone(), newest: key })
    }

    fn newest_key(&self) -> &Key {
        self.keys.get(&self.newest).expect("a ring always holds its newest key")
    }

    /// Seals the secret values of one record.
    pub fn seal(&self, org: &OrgId, address: &Address, values: &SecretValues) -> Vec<u8> {
        let plain = Zeroizing::new(serde_json::to_vec(&Plain { values }).expect("a map of strings is always JSON"));
        self.encrypt(&associated_data(org, address), &plain)
    }

    /// Seals what a token says. It opens as a token only.
    pub(crate) fn seal_token(&self, plain: &[u8]) -> Vec<u8> {
        self.encrypt(TOKEN_DATA, plain)
    }

    /// Opens what a token says; none if it was not sealed here, as a token.
    pub(crate) fn open_token(&self, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.decrypt(TOKEN_DATA, bytes).ok()
    }

    fn encrypt(&self, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let payload = Payload { msg: plain, aad };
        let sealed = self.newest_key().cipher.encrypt(&nonce, payload).expect("the values fit the cipher's limit");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + sealed.len());
        bytes.push(FORM);
        bytes.extend_from_slice(&self.newest.0);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        bytes
    }

    /// Opens the sealed values of one record.
    ///
    /// # Errors
    /// Says whether the key is another one or the bytes are not those that were sealed for this record.
    pub fn open(&self, org: &OrgId, address: &Address, bytes: &[u8]) -> Result<SecretValues, OpenError> {
        let plain = self.decrypt(&associated_data(org, address), bytes)?;
        serde_json::from_slice::<PlainOwned>(&plain).map(|plain| plain.values).map_err(|_| OpenError::Damaged)
    }

    /// Whether the sealed values of one record open, with the same verdict as [`KeyRing::open`] and none of the values kept.
    ///
    /// # Errors
    /// As for [`KeyRing::open`].
    pub fn check(&self, org: &OrgId, address: &Address, bytes: &[u8]) -> Result<(), OpenError> {
        let plain = self.decrypt(&associated_data(org, address), bytes)?;
        serde_json::from_slice::<PlainSeen>(&plain).map(drop).map_err(|_| OpenError::Damaged)
    }

    fn decrypt(&self, aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let sealed_under = sealed_under(bytes)?;
        let key = self.keys.get(&sealed_under).ok_or(OpenError::OtherKey { sealed_under, at_hand: self.newest })?;
        let nonce = XNonce::try_from(&bytes[1 + KEY_ID_BYTES..HEADER_BYTES]).map_err(|_| OpenError::Damaged)?;
        let payload = Payload { msg: &bytes[HEADER_BYTES..], aad };
        key.cipher.decrypt(&nonce, payload).map(Zeroizing::new).map_err(|_| OpenError::Damaged)
    }

    /// The keyed tag of a value at its place: equal values have equal tags under one key, and nothing else can be told from it.
    ///
    /// The tag is a nested SHA-256 MAC (the key goes into both the inner and the outer digest, as in NMAC), cut to 48 bits.
    pub fn tag(&self, org: &OrgId, address: &Address, path: &str, value: &SecretText) -> String {
        let key: &[u8] = self.newest_key().tag_key.as_slice();
        let address = address.to_string();
        let place = [org.as_str().as_bytes(), address.as_bytes(), path.as_bytes()];
        let [org, address, path] = place;
        let inner =
            Digest::of_parts("holdfast secret tag inner", &[key, org, address, path, value.expose().as_bytes()]);
        let outer = Digest::of_parts("holdfast secret tag outer", &[key, inner.to_string().as_bytes()]);
        outer.to_string()[..TAG_DIGITS].to_owned()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyRing").field("keys", &self.keys.keys()).finish_non_exhaustive()
    }
}

/// Which key sealed some bytes.
///
/// # Errors
/// The bytes are too short or of a form that this version does not know.
pub fn sealed_under(bytes: &[u8]) -> Result<KeyId, OpenError> {
    match bytes.first() {
        Some(&FORM) if bytes.len() >= HEADER_BYTES => {
            let mut id = [0; KEY_ID_BYTES];
            id.copy_from_slice(&bytes[1..=KEY_ID_BYTES]);
            Ok(KeyId(id))
        }
        Some(&form) if form != FORM => Err(OpenError::Form(form)),
        Some(_) | None => Err(OpenError::Damaged),
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> (KeyId, Self) {
        let derive = |what: &str| Digest::of_parts(what, &[bytes.as_slice()]);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&derive("holdfast key id").as_bytes()[..KEY_ID_BYTES]);
        let tag_key = Zeroizing::new(*derive("holdfast tag key").as_bytes());
        (KeyId(id), Self { cipher: XChaCha20Poly1305::new(bytes.into()), tag_key })
    }
}

#[derive(Serialize)]
struct Plain<'v> {
    values: &'v SecretValues,
}

#[derive(Deserialize)]
struct PlainOwned {
    values: SecretValues,
}

/// The same form, read and not kept: every session asks whether a secret opens, and no copy of it needs to be made for that.
#[derive(Deserialize)]
struct PlainSeen {
    #[serde(rename = "values")]
    _values: TextsSeen,
}

/// A map of texts that was read to its end.
struct TextsSeen;

/// A text that was read.
struct TextSeen;

impl<'de> Deserialize<'de> for TextsSeen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = TextsSeen;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of texts")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<TextsSeen, M::Error> {
                while map.next_entry::<TextSeen, TextSeen>()?.is_some() {}
                Ok(TextsSeen)
            }
        }
        from.deserialize_map(Texts)
    }
}

impl<'de> Deserialize<'de> for TextSeen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = TextSeen;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<TextSeen, E> {
                Ok(TextSeen)
            }
        }
        from.deserialize_str(Text)
    }
}

fn associated_data(org: &OrgId, address: &Address) -> Vec<u8> {
    let parts = [org.as_str(), address.kind.as_str(), address.name.as_str()];
    let mut data = Vec::with_capacity(1 + parts.map(|part| 8 + part.len()).iter().sum::<usize>());
    data.push(FORM);
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

fn parse_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (OrgId, Address) {
        (OrgId::default(), "secret/provider:z-ai:apiKey".parse().unwrap())
    }

    fn values() -> SecretValues {
        BTreeMap::from([("value".to_owned(), SecretText::new("canary-4711".to_owned()))])
    }

    #[test]
    fn p8_a_sealed_value_opens_only_where_it_was_put() {
        let (ring, _) = KeyRing::generate().unwrap();
        let (org, address) = place();
        let sealed = ring.seal(&org, &address, &values());
        assert_eq!(ring.open(&org, &address, &sealed).unwrap(), values());
        assert_eq!(ring.check(&org, &address, &sealed), Ok(()));
        assert!(!sealed.windows(11).any(|window| window == b"canary-4711"));
        let acme = OrgId::new("acme").unwrap();
        let other = "secret/provider:groq:apiKey".parse().unwrap();
        assert_eq!(ring.open(&acme, &address, &sealed), Err(OpenError::Damaged));
        assert_eq!(ring.open(&org, &other, &sealed), Err(OpenError::Damaged));
    }

    #[test]
    fn p8_every_single_bit_of_a_sealed_value_counts() {
        let (ring, _) = KeyRing::generate().unwrap();
        let (org, address) = place();
        let sealed = ring.seal(&org, &address, &values());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let opened = ring.open(&org, &address, &changed).map(drop);
            assert!(opened.is_err() && opened == ring.check(&org, &address, &changed), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(ring.open(&org, &address, &sealed[..length]).is_err(), "{length} bytes");
            assert!(ring.check(&org, &address, &sealed[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn p4_a_check_has_the_verdict_of_an_opening_whatever_was_sealed() {
        let (ring, _) = KeyRing::generate().unwrap();
        let (org, address) = place();
        let data = associated_data(&org, &address);
        for (plain, opens) in [
            (r#"{"values":{}}"#, true),
            (r#"{"values":{"a":"\u00e9\n","b":""}}"#, true),
            (r#"{"values":{"a":1}}"#, false),
            (r#"{"values":{"a":null}}"#, false),
            (r#"{"values":["a"]}"#, false),
            (r#"{"values":{"a":"b"}"#, false),
            (r#"{"values":{"a":"b"}} x"#, false),
            ("{}", false),
            ("", false),
        ] {
            let sealed = ring.encrypt(&data, plain.as_bytes());
            assert_eq!(ring.open(&org, &address, &sealed).is_ok(), opens, "{plain}");
            assert_eq!(ring.check(&org, &address, &sealed).is_ok(), opens, "{plain}");
        }
    }

    #[test]
    fn another_key_is_named_and_not_taken_for_damage() {
        let (ring, _) = KeyRing::generate().unwrap();
        let (other, _) = KeyRing::generate().unwrap();
        let (org, address) = place();
        let sealed = ring.seal(&org, &address, &values());
        let expected = OpenError::OtherKey { sealed_under: ring.newest(), at_hand: other.newest() };
        assert_eq!(other.open(&org, &address, &sealed), Err(expected));
    }

    #[test]
    fn a_ring_survives_its_text_and_old_keys_still_open() {
        let (old, old_text) = KeyRing::generate().unwrap();
        let (new, new_text) = KeyRing::generate().unwrap();
        let (org, address) = place();
        let both = KeyRing::parse(&format!("# newest first\n{}\n{}", *new_text, *old_text)).unwrap();
        assert_eq!(both.newest(), new.newest());
        assert!(both.open(&org, &address, &old.seal(&org, &address, &values())).is_ok());
        let tag = |ring: &KeyRing| ring.tag(&org, &address, "value", &SecretText::new("x".to_owned()));
        assert_eq!(tag(&both), tag(&new));
        assert_ne!(tag(&new), tag(&old));
    }

    #[test]
    fn text_that_is_no_key_is_refused_without_being_shown() {
        assert_eq!(KeyRing::parse("").unwrap_err(), KeyTextError::Empty);
        let error = KeyRing::parse("\nhunter2-hunter2\n").unwrap_err();
        assert_eq!(error, KeyTextError::Line(2));
        assert!(!error.to_string().contains("hunter2"));
    }
}
