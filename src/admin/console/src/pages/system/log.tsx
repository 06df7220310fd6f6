// The newest lines of the node's log, which come by themselves; they can be held, and searched.
import { useRef, useState } from 'preact/hooks';
import { get, Refusal } from '../../api/client';
import { useEvery } from '../../api/load';
import { Button } from '../../ui/button';
import { Chip, type Tone } from '../../ui/chip';
import { Segments, TextField } from '../../ui/field';
import { Empty, Failure, Notice, Skeleton } from '../../ui/notice';
import { Section } from '../../ui/page';
import { useEffect } from 'preact/hooks';

interface LogLine {
  readonly n: number;
  readonly at: string;
  readonly level: string;
  readonly code: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly line: string;
}

interface LogPage {
  readonly lines: readonly LogLine[];
  readonly last: number | null;
  readonly oldest: number | null;
}

const EVERY_MS = 1_000;
/** As many as the node keeps. */
const LINES_MAX = 1_000;
const LINES_AT_FIRST = 200;

const TONES: Readonly<Record<string, Tone>> = { error: 'bad', warn: 'warn', debug: 'plain' };
const LEVELS = [
  { value: 'info', label: 'All' },
  { value: 'warn', label: 'Warnings' },
  { value: 'error', label: 'Errors' },
];

export function Log() {
  const [level, setLevel] = useState('info');
  const [text, setText] = useState('');
  const [held, setHeld] = useState(false);
  const { lines, error } = useTail(level, held);
  const shown = (lines ?? []).filter((line) => has(line, text));
  return (
    <Section title="Log">
      <div class="log-tools">
        <TextField
          label="Find in the log"
          bare
          type="search"
          placeholder="Find a code or a word"
          value={text}
          onText={setText}
          spellcheck={false}
        />
        <Segments label="Level" value={level} choices={LEVELS} onPick={setLevel} />
        <Button icon={held ? 'play' : 'pause'} onClick={() => setHeld(!held)}>
          {held ? 'Go on' : 'Hold'}
        </Button>
      </div>
      {error ? <Away error={error} /> : null}
      {!lines && !error && <Skeleton lines={10} />}
      {lines && shown.length === 0 && (
        <Empty title={text ? 'No line has this' : 'No lines of this level'}>
          <p>The node keeps its last {LINES_MAX} lines; its whole log is on standard error.</p>
        </Empty>
      )}
      {shown.length > 0 && (
        <ol class="log" tabIndex={0} role="log" aria-label="Log, newest first" aria-live="off">
          {shown.map((line) => (
            <Line key={line.n} line={line} />
          ))}
        </ol>
      )}
    </Section>
  );
}

function Away({ error }: { error: unknown }) {
  if (error instanceof Refusal && error.status === 404) {
    return (
      <Notice title="This node does not tell its log">
        <p>
          Its version is older than the console. On its host: <code>journalctl -u nudged -f</code>
        </p>
      </Notice>
    );
  }
  return <Failure error={error} what="The log could not be loaded" />;
}

function has(line: LogLine, text: string): boolean {
  return line.line.toLowerCase().includes(text.trim().toLowerCase());
}

/** The lines of a level, newest first, as they come; what is held stays as it is. */
function useTail(level: string, held: boolean) {
  const [lines, setLines] = useState<readonly LogLine[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const place = useRef({ last: 0, level: '', busy: false });
  const more = async () => {
    const at = place.current;
    if (at.busy || held) return;
    at.busy = true;
    const isFirst = at.level !== level;
    try {
      const after = isFirst ? undefined : at.last;
      const page = await get<LogPage>('/v1/log', { level, after, limit: LINES_AT_FIRST });
      // Numbers begin anew where the node has: what is known is of its life before.
      const isAnew = isFirst || (page.last ?? 0) < at.last;
      const newest = [...page.lines].reverse();
      setLines((had) => (isAnew ? newest : [...newest, ...(had ?? [])].slice(0, LINES_MAX)));
      at.last = isAnew ? (page.last ?? 0) : (page.lines.at(-1)?.n ?? at.last);
      at.level = (page.last ?? 0) < at.last ? '' : level;
      setError(null);
    } catch (thrown) {
      setError(thrown);
    } finally {
      at.busy = false;
    }
  };
  useEffect(() => void more(), [level, held]);
  useEvery(EVERY_MS, () => void more());
  return { lines, error };
}

const CLOCK = new Intl.DateTimeFormat('en-GB', {
  day: '2-digit',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});

const OWN = new Set(['time', 'level', 'code', 'message']);

function Line({ line }: { line: LogLine }) {
  const fields = Object.entries(line.fields).filter(([name]) => !OWN.has(name));
  return (
    <li class="log-line">
      <time dateTime={line.at}>{CLOCK.format(Date.parse(line.at))}</time>
      <Chip tone={TONES[line.level] ?? 'plain'}>{line.level}</Chip>
      <span class="log-text">
        <code>{line.code}</code> {line.message}
        {fields.length > 0 && (
          <span class="log-fields">
            {' '}
            {fields.map(([name, value]) => `${name}=${plain(value)}`).join(' ')}
          </span>
        )}
      </span>
    </li>
  );
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
