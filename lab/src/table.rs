//! Tables of results as text.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// Spaces between two columns.
const GAP: u16 = 2;

/// A table of `rows` below `headers`. The columns of these numbers hold words and are aligned left, all
/// others hold figures and are aligned right. Each row has a cell for each header.
pub(crate) fn render<'a>(
    headers: impl IntoIterator<Item = &'a str>,
    text_columns: &[usize],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headers).add_rows(rows);
    for (number, column) in table.column_iter_mut().enumerate() {
        let is_text = text_columns.contains(&number);
        column.set_cell_alignment(if is_text { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((if number == 0 { 0 } else { GAP }, 0));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_aligned_left_and_figures_right() {
        let rows = [["get", "3/3", "·"], ["download 5 MB", "1/3", "10/100"]];
        let text =
            render(["clear text", "curl", "nc"], &[0], rows.map(|row| row.map(str::to_owned).to_vec()));
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            ["clear text     curl      nc", "get             3/3       ·", "download 5 MB   1/3  10/100"]
        );
    }
}
