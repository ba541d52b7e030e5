//! Which clients make which cases: the choice of `--only`.

use anyhow::{Result, bail};

use super::case::{CASES, Case};
use super::client::{CLIENTS, Client};
use super::job::Job;
use super::transport::Transport;

/// Names of clients and of cases; none of one kind stands for all of it.
#[derive(Debug, Default)]
pub(super) struct Selection {
    clients: Vec<String>,
    cases: Vec<String>,
}

impl Selection {
    pub(super) fn of(names: &[String]) -> Result<Self> {
        let mut chosen = Self::default();
        for name in names {
            if CLIENTS.iter().any(|client| client.name == name) {
                chosen.clients.push(name.clone());
            } else if CASES.iter().any(|case| case.name == name) {
                chosen.cases.push(name.clone());
            } else {
                let clients: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
                let cases: Vec<&str> = CASES.iter().map(|case| case.name).collect();
                bail!(
                    "--only {name}: write clients ({}) or cases ({})",
                    clients.join(", "),
                    cases.join(", ")
                );
            }
        }
        Ok(chosen)
    }

    /// True if this client was asked for by name.
    pub(super) fn names(&self, client: &Client) -> bool {
        self.clients.iter().any(|name| name == client.name)
    }

    /// Clients that were chosen and have something to do.
    pub(super) fn clients(&self) -> impl Iterator<Item = &'static Client> {
        let chosen = |client: &&Client| self.clients.is_empty() || self.names(client);
        CLIENTS
            .iter()
            .filter(chosen)
            .filter(|client| self.names(client) || self.cases(client).next().is_some())
    }

    fn cases(&self, client: &Client) -> impl Iterator<Item = &'static Case> {
        let chosen = |case: &&Case| self.cases.is_empty() || self.cases.iter().any(|name| name == case.name);
        CASES.iter().filter(chosen).filter(|case| client.cases.contains(&case.name))
    }

    /// Every job of a client.
    pub(super) fn jobs(&self, client: &Client, sizes: &[usize], tries: u32) -> Vec<Job> {
        let mut jobs = Vec::new();
        for case in self.cases(client) {
            let clear_too = !client.not_in_clear.contains(&case.name);
            let can = |one: &&Transport| {
                client.transports.contains(one) && (clear_too || **one != Transport::Clear)
            };
            for transport in case.transports.iter().filter(can) {
                let sizes = if case.is_sized() { sizes } else { &[0] };
                jobs.extend(
                    sizes
                        .iter()
                        .map(|size| Job::new(case, *transport, *size, tries).over_http2(client.http2)),
                );
            }
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(names: &[&str]) -> Result<Selection> {
        Selection::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    fn clients(names: &[&str]) -> Vec<&'static str> {
        selection(names).unwrap().clients().map(|client| client.name).collect()
    }

    #[test]
    fn names_choose_clients_and_cases() {
        assert_eq!(clients(&[]).len(), CLIENTS.len());
        assert_eq!(clients(&["go", "curl"]), ["curl", "go"]);
        assert_eq!(clients(&["h2c"]), ["curl"], "the others cannot");
        assert_eq!(clients(&["nc", "get"]), ["nc"], "named, and told that it can make none of these");
        let error = selection(&["curl", "gat"]).unwrap_err().to_string();
        assert!(error.starts_with("--only gat: write clients (curl, curl-http2,"), "{error}");
    }

    #[test]
    fn sized_cases_are_made_once_for_each_size_and_transport() {
        let chosen = selection(&["curl", "get", "post-404", "h2c"]).unwrap();
        let curl = chosen.clients().next().unwrap();
        let jobs = chosen.jobs(curl, &[5, 50], 3);
        let count = |name| jobs.iter().filter(|job| job.case.name == name).count();
        assert_eq!([count("get"), count("post-404"), count("h2c")], [3, 6, 1]);
        let chosen = selection(&["curl-http2", "keep"]).unwrap();
        let jobs = chosen.jobs(chosen.clients().next().unwrap(), &[5], 3);
        assert_eq!(jobs.len(), 2, "not in clear text");
        assert!(jobs.iter().all(|job| job.http2));
    }
}
