//! When certificates count: the two dates of each, read out of its DER form (RFC 5280, 4.1.2.5).
//!
//! Never here: whether somebody trusts a certificate (`tls.rs`), and a clock.

use holdfast_engine::Timestamp;
use holdfast_reconciler::plane::{Moment, rfc3339};

/// A sequence, the number of a version, and the two forms of a time.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// What stands for no end.
const NO_END: &str = "99991231235959Z";

/// From when until when a certificate, or a chain of them, counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub from: Timestamp,
    /// The last one.
    pub until: Timestamp,
}

/// A certificate is shown at a time at which it does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongTime {
    /// It is too early.
    #[error("the certificate counts only from {} on, and it is {} by the clock of this machine", rfc3339(*from), rfc3339(*now))]
    Early {
        /// Its first instant.
        from: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// It is too late.
    #[error("the certificate expired at {}, and it is {} by the clock of this machine", rfc3339(*until), rfc3339(*now))]
    Expired {
        /// Its last instant.
        until: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
}

impl Validity {
    /// What all certificates of a chain have in common; none if the dates of one cannot be read.
    pub(crate) fn of_chain<'c>(chain: impl IntoIterator<Item = &'c [u8]>) -> Option<Self> {
        let both = |one: Self, other: Self| Self { from: one.from.max(other.from), until: one.until.min(other.until) };
        chain.into_iter().map(Self::of_der).reduce(|one, other| Some(both(one?, other?)))?
    }

    fn of_der(certificate: &[u8]) -> Option<Self> {
        let signed = &mut inside(&mut &*certificate, SEQUENCE)?;
        let certified = &mut inside(signed, SEQUENCE)?;
        let mut number = part(certified)?;
        if number.0 == VERSION {
            number = part(certified)?;
        }
        let (_serial, _algorithm, _issuer) =
            ((number.0 == INTEGER).then_some(())?, inside(certified, SEQUENCE)?, inside(certified, SEQUENCE)?);
        let dates = &mut inside(certified, SEQUENCE)?;
        Some(Self { from: time(part(dates)?)?, until: time(part(dates)?)? })
    }

    /// Refuses a time at which it does not count.
    ///
    /// # Errors
    /// Which of the two.
    pub fn check(&self, now: Timestamp) -> Result<(), WrongTime> {
        let Self { from, until } = *self;
        match now {
            _ if now < from => Err(WrongTime::Early { from, now }),
            _ if now > until => Err(WrongTime::Expired { until, now }),
            _ => Ok(()),
        }
    }
}

/// Takes the next part off: its tag, and what is in it.
fn part<'d>(rest: &mut &'d [u8]) -> Option<(u8, &'d [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = match usize::from(first) {
        short if short < 0x80 => (short, after),
        long => {
            let (digits, after) = after.split_at_checked(long & 0x7f)?;
            // No certificate has four gigabytes.
            let length = (1..=4)
                .contains(&digits.len())
                .then(|| digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)))?;
            (length, after)
        }
    };
    let (inside, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((tag, inside))
}

/// Takes the next part off, which must have this tag.
fn inside<'d>(rest: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    part(rest).filter(|(found, _)| *found == tag).map(|(_, inside)| inside)
}

fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let text = match (tag, text.len()) {
        // The two digits stand for 1950 to 2049.
        (UTC_TIME, 13) => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        (GENERALIZED_TIME, 15) if text == NO_END => return Some(Timestamp::from_millis(i64::MAX)),
        (GENERALIZED_TIME, 15) => text.to_owned(),
        _ => return None,
    };
    let at = |from: usize, to: usize| &text[from..to];
    let written =
        format!("{}-{}-{}T{}:{}:{}{}", at(0, 4), at(4, 6), at(6, 8), at(8, 10), at(10, 12), at(12, 14), at(14, 15));
    match written.parse() {
        Ok(Moment::Time(time)) => Some(time),
        Ok(Moment::Revision(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsIdentity;

    fn of(name: &str) -> Validity {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name);
        TlsIdentity::validity(&std::fs::read(path).unwrap()).unwrap().unwrap()
    }

    fn shown(validity: Validity) -> (String, String) {
        (rfc3339(validity.from), rfc3339(validity.until))
    }

    #[test]
    fn the_dates_of_a_certificate_are_read_in_both_forms() {
        let (from, until) = shown(of("expired.pem"));
        assert_eq!((from.as_str(), until.as_str()), ("2020-01-01T00:00:00.000Z", "2020-01-31T00:00:00.000Z"));
        let (from, until) = shown(of("early.pem"));
        assert_eq!((from.as_str(), until.as_str()), ("2090-01-01T00:00:00.000Z", "2090-01-31T00:00:00.000Z"));
        let (from, until) = shown(of("server.pem"));
        assert_eq!((from.as_str(), until.as_str()), ("2026-11-24T00:49:25.000Z", "2126-10-31T00:49:25.000Z"));
        let Validity { from, until } = of("expired.pem");
        let (before, after) =
            (Timestamp::from_millis(from.as_millis() - 1), Timestamp::from_millis(until.as_millis() + 1));
        let checked = [before, from, until, after].map(|now| of("expired.pem").check(now));
        assert_eq!(
            checked,
            [
                Err(WrongTime::Early { from, now: before }),
                Ok(()),
                Ok(()),
                Err(WrongTime::Expired { until, now: after })
            ]
        );
        assert_eq!(time((UTC_TIME, b"491231235959Z")).map(rfc3339).as_deref(), Some("2049-12-31T23:59:59.000Z"));
        assert_eq!(time((GENERALIZED_TIME, NO_END.as_bytes())), Some(Timestamp::from_millis(i64::MAX)));
    }

    #[test]
    fn a_certificate_that_is_cut_or_changed_has_dates_or_none_and_never_panics() {
        let pem = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/tls/expired.pem")).unwrap();
        let der = crate::tls::certificates_of(&pem).unwrap().remove(0).to_vec();
        assert!(Validity::of_chain([der.as_slice()]).is_some());
        for at in 0..der.len() {
            assert_eq!(Validity::of_der(&der[..at]), None, "cut at {at}");
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = byte;
                let _ = Validity::of_der(&changed);
            }
        }
        assert_eq!(Validity::of_chain([der.as_slice(), &[]]), None);
        assert_eq!(Validity::of_chain([]), None);
    }
}
