//! `docs/flags.md`, written from the table.

use std::fmt::Write as _;

use super::table::TABLE;

/// The whole page. A test compares it with the committed one; `UPDATE_GOLDEN=1` rewrites that.
#[cfg_attr(not(test), expect(dead_code, reason = "only the test that keeps the page current needs it"))]
pub(super) fn markdown() -> String {
    let mut page = String::from(HEAD);
    let mut group = "";
    for row in TABLE {
        if row.group != group {
            group = row.group;
            let _ = write!(page, "\n## {group}\n");
        }
        let (name, env, allowed) = (row.name(), row.env(), (row.allowed)());
        let _ = write!(
            page,
            "\n### `--{name} {unit}`\n\n{about}.\n\n{trade}.\n\n\
             - Default: `{default}`\n- Allowed: {allowed}\n- Environment: `{env}`\n- File key: `{name}`\n",
            unit = row.unit,
            about = row.about,
            trade = row.trade,
            default = row.default,
        );
    }
    page
}

const HEAD: &str = "\
# Settings

This page is written from the table that the program itself reads its settings with; a test fails when it is stale.

Every setting is a flag of `sluice run`, an environment variable and a key of the YAML file that `--config FILE` (or
`SLUICE_CONFIG`) names. A flag wins over the environment, the environment over the file, the file over the default.
All bad settings are reported together, each with its place, its value and what is allowed, and the exit code is 2.

```yaml
# sluice.yaml
workers: 4
reserved-ports: [22, 6443]
client-idle-timeout: 2m
access-log: /var/log/sluice/access.log
```

Durations are written as Gateway API writes them (GEP-2257): `1h`, `90s`, `1m30s`, `250ms`. Sizes are bytes or `KiB`,
`MiB`. Lists are separated by commas; in the file they may also be YAML lists.
";
