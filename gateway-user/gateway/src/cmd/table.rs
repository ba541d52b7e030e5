//! Aligned columns, as kubectl prints them.

/// Rows under a heading; columns are as wide as their widest cell, three blanks apart.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    headed: bool,
}

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()], headed: true }
    }

    /// An empty table without headings.
    pub(crate) fn plain() -> Self {
        Self { rows: Vec::new(), headed: false }
    }

    /// Adds a row; a cell that is empty shows as `-`.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| if cell.is_empty() { "-".into() } else { cell }).collect());
    }

    /// True if it has no row but its heading.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == usize::from(self.headed)
    }

    /// The text, one line per row, no blanks at line ends.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| {
                self.rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 3));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_cells_show() {
        let mut table = Table::new(&["NAME", "PORT"]);
        table.row(["a".into(), "80".into()]);
        table.row(["longer".into(), String::new()]);
        assert_eq!(table.render(), "NAME     PORT\na        80\nlonger   -\n");
    }
}
