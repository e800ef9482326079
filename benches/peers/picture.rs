//! The ratios as a self-contained SVG: one panel per workload, one dot per server with the middle
//! half of its rounds, and a line at 1 for the bare loop. It shows the same figures as the table.

use std::fmt::Write;

use super::rounds::Row;
use super::servers::Server;

const WIDTH: f64 = 760.0;
const NAMES: f64 = 170.0;
const FIGURES: f64 = 60.0;
const LINE: f64 = 20.0;
const HEAD: f64 = 34.0;
/// Larger ratios are drawn at the edge.
const RATIO_MAX: f64 = 2.0;

/// Draws the ratios.
pub(crate) fn svg(servers: &[Server], rows: &[Row]) -> String {
    let panel = |row: &Row| HEAD + LINE * row.cells.len() as f64;
    let height: f64 = rows.iter().map(panel).sum::<f64>() + HEAD;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut out,
        8.0,
        20.0,
        "Server CPU per unit of generator CPU, bare loop = 1; less is better",
    );
    let mut top = HEAD;
    for row in rows {
        draw(&mut out, servers, row, top);
        top += panel(row);
    }
    out + "</svg>\n"
}

fn draw(out: &mut String, servers: &[Server], row: &Row, top: f64) {
    let bottom = top + HEAD - 8.0 + LINE * row.cells.len() as f64;
    let _ = writeln!(
        out,
        "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{}</text>",
        top + 16.0,
        escaped(row.workload.name)
    );
    for quarter in 0..=(RATIO_MAX * 4.0) as usize {
        let ratio = quarter as f64 / 4.0;
        let colour = if ratio == 1.0 { "#444" } else { "#ddd" };
        let x = x_of(ratio);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"{colour}\"/>",
            top + 20.0
        );
        if quarter % 2 == 0 {
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">{ratio}</text>",
                top + 16.0
            );
        }
    }
    for (place, (index, cell)) in row.cells.iter().enumerate() {
        let y = top + HEAD + LINE * place as f64;
        let name = servers[*index].name;
        let colour = match name {
            name if name.starts_with("mynah") => "#c2410c",
            _ => "#1f5f8b",
        };
        text(out, 16.0, y + 4.0, name);
        let (low, high) = (x_of(cell.quartiles.0), x_of(cell.quartiles.1));
        let _ = writeln!(
            out,
            "<line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{colour}\" \
             stroke-width=\"3\" stroke-opacity=\"0.4\"/>\n\
             <circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/>",
            x_of(cell.ratio)
        );
        text(
            out,
            WIDTH - FIGURES + 12.0,
            y + 4.0,
            &format!("{:.3}", cell.ratio),
        );
    }
}

fn x_of(ratio: f64) -> f64 {
    let part = ratio.clamp(0.0, RATIO_MAX) / RATIO_MAX;
    NAMES + (WIDTH - NAMES - FIGURES) * part
}

fn text(out: &mut String, x: f64, y: f64, words: &str) {
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\">{}</text>", escaped(words));
}

/// The names of added servers come from the caller and may contain any character.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
