//! Columns, without lines around them, so that they can be cut and copied.

use comfy_table::{ContentArrangement, Table, presets};
use snug_core::text;

/// Lays out rows under headings. Cells are made harmless for a terminal.
pub fn render(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| text::escape(cell).into_owned()));
    }
    let count = table.column_count();
    for index in 0..count {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, if index + 1 == count { 0 } else { 2 }));
        }
    }
    lines_trimmed(&table.to_string())
}

/// Lays out words and what they mean, for `info` and the like.
pub fn render_pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0) + 2;
    let mut out = String::new();
    for (key, value) in pairs {
        out.push_str(&format!("{key:width$}{}\n", text::escape(value)));
    }
    out
}

fn lines_trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_last_word() {
        let rows = vec![vec!["a".into(), "running".into()], vec!["long-name".into(), "漢字\x1b[2J".into()]];
        assert_eq!(
            render(&["NAME", "STATE"], rows),
            "NAME       STATE\na          running\nlong-name  漢字\\e[2J\n"
        );
    }
}
