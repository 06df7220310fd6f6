// Courses over time: drawn by uPlot, which is loaded when the first is shown; the same as a table
// for those who can't see it, or want the numbers.
import { useEffect, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import { theme } from '../shell/theme';
import { count, moment } from './format';

export interface Series {
  readonly label: string;
  /** One for each moment; null where there is none. */
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly unit: string;
  readonly zone?: string;
  /** Pixels; kept free before it is drawn. */
  readonly height?: number;
  readonly form?: (value: number | null) => string;
  /** The title is heard alone, as something above says it. */
  readonly bare?: boolean;
  /** The last so many seconds, without a table: what is drawn changes each second. */
  readonly liveSeconds?: number;
}

const DASHES: readonly number[][] = [[], [6, 3], [2, 3], [10, 4], [6, 3, 2, 3], [1, 2]];

export function Chart(props: ChartProps) {
  const { title, times, series, unit, zone, height = 220, form = count, bare } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const names = series.map(({ label }) => label).join('\n');
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let [gone, watch] = [false, null as ResizeObserver | null];
    void load().then(
      (Plot) => {
        const room = place.current;
        if (gone || !room) return;
        plot.current = new Plot(options(Plot, room, latest.current), data(latest.current), room);
        watch = new ResizeObserver(() => {
          plot.current?.setSize({ width: room.clientWidth, height });
        });
        watch.observe(room);
      },
      () => setFailed(true),
    );
    return () => {
      gone = true;
      watch?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, zone, height, unit, theme.value, form]);
  useEffect(() => {
    plot.current?.setData(data(latest.current));
  }, [times, series]);
  return (
    <figure class="chart">
      <figcaption class="chart-head">
        <span class={bare ? 'hidden' : 'chart-title'}>{title}</span>
        <span class="chart-unit">{unit}</span>
        {series.length > 1 && <Legend series={series} />}
      </figcaption>
      <div ref={place} class="chart-room" style={{ height: `${height}px` }} aria-hidden="true">
        {failed && 'The chart could not be loaded.'}
      </div>
      {!props.liveSeconds && <Numbers {...{ title, times, series, zone, form }} />}
    </figure>
  );
}

function Legend({ series }: { series: readonly Series[] }) {
  return (
    <ul class="chart-legend">
      {series.map(({ label }, index) => (
        <li key={label}>
          <svg width="18" height="8" aria-hidden="true">
            <line
              x1="0"
              x2="18"
              y1="4"
              y2="4"
              style={{ stroke: `var(--series-${(index % 6) + 1})` }}
              stroke-dasharray={DASHES[index % 6]?.join(' ')}
            />
          </svg>
          {label}
        </li>
      ))}
    </ul>
  );
}

type NumbersProps = Pick<ChartProps, 'title' | 'times' | 'series' | 'zone'> & {
  readonly form: (value: number | null) => string;
};

function Numbers({ title, times, series, zone, form }: NumbersProps) {
  const [open, setOpen] = useState(false);
  return (
    <details class="chart-numbers" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        As a table<span class="hidden">: {title}</span>
      </summary>
      {open && (
        <div class="chart-table" tabIndex={0} role="region" aria-label={title}>
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {series.map(({ label }) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times.map((time, index) => (
                <tr key={time}>
                  <th scope="row">{moment(time * 1000, zone)}</th>
                  {series.map(({ label, values }) => (
                    <td key={label}>{form(values[index] ?? null)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

let loading: Promise<typeof uPlot> | null = null;

function load(): Promise<typeof uPlot> {
  loading ??= Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]).then(
    ([loaded]) => loaded.default,
    (error: unknown) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

function data({ times, series }: ChartProps): uPlot.AlignedData {
  return [[...times], ...series.map(({ values }) => [...values])] as uPlot.AlignedData;
}

function options(Plot: typeof uPlot, room: HTMLElement, props: ChartProps): uPlot.Options {
  const { series, zone, height = 220, form = count, liveSeconds } = props;
  const colour = (name: string) => colourOf(room, name);
  const font = `12px ${getComputedStyle(room).fontFamily}`;
  const lines = { stroke: colour('--border'), width: 1 };
  const axis = { stroke: colour('--ink-soft'), font, grid: lines, ticks: { show: false } };
  const lead = colour('--series-1');
  return {
    width: room.clientWidth,
    height,
    ...(zone && { tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1000), zone) }),
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      ...(liveSeconds && { x: { range: (_, __, last) => lastSeconds(last, liveSeconds) } }),
      y: { range: (_, __, most) => [0, Math.max((most ?? 0) * 1.08, 1)] },
    },
    axes: [
      { ...axis, space: 72, size: liveSeconds ? 28 : 44, values: timeTicks(zone, !liveSeconds) },
      { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => form(tick)) },
    ],
    series: [
      {},
      ...series.map(({ label }, index) => ({
        label,
        stroke: colour(`--series-${(index % 6) + 1}`),
        width: 1.5,
        dash: DASHES[index % 6] ?? [],
        points: { show: false },
        ...(series.length === 1 && { fill: lead.replace('rgb(', 'rgba(').replace(')', ', 0.1)') }),
      })),
    ],
    plugins: [pointer(props)],
  };
}

/** They are there before anything has come. */
function lastSeconds(last: number | null, seconds: number): uPlot.Range.MinMax {
  const end = last ?? Date.now() / 1000;
  return [end - seconds, end];
}

/** Times at the axis, the date below where it is another than at the tick before. */
function timeTicks(zone: string | undefined, dated: boolean): uPlot.Axis.DynamicValues {
  const date = dateForm({ day: 'numeric', month: 'short' }, zone);
  const clock = { hour: '2-digit', minute: '2-digit' } as const;
  const [minutes, seconds] = [
    dateForm(clock, zone),
    dateForm({ ...clock, second: '2-digit' }, zone),
  ];
  return (_, ticks, __, ___, step) => {
    if (step >= 86_400) return ticks.map((tick) => date.format(tick * 1000));
    if (step < 60) return ticks.map((tick) => seconds.format(tick * 1000));
    let before = '';
    return ticks.map((tick) => {
      const day = date.format(tick * 1000);
      const told = `${minutes.format(tick * 1000)}${day === before || !dated ? '' : `\n${day}`}`;
      before = day;
      return told;
    });
  };
}

function dateForm(options: Intl.DateTimeFormatOptions, zone: string | undefined) {
  return new Intl.DateTimeFormat('en-GB', zone ? { ...options, timeZone: zone } : options);
}

/** What stands under the pointer, in words. */
function pointer(props: ChartProps): uPlot.Plugin {
  const told = document.createElement('div');
  told.className = 'chart-told';
  return {
    hooks: {
      init: (plot) => {
        plot.over.append(told);
      },
      setCursor: (plot) => {
        const { idx, left = -1 } = plot.cursor;
        const time = idx === null || idx === undefined ? undefined : plot.data[0][idx];
        told.hidden = time === undefined || left < 0;
        if (time === undefined || idx === null || idx === undefined) return;
        const { form = count, series, zone } = props;
        const lines = series.map(
          ({ label }, index) => `${label}: ${form(plot.data[index + 1]?.[idx] ?? null)}`,
        );
        told.textContent = [moment(time * 1000, zone), ...lines].join('\n');
        const right = left > plot.over.clientWidth / 2;
        told.style.left = right ? '' : `${left + 12}px`;
        told.style.right = right ? `${plot.over.clientWidth - left + 12}px` : '';
      },
    },
  };
}

/** A token as the canvas knows colours: what it is in light or dark is the browser's to say. */
function colourOf(room: HTMLElement, token: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${token})`;
  room.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
