//! Pictures of the results: bars for the comparison, curves for growth. Plain SVG, so that a
//! change of it can be read.

use super::page::{PEERS, SCENARIOS};
use super::results::Results;

const OURS: &str = "#1d4ed8";
const SECOND: &str = "#d97706";
const OTHERS: &str = "#9ca3af";
const TEXT: &str = "#111827";
const FAINT: &str = "#6b7280";

/// A picture under construction.
struct Svg {
    body: String,
}

/// One panel of curves.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// What the horizontal axis counts.
    pub(crate) amounts: String,
    pub(crate) curves: Vec<Curve>,
}

/// One curve: amount and cost.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Bars per scenario, as long as the processor time per request is in relation to the
/// scenario's reference.
pub(crate) fn bars(results: &Results) -> String {
    const LEFT: f64 = 130.0;
    const LONGEST: f64 = 420.0;
    const WIDTH: f64 = 760.0;
    let groups: Vec<Group<'_>> = SCENARIOS
        .iter()
        .filter_map(|one| Group::of(results, *one))
        .collect();
    let ratios = groups.iter().flat_map(|group| &group.bars);
    let greatest = ratios.map(|bar| bar.ratio).fold(1.0, f64::max);
    let mut svg = Svg::new();
    let title = "Processor time per request, one worker; shorter is better";
    svg.text(12.0, 24.0, 15, TEXT, "start", title);
    let mut y = 44.0;
    for group in &groups {
        svg.text(12.0, y + 14.0, 13, TEXT, "start", &group.title);
        y += 24.0;
        let bottom = y + 21.0 * group.bars.len() as f64;
        for bar in &group.bars {
            let length = LONGEST * bar.ratio / greatest;
            let ours = bar.peer.starts_with("gateway");
            let (colour, weight) = if ours { (OURS, TEXT) } else { (OTHERS, FAINT) };
            svg.text(LEFT - 8.0, y + 12.0, 12, weight, "end", bar.peer);
            svg.bar(LEFT, y, length, 16.0, colour);
            let label = format!("{:.2} × · {:.1} µs", bar.ratio, bar.cpu);
            svg.text(LEFT + length + 8.0, y + 12.0, 12, weight, "start", &label);
            y += 21.0;
        }
        let at = LEFT + LONGEST / greatest;
        svg.line(
            (at, bottom - 21.0 * group.bars.len() as f64 - 3.0),
            (at, bottom - 2.0),
            true,
        );
        y += 12.0;
    }
    svg.finish(WIDTH, y)
}

/// One scenario of the bars.
struct Group<'a> {
    title: String,
    bars: Vec<Bar<'a>>,
}

struct Bar<'a> {
    peer: &'a str,
    ratio: f64,
    cpu: f64,
}

impl<'a> Group<'a> {
    /// The scenario's bars, if its reference was measured.
    fn of(results: &Results, scenario: (&str, &str, &str)) -> Option<Self> {
        let (name, what, reference) = scenario;
        let base = results.cpu(reference, name, "w1")?;
        let bar = |peer: &'a str| {
            let cpu = results.cpu(peer, name, "w1")?;
            let ratio = cpu / base;
            Some(Bar { peer, ratio, cpu })
        };
        Some(Self {
            title: format!("{name}: {what} ({reference} = 1)"),
            bars: PEERS.into_iter().filter_map(bar).collect(),
        })
    }
}

/// Panels of curves, two beside each other; amounts are on a logarithmic scale.
pub(crate) fn curves(panels: &[Panel]) -> String {
    const WIDTH: f64 = 380.0;
    const HEIGHT: f64 = 230.0;
    let mut svg = Svg::new();
    for (index, panel) in panels.iter().enumerate() {
        let (column, row) = ((index % 2) as f64, (index / 2) as f64);
        svg.panel(panel, (column * WIDTH, row * HEIGHT), (WIDTH, HEIGHT));
    }
    svg.finish(2.0 * WIDTH, HEIGHT * panels.len().div_ceil(2) as f64)
}

impl Svg {
    fn new() -> Self {
        Self {
            body: String::new(),
        }
    }

    fn text(&mut self, x: f64, y: f64, size: u8, colour: &str, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.body.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" \
             text-anchor=\"{anchor}\">{text}</text>\n"
        ));
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        self.body.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{colour}\"/>\n"
        ));
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), dashed: bool) {
        let dash = if dashed {
            " stroke-dasharray=\"3 3\""
        } else {
            ""
        };
        self.body.push_str(&format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{FAINT}\"{dash}/>\n",
            from.0, from.1, to.0, to.1
        ));
    }

    fn panel(&mut self, panel: &Panel, at: (f64, f64), size: (f64, f64)) {
        let (left, right) = (at.0 + 52.0, at.0 + size.0 - 24.0);
        let (top, bottom) = (at.1 + 58.0, at.1 + size.1 - 44.0);
        let points = || panel.curves.iter().flat_map(|curve| &curve.points);
        let costs = points().map(|point| point.1).fold(0.0, f64::max);
        let most = nice(costs);
        let least_amount = points().map(|point| point.0).fold(f64::MAX, f64::min);
        let most_amount = points().map(|point| point.0).fold(1.0, f64::max);
        let span = (most_amount / least_amount).ln().max(f64::MIN_POSITIVE);
        let x =
            |amount: f64| left + 16.0 + (right - left - 32.0) * (amount / least_amount).ln() / span;
        let y = |cost: f64| bottom - (bottom - top) * cost / most;

        self.text(at.0 + 12.0, at.1 + 22.0, 13, TEXT, "start", &panel.title);
        for cost in [0.0, most / 2.0, most] {
            self.line((left, y(cost)), (right, y(cost)), cost > 0.0);
            let label = format!("{cost:.0}");
            self.text(left - 6.0, y(cost) + 4.0, 11, FAINT, "end", &label);
        }
        if let Some(curve) = panel.curves.first() {
            for (amount, _) in &curve.points {
                let label = format!("{amount:.0}");
                self.text(x(*amount), bottom + 16.0, 11, FAINT, "middle", &label);
            }
        }
        let middle = f64::midpoint(left, right);
        self.text(middle, bottom + 32.0, 11, FAINT, "middle", &panel.amounts);
        for (curve, colour) in panel.curves.iter().zip([OURS, SECOND]) {
            let places: Vec<(f64, f64)> = curve
                .points
                .iter()
                .map(|point| (x(point.0), y(point.1)))
                .collect();
            self.curve(&places, colour);
        }
        if panel.curves.len() > 1 {
            let mut place = left;
            for (curve, colour) in panel.curves.iter().zip([OURS, SECOND]) {
                self.bar(place, at.1 + 33.0, 10.0, 10.0, colour);
                self.text(place + 15.0, at.1 + 42.0, 11, TEXT, "start", &curve.name);
                place += 90.0;
            }
        }
    }

    fn curve(&mut self, places: &[(f64, f64)], colour: &str) {
        let path: Vec<String> = places
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        self.body.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        ));
        for (x, y) in places {
            self.body.push_str(&format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n"
            ));
        }
    }

    /// On white, because a page may be dark.
    fn finish(self, width: f64, height: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// The next number above that people count in: 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::record;
    use super::*;

    #[test]
    fn bar_is_as_long_as_its_ratio() {
        let measured = vec![record("nginx", "P0", 10.0), record("gateway", "P0", 20.0)];
        let svg = bars(&Results::new(measured, Vec::new()));
        assert!(svg.contains("2.00 × · 20.0 µs"), "{svg}");
        assert!(svg.contains("width=\"420.0\""), "{svg}");
        assert!(svg.contains("width=\"210.0\""), "{svg}");
    }

    #[test]
    fn scenario_without_its_reference_has_no_bars() {
        let svg = bars(&Results::new(
            vec![record("gateway", "P0", 20.0)],
            Vec::new(),
        ));
        assert!(!svg.contains("20.0 µs"), "{svg}");
    }

    #[test]
    fn axis_ends_at_a_number_that_people_count_in() {
        for (value, expected) in [(0.0, 1.0), (14.0, 20.0), (55.0, 100.0), (500.0, 500.0)] {
            assert_eq!(nice(value), expected, "{value}");
        }
    }

    #[test]
    fn curve_goes_through_its_points() {
        let curve = |name: &str| Curve {
            name: name.to_owned(),
            points: vec![(1.0, 10.0), (100.0, 20.0)],
        };
        let panel = Panel {
            title: "A & B".to_owned(),
            amounts: "things".to_owned(),
            curves: vec![curve("one"), curve("two")],
        };
        let svg = curves(&[panel]);
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert!(svg.contains("A &amp; B"), "{svg}");
    }
}
