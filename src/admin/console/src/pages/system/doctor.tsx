// Whether the host is fit, looked at on demand: what was found, why it matters, what mends it.
import { useState } from 'preact/hooks';
import { get, Refusal } from '../../api/client';
import { may } from '../../api/session';
import { Button } from '../../ui/button';
import { Chip, type Tone } from '../../ui/chip';
import { many } from '../../ui/format';
import { Empty, Failure, Notice } from '../../ui/notice';
import { Section } from '../../ui/page';
import { Time } from '../../ui/time';
import { WhyNot } from '../access/why-not';
import { Command } from './outages';

interface Check {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly found: string;
  readonly why: string;
  readonly mend: string;
}

interface Report {
  readonly took_ms: number;
  readonly checks: readonly Check[];
}

const TONES: Readonly<Record<Check['status'], Tone>> = { ok: 'good', warn: 'warn', fail: 'bad' };
const ORDER: readonly Check['status'][] = ['fail', 'warn', 'ok'];

export function Doctor() {
  const [report, setReport] = useState<(Report & { at: number }) | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    setError(null);
    try {
      setReport({ ...(await get<Report>('/v1/doctor')), at: Date.now() });
    } catch (thrown) {
      setError(thrown);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Section
      title="Is this host fit?"
      beside={report && <RunButton busy={busy} onRun={run} again />}
    >
      <div aria-live="polite">
        {error ? <Refused error={error} /> : null}
        {report ? (
          <Found report={report} />
        ) : (
          <Empty title="Not looked at yet" actions={<RunButton busy={busy} onRun={run} />}>
            <p>
              Looks at kernel, limits, sysctls, CPUs, disk, clock, Redis and MySQL as this node uses
              them. It changes nothing and takes some seconds.
            </p>
          </Empty>
        )}
      </div>
    </Section>
  );
}

function RunButton(props: { busy: boolean; onRun: () => void; again?: boolean }) {
  const { busy, onRun, again = false } = props;
  const allowed = may('run');
  return (
    <span class="with-reason">
      <Button kind={again ? 'plain' : 'primary'} disabled={!allowed} busy={busy} onClick={onRun}>
        {busy ? 'Looking …' : again ? 'Look again' : 'Look now'}
      </Button>
      {!allowed && <WhyNot right="run" />}
    </span>
  );
}

function Refused({ error }: { error: unknown }) {
  if (error instanceof Refusal && error.status === 404) {
    return (
      <Notice title="This node can’t look by itself">
        <p>Its version is older than the console. On its host:</p>
        <Command text="nudged doctor --config /etc/nudged.toml" />
      </Notice>
    );
  }
  return <Failure error={error} what="It could not be looked at" />;
}

function Found({ report }: { report: Report & { at: number } }) {
  const sorted = [...report.checks].sort(
    (a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status),
  );
  const bad = sorted.filter(({ status }) => status !== 'ok');
  const fine = sorted.filter(({ status }) => status === 'ok');
  return (
    <>
      <p class="doctor-sum">
        {bad.length === 0 ? 'Nothing to mend' : `${many(bad.length, 'finding')}`} in{' '}
        {many(sorted.length, 'check')}, <Time at={report.at} seconds />, in {report.took_ms} ms.
      </p>
      <Checks checks={bad} />
      {fine.length > 0 && (
        <details class="checks-fine" open={bad.length === 0}>
          <summary>{fine.length === 1 ? '1 check is' : `${fine.length} checks are`} fine</summary>
          <Checks checks={fine} />
        </details>
      )}
    </>
  );
}

function Checks({ checks }: { checks: readonly Check[] }) {
  return (
    <ul>
      {checks.map((check) => (
        <li key={check.name} class="check-row">
          <Chip tone={TONES[check.status]}>{check.status}</Chip>
          <div class="check-text">
            <h3>{check.name}</h3>
            <p>{check.found}</p>
            <p class="check-why">{check.why}</p>
            {check.status !== 'ok' && check.mend && <Command text={check.mend} />}
          </div>
        </li>
      ))}
    </ul>
  );
}
