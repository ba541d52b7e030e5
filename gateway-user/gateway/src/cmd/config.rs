//! `sluice config check`.

use super::table::Table;
use super::{End, bad_settings, print, to_json, to_yaml};
use crate::cli::{ConfigCheckArgs, Output};

/// Checks every setting and prints those in force.
pub(super) fn check(args: ConfigCheckArgs) -> anyhow::Result<End> {
    let effective = match args.settings.resolve() {
        Ok(resolved) => resolved.effective,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let text = match args.output {
        Output::Json => to_json(&effective)?,
        Output::Yaml => to_yaml(&effective)?,
        Output::Table | Output::Wide => {
            let mut table = Table::new(&["SETTING", "VALUE", "SOURCE"]);
            for entry in effective {
                table.row([entry.name, entry.value, entry.source]);
            }
            table.render()
        }
    };
    print(&text).map(|()| End::Done)
}
