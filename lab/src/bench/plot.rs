//! CPU per request as bars, with the spread over the turns.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::report::{Line, Section};
use crate::peers::programs::PeerVersion;

const WIDTH: u32 = 1100;
/// One bar with the room below it.
const BAR: i32 = 20;
const HEAD: i32 = 34;
/// Where bars begin, after the names.
const LEFT: i32 = 150;
/// Where the longest bar ends, before the figures.
const RIGHT: i32 = 900;

/// Writes an SVG; every scenario has a scale of its own.
pub(super) fn write(path: &Path, peers: &[PeerVersion], sections: &[Section]) -> Result<()> {
    let height: i32 = sections.iter().map(height).sum::<i32>() + HEAD;
    let area = SVGBackend::new(path, (WIDTH, height.cast_unsigned())).into_drawing_area();
    draw(&area, &title(peers), sections).map_err(|error| anyhow!("{}: {error}", path.display()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn title(peers: &[PeerVersion]) -> String {
    let mut title = "CPU µs per request or message (median, spread)".to_owned();
    for peer in peers {
        title += &format!(", {peer}");
    }
    title
}

fn draw(area: &Area<'_>, title: &str, sections: &[Section]) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    area.draw(&Text::new(title, (10, 8), ("sans-serif", 16).into_font()))?;
    let mut top = HEAD;
    for section in sections {
        area.draw(&Text::new(section.scenario, (10, top), ("sans-serif", 14).into_font()))?;
        let longest = section.lines.iter().map(|line| line.cpu_us.most).fold(f64::MIN_POSITIVE, f64::max);
        for (n, line) in (1..).zip(&section.lines) {
            draw_bar(area, line, top + n * BAR, longest)?;
        }
        top += height(section);
    }
    area.present()?;
    Ok(())
}

fn draw_bar(area: &Area<'_>, line: &Line, top: i32, longest: f64) -> Result<(), Box<dyn std::error::Error>> {
    let x = |value: f64| LEFT + (value / longest * f64::from(RIGHT - LEFT)) as i32;
    let font = || ("sans-serif", 12).into_font();
    let colour =
        if line.target.starts_with("sluice") { RGBColor(20, 110, 160) } else { RGBColor(170, 170, 170) };
    let cpu = line.cpu_us;
    area.draw(&Text::new(line.target, (20, top), font()))?;
    area.draw(&Rectangle::new([(LEFT, top), (x(cpu.median), top + BAR - 6)], colour.filled()))?;
    let middle = top + (BAR - 6) / 2;
    area.draw(&PathElement::new([(x(cpu.least), middle), (x(cpu.most), middle)], BLACK))?;
    area.draw(&Text::new(format!("{:.2}", cpu.median), (RIGHT + 10, top), font()))?;
    Ok(())
}

fn height(section: &Section) -> i32 {
    let lines = i32::try_from(section.lines.len()).unwrap_or(0);
    (lines + 2) * BAR
}
