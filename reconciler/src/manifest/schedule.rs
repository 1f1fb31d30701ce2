//! Schedules: cron expressions that fire at most once a minute. The only user of the crate `croner`.
//!
//! Never here: a clock. A schedule is judged from one fixed day, so that equal manifests always get equal answers.

use croner::parser::{CronParser, Year};
use jiff::{Timestamp, tz::TimeZone};

/// How many gaps between firings are looked at.
const GAPS: usize = 4;
/// The least gap, in seconds.
const GAP_SECONDS_MIN: i64 = 60;
/// 2024-01-01, the first day of a leap year.
const FROM_SECONDS: i64 = 1_704_067_200;

/// Says what is wrong with a schedule, if anything.
pub(crate) fn fault(schedule: &str) -> Option<String> {
    if schedule.len() > 256 {
        return Some("is too long to be a cron expression".to_owned());
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    let cron = match parser.parse(schedule) {
        Ok(cron) => cron,
        Err(error) => return Some(format!("is no cron expression: {}", lower(&error.to_string()))),
    };
    let mut last = Timestamp::from_second(FROM_SECONDS).unwrap_or_default().to_zoned(TimeZone::UTC);
    for firing in 0..=GAPS {
        let next = match cron.find_next_occurrence(&last, false) {
            Ok(next) => next,
            Err(_) if firing > 0 => return None,
            Err(_) => return Some("never fires".to_owned()),
        };
        if firing > 0 && next.timestamp().as_second() - last.timestamp().as_second() < GAP_SECONDS_MIN {
            return Some("is too frequent: it may fire once a minute at most".to_owned());
        }
        last = next;
    }
    None
}

fn lower(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_fires_once_a_minute_at_most() {
        for good in ["0 9 * * 1", "* * * * *", "0 8-22/2 * * *", "*/15 * * * *", "0 * * * * *", "0 0 29 2 *", "@daily"]
        {
            assert_eq!(fault(good), None, "{good}");
        }
        for (bad, why) in [
            ("not a cron", "is no cron expression"),
            ("", "is no cron expression"),
            ("* * *", "is no cron expression"),
            ("61 * * * *", "is no cron expression"),
            ("*/30 * * * * *", "is too frequent"),
            ("* * * * * *", "is too frequent"),
            ("0 0 0 30 2 *", "never fires"),
        ] {
            assert!(fault(bad).is_some_and(|fault| fault.starts_with(why)), "{bad}: {:?}", fault(bad));
        }
    }
}
