// What is out of order: what visitors notice, what to do. What is over is told below it.
import type { Outage } from '../../api/live';
import { Copy } from '../../ui/copy';
import { Notice } from '../../ui/notice';
import { Section } from '../../ui/page';
import { Time } from '../../ui/time';
import { adviceOf } from './advice';

export function Outages({ outages }: { outages: readonly Outage[] }) {
  const active = outages.filter((one) => one.active);
  const over = outages.filter((one) => !one.active);
  if (active.length === 0 && over.length === 0) {
    return <Notice tone="good" title="Nothing is out of order" />;
  }
  return (
    <Section title="Outages">
      {active.map((one) => (
        <Active key={one.outage} outage={one} />
      ))}
      {active.length === 0 && <Notice tone="good" title="Nothing is out of order now" />}
      {over.length > 0 && (
        <ul class="outages-over">
          {over.map((one) => (
            <li key={one.outage}>
              Over: {adviceOf(one.outage).title}, <Time at={one.at} seconds />{' '}
              <code>{one.code}</code>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Active({ outage }: { outage: Outage }) {
  const { title, visitors, mend, command } = adviceOf(outage.outage);
  return (
    <Notice tone="bad" title={title}>
      <p>
        {outage.error || outage.code}, <Time at={outage.at} seconds />.
      </p>
      <p>Visitors: {visitors}</p>
      <p>What to do: {mend}</p>
      {command && <Command text={command} />}
    </Notice>
  );
}

/** A command for the shell of the host, to be copied. */
export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code tabIndex={0}>{text}</code>
      <Copy text={text} label={`Copy ${text}`} />
    </div>
  );
}
