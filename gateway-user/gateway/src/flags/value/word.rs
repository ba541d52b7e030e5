//! Words, paths and addresses.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Value, dns_name};

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) Option<SocketAddr>);

impl Value for Listen {
    fn parse(text: &str) -> Option<Self> {
        if text == "off" { Some(Self(None)) } else { text.parse().ok().map(|addr| Self(Some(addr))) }
    }

    fn allowed() -> String {
        "off or an IP address and port, such as 127.0.0.1:15000 or [::]:15000".to_owned()
    }
}

/// A GatewayClass `controllerName`: a domain and a path (gateway-api `GatewayController`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControllerName(pub(crate) String);

impl Value for ControllerName {
    fn parse(text: &str) -> Option<Self> {
        let (domain, path) = text.split_once('/')?;
        let path_ok = !path.is_empty()
            && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:/".contains(&b));
        (dns_name(domain) && path_ok && text.len() <= 253).then(|| Self(text.to_owned()))
    }

    fn allowed() -> String {
        "a domain and a path, such as example.com/gateway".to_owned()
    }
}

/// The name of an object in a cluster: a DNS name in lower case (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectName(pub(crate) String);

impl Value for ObjectName {
    fn parse(text: &str) -> Option<Self> {
        (dns_name(text) && text.len() <= 253).then(|| Self(text.to_owned()))
    }

    fn allowed() -> String {
        "a name in lower case, such as node-7".to_owned()
    }
}

/// A path of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) PathBuf);

impl Value for FilePath {
    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    fn allowed() -> String {
        "a path".to_owned()
    }
}

/// A path of the file system, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionalPath(pub(crate) Option<PathBuf>);

impl Value for OptionalPath {
    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self((text != "none").then(|| text.into())))
    }

    fn allowed() -> String {
        "none or a path".to_owned()
    }
}

/// The state directory: a path, or the usual place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateDir {
    /// That of the user.
    Auto,
    /// This one.
    Path(PathBuf),
}

impl Value for StateDir {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "auto" => Some(Self::Auto),
            path => Some(Self::Path(path.into())),
        }
    }

    fn allowed() -> String {
        "auto or a path".to_owned()
    }
}

/// Treatment of system calls that a thread does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seccomp {
    /// They fail.
    On,
    /// They are done, and logged by the kernel.
    Log,
    /// They are done.
    Off,
}

impl Value for Seccomp {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "on" => Some(Self::On),
            "log" => Some(Self::Log),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    fn allowed() -> String {
        "on, log or off".to_owned()
    }
}

/// The user to go on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// One without rights, if this process can become it.
    Auto,
    /// The one that it was started as.
    Keep,
    /// This one; its group has the same number.
    Uid(u32),
}

impl Value for User {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "keep" => Some(Self::Keep),
            // The largest number means "leave it as it is" (setresuid(2)).
            _ => super::digits(text)?.try_into().ok().filter(|uid| *uid != u32::MAX).map(Self::Uid),
        }
    }

    fn allowed() -> String {
        "auto, keep or the number of a user".to_owned()
    }
}

/// Which addresses Gateways have that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressMode {
    /// Those of the nodes that serve them.
    Node,
    /// One of each family of `--address-pool`, each its own.
    Pool,
}

impl Value for AddressMode {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "node" => Some(Self::Node),
            "pool" => Some(Self::Pool),
            _ => None,
        }
    }

    fn allowed() -> String {
        "node or pool".to_owned()
    }
}

/// True if endpoints on the node's own addresses are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeEndpoints {
    /// But for the node's and Sluice's own ports.
    Allow,
    /// None of them.
    Refuse,
}

impl Value for NodeEndpoints {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "allow" => Some(Self::Allow),
            "refuse" => Some(Self::Refuse),
            _ => None,
        }
    }

    fn allowed() -> String {
        "allow or refuse".to_owned()
    }
}

/// The name of a network interface, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface(pub(crate) Option<String>);

impl Value for Interface {
    fn parse(text: &str) -> Option<Self> {
        // As the kernel allows (dev_valid_name, IFNAMSIZ).
        let valid = (1..16).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':')
            && !matches!(text, "." | "..");
        valid.then(|| Self((text != "none").then(|| text.to_owned())))
    }

    fn allowed() -> String {
        "none or the name of an interface, such as eth0".to_owned()
    }
}

/// Where access log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to this file.
    Path(PathBuf),
}

impl Value for AccessLog {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "stdout" => Some(Self::Stdout),
            path if path.contains('/') => Some(Self::Path(path.into())),
            _ => None,
        }
    }

    fn allowed() -> String {
        "off, stdout, or a path with a slash, such as /var/log/sluice/access.log or ./access.log".to_owned()
    }
}

/// A `tracing` filter in `RUST_LOG` form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter(pub(crate) String);

impl Value for LogFilter {
    fn parse(text: &str) -> Option<Self> {
        let ok = !text.is_empty() && tracing_subscriber::EnvFilter::try_new(text).is_ok();
        ok.then(|| Self(text.to_owned()))
    }

    fn allowed() -> String {
        "error, warn, info, debug or trace, or a list such as info,gateway_control=debug".to_owned()
    }
}

/// Defines an enum whose variants are written as fixed words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }
     $(or { $($alias:literal = $of:ident),+ })?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),+ }

        impl Value for $name {
            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    // Spellings of earlier versions.
                    $($($alias => Some(Self::$of),)+)?
                    _ => None,
                }
            }

            fn allowed() -> String {
                one_of(&[$($word),+])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

choice!(
    /// How workers do their I/O.
    IoMode {
        /// The best that the kernel lets us have.
        Auto = "auto",
        /// io_uring or no start.
        Uring = "uring",
        /// epoll.
        Epoll = "epoll",
    }
);

choice!(
    /// How connections reach workers.
    SteeringMode {
        /// Kernel programs if they can be had, else `SO_REUSEPORT` binds.
        Auto = "auto",
        /// Kernel programs or no start.
        Ebpf = "ebpf",
        /// `SO_REUSEPORT` binds.
        ReusePort = "reuseport",
    }
);

choice!(
    /// Owner of something that several namespaces ask for.
    Ownership {
        /// All of them.
        Shared = "shared",
        /// The namespace of the oldest object that asks for it.
        OldestNamespace = "oldest-namespace",
    }
);

choice!(
    /// Behaviour of a second process on a state directory.
    TakeOver {
        /// Takes over from the first.
        Auto = "auto",
        /// Does not start.
        Never = "never",
        /// Waits for its end.
        Spare = "spare",
    }
);

choice!(
    /// Behaviour of a process that has been taken over from and has drained.
    AfterTakeOver {
        /// It ends.
        End = "end",
        /// It waits for a signal, or for its successor's end.
        Wait = "wait",
    }
);

choice!(
    /// When a file that was changed counts.
    UnfinishedWrites {
        /// Once the write is done.
        Wait = "wait",
        /// After the quiet time.
        Read = "read",
    }
);

choice!(
    /// Policy for request fields with `_` in their name.
    UnderscoreHeaders {
        /// They are dropped.
        Drop = "drop",
        /// The request is refused.
        Reject = "reject",
        /// They are forwarded.
        Keep = "keep",
    }
);

choice!(
    /// Policy for the trailers of requests.
    RequestTrailers {
        /// They are dropped.
        Drop = "drop",
        /// They are forwarded.
        Keep = "keep",
    }
);

choice!(
    /// Policy for runs of slashes in paths.
    MergeSlashes {
        /// Each is one for rules; backends see them as written.
        Match = "match",
        /// Each is one, for rules and backends.
        True = "true",
        /// They stay.
        False = "false",
    }
);

choice!(
    /// Policy for paths with encoded separators in them.
    EncodedSeparators {
        /// Those that no client needs are refused.
        RefuseDangerous = "refuse-dangerous",
        /// All are refused.
        Refuse = "refuse",
        /// All are forwarded.
        Keep = "keep",
    }
);

choice!(
    /// Audience of the reasons of local replies.
    ReasonHeader {
        /// Everybody where files are served, trusted peers where a cluster is.
        Auto = "auto",
        /// Everybody.
        Always = "always",
        /// Trusted peers.
        Trusted = "trusted",
        /// Nobody.
        Never = "never",
    }
);

choice!(
    /// Yes or no.
    Toggle {
        /// Yes.
        On = "true",
        /// No.
        Off = "false",
    }
);

impl Toggle {
    /// True if it is on.
    pub(crate) fn on(self) -> bool {
        self == Self::On
    }
}

choice!(
    /// The way of nodes' reports to the controller that writes statuses.
    NodeReports {
        /// By their streams.
        Stream = "stream",
        /// By NodeReports, which the controller of each node writes.
        Relay = "relay",
    }
);

choice!(
    /// Objects that the state directory keeps for the next process.
    LastGood {
        /// The objects.
        Keys = "keys",
        /// The objects, sealed with a key.
        Sealed = "sealed",
        /// The objects without private keys.
        NoKeys = "no-keys",
        /// Nothing.
        Off = "off",
    }
    or { "true" = Keys, "false" = Off }
);

fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [front @ .., last] => format!("{} or {last}", front.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_refuse_what_would_be_a_slip() {
        assert!(ControllerName::parse("sluice.dev/gateway").is_some());
        assert!(ControllerName::parse("sluice").is_none() && ControllerName::parse("a b/c").is_none());
        assert_eq!(["true", "false", "keys", "no-keys", "off"].map(LastGood::parse), {
            let [keys, no_keys, off] = [LastGood::Keys, LastGood::NoKeys, LastGood::Off].map(Some);
            [keys, off, keys, no_keys, off]
        });
        assert_eq!(LastGood::parse("nokeys"), None);
        assert_eq!(AccessLog::parse("stdot"), None);
        assert_eq!((User::parse("auto"), User::parse("1000")), (Some(User::Auto), Some(User::Uid(1000))));
        for bad in ["root", "-1", "4294967295", "1:1", ""] {
            assert_eq!(User::parse(bad), None, "{bad:?}");
        }
        assert_eq!(LogFilter::parse("info,=x="), None);
        assert_eq!(Listen::parse("localhost:80"), None);
    }
}
