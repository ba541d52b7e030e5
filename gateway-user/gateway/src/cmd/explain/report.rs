//! All that explain has to say, as lines for people and as a document for programs.

use gateway_explain::{Loser, Loss};
use serde::Serialize;

use crate::cli::Document;
use crate::cmd::{End, print, to_json, to_yaml};

/// Most routes that could have taken a request that are told of.
const LOSERS_MAX: usize = 16;

/// The way of a request, connection or datagram. Lists that are empty are left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// A backend or a redirect serves it, if only a share of such requests.
    pub(super) served: bool,
    /// Steps before the lookup, such as headers that are dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
    /// The steps of the lookup, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) steps: Vec<String>,
    /// The backends or the response, a line for each share.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) result: Vec<String>,
    /// Settings of GatewayConfigs that hold on the listener.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) settings: Vec<String>,
    /// ReferenceGrants in YAML without which backends of the rule are not reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing_grants: Vec<String>,
    /// Routes that could have taken the request, sixteen at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) others: Vec<Other>,
    /// Number of those beyond.
    pub(super) more_others: usize,
    /// Number of errors in files and objects; `sluice check` has them.
    pub(super) errors: usize,
}

/// A route that could have taken the request.
#[derive(Debug, Serialize)]
pub(super) struct Other {
    /// `Kind namespace/name`.
    route: String,
    /// Its rule and match.
    rule: String,
    losses: Vec<Reason>,
}

/// One reason for which it has not.
#[derive(Debug, Serialize)]
struct Reason {
    /// A stable code.
    reason: &'static str,
    message: String,
    /// A change of one object after which the reason is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Report {
    /// Takes the routes that could have taken the request.
    pub(super) fn tell_of(&mut self, losers: Vec<Loser>) {
        self.more_others = losers.len().saturating_sub(LOSERS_MAX);
        self.others = losers.into_iter().take(LOSERS_MAX).map(Other::from).collect();
    }

    /// Prints it. Exit code 1 if nothing serves the request.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn print(&self, output: Option<Document>) -> anyhow::Result<End> {
        print(&match output {
            None => self.text(),
            Some(Document::Json) => to_json(self)?,
            Some(Document::Yaml) => to_yaml(self)?,
        })?;
        Ok(if self.served { End::Done } else { End::Found })
    }

    fn text(&self) -> String {
        let lines = [&self.notes, &self.steps, &self.result, &self.settings];
        let mut text: String = lines.into_iter().flatten().map(|line| format!("{line}\n")).collect();
        text.extend(self.missing_grants.iter().map(String::as_str));
        for Other { rule, losses, .. } in &self.others {
            text.push_str(&format!("{rule} could take it, but:\n"));
            for Reason { message, remedy, .. } in losses {
                text.push_str(&format!("  {message}\n"));
                text.extend(remedy.iter().map(|remedy| format!("    remedy: {remedy}\n")));
            }
        }
        if self.more_others > 0 {
            text.push_str(&format!("{} more routes could take it\n", self.more_others));
        }
        if self.errors > 0 {
            text.push_str(&format!(
                "note: {} errors keep objects out of this; see `sluice check`\n",
                self.errors
            ));
        }
        text
    }
}

impl From<Loser> for Other {
    fn from(loser: Loser) -> Self {
        let reason = |loss: Loss| Reason {
            reason: loss.reason.code(),
            message: loss.message,
            remedy: loss.remedy.map(|remedy| remedy.text),
        };
        let losses = loser.losses.into_iter().map(reason).collect();
        Self { route: loser.route.to_string(), rule: loser.place, losses }
    }
}
