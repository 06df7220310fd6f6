//! Numbers of a part of the node that is no shard, each declared once: its field, its name and what
//! it says. Several threads may write them; a scrape reads them.

use super::counters::{MetricKind, Unit};
use super::text::NodeMetric;

/// One number of a part `T` of the node.
#[derive(Debug)]
pub struct MetricRow<T> {
    /// Its name without `nudged_`.
    pub name: &'static str,
    /// What readers do with it.
    pub kind: MetricKind,
    /// What it is kept in.
    pub unit: Unit,
    /// What it says.
    pub help: &'static str,
    /// Its value now.
    pub value: fn(&T) -> u64,
}

impl<T> MetricRow<T> {
    /// The number with a value, which may be a sum over several parts.
    pub fn with(&self, value: u64) -> NodeMetric<'static> {
        let MetricRow { name, kind, unit, help, .. } = *self;
        NodeMetric { name, kind, help, labels: &[], value, unit }
    }

    /// The number as it is now.
    pub fn now(&self, part: &T) -> NodeMetric<'static> {
        self.with((self.value)(part))
    }
}

/// Declares a struct of atomic numbers and the table of them, `ROWS`. Fields behind `beside` are no
/// metrics.
#[macro_export]
macro_rules! node_metrics {
    (
        $(#[$about:meta])*
        pub struct $part:ident {
            $($kind:ident $field:ident $name:literal $help:literal $(in $unit:ident)?;)*
        }
        beside { $($(#[$doc:meta])* $reach:vis $other:ident: $type:ty,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $part {
            $(#[doc = $help] pub $field: ::std::sync::atomic::AtomicU64,)*
            $($(#[$doc])* $reach $other: $type,)*
        }

        impl $part {
            /// Its numbers, in the order in which they are shown.
            pub const ROWS: &[$crate::telemetry::table::MetricRow<$part>] =
                &[$($crate::telemetry::table::MetricRow {
                    name: $name,
                    kind: $crate::telemetry::counters::MetricKind::$kind,
                    unit: [
                        $($crate::telemetry::counters::Unit::$unit,)?
                        $crate::telemetry::counters::Unit::Base
                    ][0],
                    help: $help,
                    value: |part| part.$field.load(::std::sync::atomic::Ordering::Relaxed),
                },)*];
        }
    };
}

pub use node_metrics;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    node_metrics! {
        /// A part.
        pub struct Part {
            Counter pushes "pushes_total" "Pushes.";
            Gauge lag_ms "lag_seconds" "How late it is." in Milliseconds;
        }
        beside {
            /// No metric.
            name: String,
        }
    }

    #[test]
    fn a_number_is_declared_once_and_read_by_its_row() {
        let part = Part { name: "a".to_owned(), ..Part::default() };
        part.pushes.fetch_add(2, Ordering::Relaxed);
        part.lag_ms.store(70, Ordering::Relaxed);
        let [pushes, lag] = Part::ROWS else { panic!("two rows") };
        assert_eq!(
            (pushes.name, pushes.kind, pushes.unit),
            ("pushes_total", MetricKind::Counter, Unit::Base)
        );
        assert_eq!(
            (lag.kind, lag.unit, lag.help),
            (MetricKind::Gauge, Unit::Milliseconds, "How late it is.")
        );
        assert_eq!((pushes.now(&part).value, lag.now(&part).value), (2, 70));
        assert_eq!((lag.with(9).value, part.name.as_str()), (9, "a"));
    }
}
