//! The system calls that the process's threads may make (`--seccomp`), and what became of others.

use std::collections::BTreeMap;

use gateway_io::confine::{Role, Unlisted, confine, denied};
use tracing::warn;

use crate::flags::Seccomp;
use crate::source::Source;

/// The lists that the process's threads are held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    unlisted: Option<Unlisted>,
    /// Not the control thread: it starts programs.
    starts_programs: bool,
}

impl Confinement {
    /// As the setting says.
    pub(crate) fn of(setting: Seccomp, source: &Source) -> Self {
        Self { unlisted: unlisted(setting), starts_programs: source.program().is_some() }
    }

    /// As the setting says, for a process that only helps others.
    pub(crate) fn of_helper(setting: Seccomp) -> Self {
        Self { unlisted: unlisted(setting), starts_programs: false }
    }

    /// The list for workers.
    pub(crate) fn of_workers(self) -> Option<Unlisted> {
        self.unlisted
    }

    /// Holds the calling thread, and those that it starts, to the control thread's list.
    pub(crate) fn control(self) {
        if !self.starts_programs {
            self.hold(Role::Control);
        }
    }

    /// Holds the calling thread to the compiler's list.
    pub(crate) fn compiler(self) {
        self.hold(Role::Compiler);
    }

    /// Holds the calling thread to the list of the one that builds expressions.
    pub(crate) fn builder(self) {
        self.hold(Role::Builder);
    }

    /// Holds the calling thread, and those that it starts, to the helper's list.
    pub(crate) fn helper(self) {
        self.hold(Role::Helper);
    }

    fn hold(self, role: Role) {
        let held = self.unlisted.map_or(Ok(()), |unlisted| confine(role, unlisted));
        if let Err(error) = held {
            let role = role.name();
            warn!(
                "the {role} thread may make any system call: {error}; --seccomp=off does without this line"
            );
        }
    }
}

fn unlisted(setting: Seccomp) -> Option<Unlisted> {
    match setting {
        Seccomp::On => Some(Unlisted::Fails),
        Seccomp::Log => Some(Unlisted::IsLogged),
        Seccomp::Off => None,
    }
}

/// Says which calls were denied, once for each time that there are more.
#[derive(Debug, Default)]
pub(crate) struct Denials(BTreeMap<(&'static str, i64), u64>);

impl Denials {
    /// Looks, and writes a line for each kind of thread and call that came since the last look.
    pub(crate) fn report(&mut self) {
        for call in denied() {
            let said = self.0.insert((call.role, call.call), call.times).unwrap_or(0);
            if call.times > said {
                warn!(
                    thread = call.role,
                    call = %call.name(),
                    times = call.times,
                    "a system call failed that threads of this kind never make; --seccomp=log lets them pass"
                );
            }
        }
    }
}
