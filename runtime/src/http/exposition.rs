//! A report in Prometheus' text format.

use super::table::{Kind, METRICS, Metric, Of};
use crate::job::{InstanceReport, JobReport, OperatorReport};
use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::borrow::Cow;
use std::fmt;

pub(super) use prometheus_text::CONTENT_TYPE;

impl Metric {
    /// Every value with its labels.
    fn values(&self, report: &JobReport) -> Vec<(Labels, f64)> {
        let instances = || {
            let operators = report.operators.iter();
            operators.flat_map(|o| o.instances.iter().map(move |i| (instance(o, i), i)))
        };
        match self.of {
            Of::Job(_, of) => of(report).map(|v| (Labels::new(), v)).into_iter().collect(),
            Of::Operator(_, of) => {
                let operators = report.operators.iter();
                operators
                    .filter_map(|o| Some((operator(o), of(o)?)))
                    .collect()
            }
            Of::Instance(_, of) => instances()
                .filter_map(|(labels, i)| Some((labels, of(i, report)?)))
                .collect(),
            Of::Source(_, of) => instances()
                .filter_map(|(labels, i)| Some((labels, of(i.source.as_ref()?))))
                .collect(),
            Of::Worker(_, of) => {
                let workers = report.workers.iter();
                workers.map(|w| (vec![worker(w.worker)], of(w))).collect()
            }
            Of::Latency => Vec::new(),
        }
    }

    fn encode(&self, report: &JobReport, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metric_type = match self.kind() {
            Some(Kind::Counter) => MetricType::Counter,
            Some(Kind::Gauge) => MetricType::Gauge,
            None => MetricType::Histogram,
        };
        let mut to = to.encode_descriptor(self.name, self.help, None, metric_type)?;
        if let Of::Latency = self.of {
            return encode_latency(&report.latency.histogram, &mut to);
        }
        for (labels, value) in self.values(report) {
            let mut to = to.encode_family(&labels)?;
            match self.kind() {
                Some(Kind::Counter) => to.encode_counter::<NoLabelSet, f64, f64>(&value, None)?,
                _ => to.encode_gauge(&value)?,
            }
        }
        Ok(())
    }
}

type Labels = Vec<(&'static str, String)>;

fn worker(index: usize) -> (&'static str, String) {
    ("worker", index.to_string())
}

fn operator(report: &OperatorReport) -> Labels {
    vec![
        ("operator", report.name.clone()),
        ("uid", report.uid.clone()),
    ]
}

fn instance(report: &crate::job::OperatorReport, instance: &InstanceReport) -> Labels {
    let mut labels = operator(report);
    labels.push(worker(instance.worker));
    labels
}

/// Upper bounds of the latency buckets, in microseconds.
const BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 10_000_000, 60_000_000,
];

fn encode_latency(latencies: &Histogram<u64>, to: &mut MetricEncoder<'_>) -> fmt::Result {
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = BOUNDS_US
        .iter()
        .map(|bound| {
            let until = latencies.count_between(0, *bound);
            let here = until - below;
            below = until;
            (*bound as f64 / 1e6, here)
        })
        .collect();
    buckets.push((f64::INFINITY, latencies.len() - below));
    let sum_us = latencies.mean() * latencies.len() as f64;
    to.encode_histogram::<NoLabelSet>(sum_us / 1e6, latencies.len(), &buckets, None)
}

/// A report as it was when it was asked for.
#[derive(Debug)]
struct Scrape(JobReport);

impl Collector for Scrape {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        METRICS
            .iter()
            .try_for_each(|metric| metric.encode(&self.0, &mut to))
    }
}

/// A report in Prometheus' text format; each line has the job's name as a label.
pub fn metrics_text(report: &JobReport) -> String {
    let job = (Cow::Borrowed("job_name"), Cow::Owned(report.job.clone()));
    let mut registry = Registry::with_labels(std::iter::once(job));
    registry.register_collector(Box::new(Scrape(report.clone())));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("writing to a text does not fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::NodeKind;
    use crate::job::{LatencyReport, WorkerReport};
    use crate::metrics::Latencies;
    use std::time::Duration;

    fn report() -> JobReport {
        let mut count = OperatorReport::new("count \"a\"", "count", NodeKind::Operator);
        count.queued = Some(3);
        let latencies = Latencies::default();
        latencies.record(2_000_000, 9);
        latencies.record(700_000_000, 1);
        JobReport {
            job: "clicks".into(),
            elapsed: Duration::from_millis(1_500),
            operators: vec![count],
            workers: vec![WorkerReport {
                busy: Duration::from_millis(250),
                ..WorkerReport::default()
            }],
            latency: LatencyReport::of(latencies.snapshot()),
            ..JobReport::default()
        }
    }

    #[test]
    fn the_text_has_types_labels_and_values() {
        let text = metrics_text(&report());
        for line in [
            "# TYPE millstream_uptime_seconds gauge",
            "millstream_uptime_seconds{job_name=\"clicks\"} 1.5",
            "# TYPE millstream_worker_busy_seconds_total counter",
            "millstream_worker_busy_seconds_total{job_name=\"clicks\",worker=\"0\"} 0.25",
            "millstream_operator_queued_records{job_name=\"clicks\",operator=\"count \\\"a\\\"\",uid=\"count\"} 3.0",
            "# TYPE millstream_latency_seconds histogram",
            "millstream_latency_seconds_bucket{job_name=\"clicks\",le=\"0.001\"} 0",
            "millstream_latency_seconds_bucket{job_name=\"clicks\",le=\"0.0025\"} 9",
            "millstream_latency_seconds_bucket{job_name=\"clicks\",le=\"+Inf\"} 10",
            "millstream_latency_seconds_count{job_name=\"clicks\"} 10",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nis not in\n{text}"
            );
        }
        // A job without event time has no watermark, rather than one of the year -292 million.
        assert!(!text.contains("\nmillstream_watermark_seconds{"), "{text}");
    }

    #[test]
    fn every_metric_is_exported_with_its_type() {
        let text = metrics_text(&report());
        for metric in METRICS {
            let line = format!("# TYPE {} ", metric.exported_name());
            assert!(text.contains(&line), "{line}");
        }
    }
}
