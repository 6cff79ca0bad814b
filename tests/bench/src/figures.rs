//! Figures of several rounds, and where they are written.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use tests::stack::in_project;

/// The same figure, measured once a round.
#[derive(Debug, Clone, Default)]
pub struct Figure(Vec<f64>);

impl Figure {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// This median as a share of another.
    pub fn over(&self, reference: &Self) -> String {
        if reference.0.is_empty() {
            return String::new();
        }
        format!("{:.2}", self.median() / reference.median())
    }

    /// The value that this share of them is not above.
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.0.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// The median, and the least and the most.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let digits = if self.median() < 20.0 { 2 } else { 0 };
        let (least, median, most) = (self.at(0.0), self.median(), self.at(1.0));
        write!(f, "{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// So many of a thing.
pub fn count(number: usize, thing: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{many}")
}

fn document() -> PathBuf {
    in_project("docs/PERFORMANCE.md")
}

/// Puts a part's text where docs/PERFORMANCE.md has its last one.
pub fn write(part: &str, text: &str) -> std::io::Result<()> {
    println!("{text}");
    let (from, to) = (
        format!("<!-- measured: {part} -->\n"),
        format!("<!-- end: {part} -->"),
    );
    let before = fs::read_to_string(document())?;
    let Some((head, rest)) = before.split_once(&from) else {
        return Err(std::io::Error::other(format!(
            "PERFORMANCE.md has no place for {part}"
        )));
    };
    let tail = rest.split_once(&to).map_or("", |(_, tail)| tail);
    fs::write(document(), format!("{head}{from}{text}{to}{tail}"))
}

/// A row of a table.
pub fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A line of a plot: its name and its points.
pub type Line = (String, Vec<(f64, f64)>);

/// Draws lines against a number of environments, in powers, into docs/NAME.svg.
pub fn plot(name: &str, x: &str, y: &str, lines: &[Line]) -> Drawn {
    draw(name, x, y, lines, (1.0..right(lines)).log_scale())
}

/// Draws lines against seconds, into docs/NAME.svg.
pub fn plot_time(name: &str, y: &str, lines: &[Line]) -> Drawn {
    draw(name, "seconds", y, lines, 0.0..right(lines))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn right(lines: &[Line]) -> f64 {
    let points = lines.iter().flat_map(|(_, points)| points);
    points.map(|(x, _)| *x).fold(1.0, f64::max)
}

fn draw<X>(name: &str, x: &str, y: &str, lines: &[Line], across: X) -> Drawn
where
    X: AsRangedCoord<Value = f64, CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>>,
{
    let path = in_project(&format!("docs/{name}.svg"));
    let points = || lines.iter().flat_map(|(_, points)| points);
    let top = points().map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let area = SVGBackend::new(&path, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(across, 0.0..top)?;
    chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(index).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    area.present()?;
    Ok(())
}
