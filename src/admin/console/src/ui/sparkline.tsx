// A course at a glance, in the height of a line.

interface SparklineProps {
  readonly values: readonly number[];
  /** What it is, and of when: `Shows per hour, last 24 h`. */
  readonly label: string;
}

const WIDTH = 96;
const HEIGHT = 22;

export function Sparkline({ values, label }: SparklineProps) {
  const most = Math.max(...values, 0);
  const x = (index: number) => (values.length > 1 ? (index / (values.length - 1)) * WIDTH : 0);
  // A course of nothing is a line at the bottom.
  const y = (value: number) => HEIGHT - 1.5 - (most > 0 ? value / most : 0) * (HEIGHT - 3);
  const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={`${label}; highest ${most}`}
    >
      {most > 0 && (
        <polygon points={`0,${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}`} />
      )}
      {values.length > 1 && <polyline points={points.join(' ')} class={most > 0 ? '' : 'flat'} />}
    </svg>
  );
}
