//! Retries (GEP-1731): whether an attempt is followed by another one, and after which wait. Both are functions of their
//! arguments alone.

use std::time::Duration;

use gateway_ir::Retry;

/// The wait before a retry doubles with each, up to so many times that of the first.
const MAX_GROWTH: u32 = 10;

/// Longest wait before a retry, but for what chance puts on top.
const MAX_WAIT_MS: u64 = 60_000;

/// The end of an attempt before any part of its response was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    /// There was no connection: refused, not in time, or TLS failed.
    Unconnected,
    /// The backend says that it has not looked at the request, or is not available for a gRPC call.
    Unprocessed,
    /// The connection broke after the request was sent, in part or whole: nobody knows whether it was processed.
    Lost,
    /// The response was not there in time; the same.
    TimedOut,
    /// A response with this status.
    Status(u16),
    /// Anything else: another attempt would end like this one, or must not be made.
    Final,
}

/// Facts of a request that count at the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// Doing it twice is as doing it once (RFC 9110 section 9.2.2).
    pub(crate) is_idempotent: bool,
    /// Another attempt would send all of it.
    pub(crate) is_kept: bool,
    /// Retries before this one.
    pub(crate) retries: u32,
}

/// The decision after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another attempt.
    Retry,
    /// The rule asks for none: the client gets this one's end.
    End,
    /// The rule asks for one, which is not made; the same.
    Denied(Denial),
}

/// Reasons for which a retry that the rule asks for is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The request may have been processed, and must not be twice.
    Method,
    /// All attempts are made.
    Attempts,
    /// Its content is not kept: too long, not there yet, or there is no room.
    Body,
    /// The wait before it would not end within the request's time limit.
    Time,
    /// Retries have their share of the backend's requests.
    Budget,
}

impl Denial {
    /// The word of the access log.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Attempts => "attempts",
            Self::Body => "body",
            Self::Time => "time",
            Self::Budget => "budget",
        }
    }
}

/// Decides whether another attempt follows one that ended like this.
pub(crate) fn decide(retry: &Retry, end: AttemptResult, request: RequestState) -> Verdict {
    let (is_wanted, may_be_processed) = match end {
        AttemptResult::Unconnected | AttemptResult::Unprocessed => (true, false),
        AttemptResult::Lost | AttemptResult::TimedOut => (true, true),
        // A rule that names a status says that requests which got it may be made again.
        AttemptResult::Status(status) => (retry.has_code(status), false),
        AttemptResult::Final => (false, false),
    };
    let denials = [
        (may_be_processed && !request.is_idempotent, Denial::Method),
        (request.retries >= retry.attempts, Denial::Attempts),
        (!request.is_kept, Denial::Body),
    ];
    match denials.into_iter().find_map(|(holds, denial)| holds.then_some(denial)) {
        _ if !is_wanted => Verdict::End,
        Some(denial) => Verdict::Denied(denial),
        None => Verdict::Retry,
    }
}

/// The wait before the retry that follows so many others: the rule's, doubled with each, and up to half of that on top, so that
/// requests which failed together do not come back together.
pub(crate) fn backoff(retry: &Retry, retries: u32, random: u64) -> Duration {
    let growth = 1_u32.checked_shl(retries).map_or(MAX_GROWTH, |growth| growth.clamp(1, MAX_GROWTH));
    let least_us = retry.backoff_ms.saturating_mul(u64::from(growth)).min(MAX_WAIT_MS).saturating_mul(1000);
    Duration::from_micros(least_us.saturating_add(random % (least_us / 2 + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETRY: Retry = Retry { codes: Vec::new(), attempts: 2, backoff_ms: 25 };
    const ENDS: [AttemptResult; 7] = [
        AttemptResult::Unconnected,
        AttemptResult::Unprocessed,
        AttemptResult::Lost,
        AttemptResult::TimedOut,
        AttemptResult::Status(503),
        AttemptResult::Status(500),
        AttemptResult::Final,
    ];

    fn with_503() -> Retry {
        Retry { codes: vec![502, 503], ..RETRY }
    }

    /// The decision about a kept request, of an idempotent method and of another one.
    fn both(end: AttemptResult) -> [Verdict; 2] {
        let state = |is_idempotent| RequestState { is_idempotent, is_kept: true, retries: 0 };
        [true, false].map(|is_idempotent| decide(&with_503(), end, state(is_idempotent)))
    }

    #[test]
    fn each_end_has_its_decision() {
        use Verdict::{Denied, End, Retry};
        let table = [
            (AttemptResult::Unconnected, [Retry, Retry]),
            (AttemptResult::Unprocessed, [Retry, Retry]),
            (AttemptResult::Lost, [Retry, Denied(Denial::Method)]),
            (AttemptResult::TimedOut, [Retry, Denied(Denial::Method)]),
            (AttemptResult::Status(503), [Retry, Retry]),
            (AttemptResult::Status(502), [Retry, Retry]),
            (AttemptResult::Status(500), [End, End]),
            (AttemptResult::Status(200), [End, End]),
            (AttemptResult::Final, [End, End]),
        ];
        for (end, expected) in table {
            assert_eq!(both(end), expected, "{end:?}");
        }
    }

    #[test]
    fn connections_alone_are_tried_again_without_codes() {
        let state = RequestState { is_idempotent: true, is_kept: true, retries: 0 };
        assert_eq!(decide(&RETRY, AttemptResult::Unconnected, state), Verdict::Retry);
        assert_eq!(decide(&RETRY, AttemptResult::Status(503), state), Verdict::End);
    }

    proptest! {
        #[test]
        fn nothing_is_tried_more_often_than_asked_or_without_its_content(
            at in 0..ENDS.len(), is_idempotent: bool, is_kept: bool, retries in 0..5_u32,
        ) {
            let state = RequestState { is_idempotent, is_kept, retries };
            let verdict = decide(&with_503(), ENDS[at], state);
            if verdict == Verdict::Retry {
                prop_assert!(is_kept && retries < 2);
                let unknown = matches!(ENDS[at], AttemptResult::Lost | AttemptResult::TimedOut);
                prop_assert!(is_idempotent || !unknown);
            }
            // A reason is given for what is asked for, and for nothing else.
            let wanted = !matches!(ENDS[at], AttemptResult::Final | AttemptResult::Status(500));
            prop_assert_eq!(wanted, verdict != Verdict::End);
        }

        #[test]
        fn waits_are_never_shorter_than_the_rules_and_bounded(
            backoff_ms in 0..=Retry::MAX_BACKOFF_MS, retries in 0..200_u32, random: u64,
        ) {
            let retry = Retry { backoff_ms, ..RETRY };
            let wait = backoff(&retry, retries, random);
            let base = Duration::from_millis(backoff_ms);
            let most = (base * MAX_GROWTH).min(Duration::from_millis(MAX_WAIT_MS));
            prop_assert!(wait >= base && wait <= most * 3 / 2, "{wait:?}");
            prop_assert!(wait >= (base * (1 << retries.min(3)).min(MAX_GROWTH)).min(most));
        }
    }
}
