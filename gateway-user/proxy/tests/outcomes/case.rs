//! Cases, and what is recorded of each.

use std::fmt;

/// Words of a table, as they are written.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($variant,)+ }

        impl $name {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

words! {
    /// The request, as far as it is sent.
    Request { Get = "get", Old = "old", Post = "post", Put = "put", Part = "part", }
}

words! {
    /// The backend's connection.
    Lease { Fresh = "fresh", Reused = "reused", }
}

words! {
    /// How far the response has come.
    Stage {
        Nothing = "nothing",
        HalfHead = "half-head",
        Interim = "interim",
        Head = "head",
        Length = "length",
        Chunked = "chunked",
        UntilClose = "until-close",
        Whole = "whole",
    }
}

words! {
    /// The event that follows.
    Fault {
        None = "none",
        BackendFin = "backend-fin",
        BackendReset = "backend-reset",
        BackendGarbage = "backend-garbage",
        BackendSilent = "backend-silent",
        ClientFin = "client-fin",
        ClientReset = "client-reset",
        RequestTimeout = "request-timeout",
        BackendRequestTimeout = "backend-request-timeout",
        DrainMax = "drain-max",
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) request: Request,
    pub(crate) lease: Lease,
    pub(crate) stage: Stage,
    pub(crate) fault: Fault,
}

/// All columns behind the arrow.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: String,
    pub(crate) response: &'static str,
    pub(crate) client: &'static str,
    pub(crate) backend: &'static str,
    pub(crate) attempts: usize,
    pub(crate) reason: String,
}

impl Outcome {
    /// An outcome whose reason the log has yet to tell.
    pub(crate) fn new(
        status: String,
        response: &'static str,
        client: &'static str,
        backend: &'static str,
        attempts: usize,
    ) -> Self {
        Self { status, response, client, backend, attempts, reason: String::new() }
    }
}

impl Fault {
    /// True if time alone brings it about.
    fn is_timed(self) -> bool {
        matches!(self, Self::BackendSilent | Self::RequestTimeout | Self::BackendRequestTimeout)
    }
}

/// Every case that can come about.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    let faults = Fault::ALL.iter().copied();
    faults.flat_map(|fault| {
        Stage::ALL.iter().flat_map(move |&stage| {
            Request::ALL.iter().flat_map(move |&request| {
                Lease::ALL.iter().map(move |&lease| Case { request, lease, stage, fault }).filter(is_possible)
            })
        })
    })
}

fn is_possible(case: &Case) -> bool {
    let Case { request, lease, stage, fault } = *case;
    let ends = stage == Stage::Whole;
    // A reused connection differs from a fresh one only until the response begins.
    let leases = lease == Lease::Fresh || stage == Stage::Nothing && !fault.is_timed();
    // Waits cost time; two requests tell those with and without body apart. A backend may be silent while a body is on its way.
    let with_body = if fault == Fault::BackendSilent { Request::Put } else { Request::Part };
    let requests = !fault.is_timed() || request == Request::Get || request == with_body;
    let whole = !ends || matches!(fault, Fault::None | Fault::BackendFin | Fault::BackendGarbage);
    let none = fault != Fault::None || ends;
    // What comes where only the end of the connection ends the body is body.
    let garbage = fault != Fault::BackendGarbage || stage != Stage::UntilClose;
    leases && requests && whole && none && garbage
}
