// What a popup is, in words, and what comes of it now.
import type { ComponentChildren } from 'preact';
import { get } from '../../api/client';
import { liveHistory } from '../../api/live';
import { useEvery, useLoad } from '../../api/load';
import { type Popup, titleOf } from '../../api/popups';
import type { Stats } from '../../api/stats';
import { LinkButton } from '../../ui/button';
import { Chart } from '../../ui/chart';
import { Facts, Figure, Figures } from '../../ui/figure';
import { count, many, NOTHING, perSecond, share } from '../../ui/format';
import { Notice } from '../../ui/notice';
import { Section } from '../../ui/page';
import { clock, Time } from '../../ui/time';
import { capWords, gapWords, ruleCount, scheduleWords, timeOf } from './in-words';
import { LiveRate, LiveTime } from './live-rate';
import { Rank } from './rank';

const RELOAD_MS = 30_000;

export function Overview({ popup }: { popup: Popup }) {
  return (
    <div class="stack">
      <Notices popup={popup} />
      {popup.version > 0 && <Today popup={popup} />}
      <div class="columns">
        <Section card title="When and how often">
          <Facts facts={whenFacts(popup)} />
        </Section>
        <Section card title="What and for whom">
          <Facts facts={whatFacts(popup)} />
        </Section>
      </div>
    </div>
  );
}

function Notices({ popup }: { popup: Popup }) {
  const { id, override, status, gone, stored, draft, version, definition } = popup;
  const time = timeOf(definition, clock.value);
  const isLive = popup.effective_status === 'live';
  return (
    <div>
      {draft && (
        <Notice
          title={version === 0 ? 'Never published' : 'A draft is waiting'}
          actions={<LinkButton small href={`/popups/${id}/edit`}>Look at the draft</LinkButton>}
        >
          <p>
            {draft.who} saved it <Time at={draft.at} />.{' '}
            {version === 0 && 'Nobody is shown it until it is published.'}
          </p>
        </Notice>
      )}
      {gone && (
        <Notice tone="warn" title="Deleted">
          <p>
            {popup.origin === 'file'
              ? 'It has gone from the popups file, and comes back when it stands there again.'
              : 'Nobody is shown it. It can be brought back with its versions and its history.'}
          </p>
        </Notice>
      )}
      {override && !gone && (
        <Notice tone="warn" title={override === 'paused' ? 'Paused' : 'Archived'}>
          <p>
            That wins over the definition, which says <strong>{status}</strong>.{' '}
            {stored !== 'sql' && STORED[stored]}
          </p>
        </Notice>
      )}
      {!override && !gone && !isLive && version > 0 && (
        <Notice title={`Its definition says ${status}`}>
          <p>
            {popup.origin === 'file'
              ? 'That is set in the popups file, and changes there.'
              : 'Nobody is shown it until the definition says live.'}
          </p>
        </Notice>
      )}
      {isLive && time && (
        <Notice tone={time === 'over' ? 'warn' : 'plain'}>
          <p>
            {time === 'over' ? 'Nobody is shown it: it ended ' : 'It begins '}
            <Time at={time === 'over' ? definition.ends_at : definition.starts_at} />.
          </p>
        </Notice>
      )}
    </div>
  );
}

const STORED: Record<'memory' | 'node' | 'redis', string> = {
  memory: 'It is stored in this node’s memory only, until its disk or the database takes it.',
  node: 'It is stored on this node’s disk; the database does not have it yet.',
  redis: 'All nodes know it; the database does not have it yet.',
};

function Today({ popup }: { popup: Popup }) {
  const { value, reload } = useLoad(`today ${popup.id}`, (signal) =>
    get<Stats>('/v1/stats', { popup: popup.id }, signal),
  );
  useEvery(RELOAD_MS, reload);
  const totals = value?.totals;
  const of = (part: number | undefined) =>
    totals?.decided ? `last 24 h, ${share(part, totals.decided)} of shows` : 'last 24 h';
  const uniques = totals?.uniques;
  return (
    <>
      <Figures>
        <Figure label="Shows now" value={<LiveRate id={popup.id} />} asOf={<LiveTime />} />
        <Figure
          label="Shows"
          value={count(totals?.decided)}
          asOf={uniques ? `last 24 h, ${many(uniques, 'user')}` : 'last 24 h'}
        />
        <Figure label="Clicks" value={count(totals?.clicked)} asOf={of(totals?.clicked)} />
        <Figure
          label="Dismissals"
          value={count(totals?.dismissed)}
          asOf={of(totals?.dismissed)}
        />
        <Figure
          label="Conversions"
          value={count(totals?.converted)}
          asOf={of(totals?.converted)}
        />
      </Figures>
      <LiveCourse id={popup.id} />
    </>
  );
}

/** Shows of the last two minutes, on this node. */
function LiveCourse({ id }: { id: string }) {
  const history = liveHistory.value;
  const times = history.map(({ at }) => Date.parse(at) / 1000);
  const values = history.map(({ popups, popups_left_out: left }) => {
    const rate = popups[id]?.shows_per_s;
    return rate ?? (left > 0 ? null : 0);
  });
  return (
    <Section card title="Shows now">
      <Chart
        bare
        liveSeconds={120}
        title="Shows"
        unit="a second, on this node, last 2 minutes"
        times={times}
        series={[{ label: 'Shows', values }]}
        height={120}
        form={perSecond}
      />
    </Section>
  );
}

type FactList = readonly (readonly [string, ComponentChildren])[];

function lines(words: readonly string[]): ComponentChildren {
  return words.map((line) => <div key={line}>{line}</div>);
}

function whenFacts(popup: Popup): FactList {
  const { definition } = popup;
  const caps = capWords(definition);
  return [
    ['Schedule', lines(scheduleWords(definition))],
    ['Same user again', lines(gapWords(definition))],
    ...(caps.length ? [['Limits for a user', lines(caps)] as const] : []),
    ['Which wins', <Rank popup={popup} />],
    ...(definition.quiet_exempt
      ? [['Quiet times', 'Shown in them too, and outside limits of a day or session'] as const]
      : []),
    [
      'If a user’s state can’t be read',
      definition.on_failure === 'local' ? 'Shown by what this node knows' : 'Not shown',
    ],
  ];
}

function whatFacts({ definition, placement, version, origin, updated_at: at }: Popup): FactList {
  const rules = ruleCount(definition.target);
  const { rollout = 100, variants = [], locales } = definition;
  const weights = variants.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const languages = Object.keys(locales ?? variants[0]?.locales ?? {});
  return [
    ['Title', titleOf(definition) || NOTHING],
    ['Placement', placement.join(', ')],
    [
      'Shown to',
      `${rules === 0 ? 'Everyone' : `Users who match ${many(rules, 'rule')}`}` +
        `${rollout < 100 ? `, ${rollout} % of them` : ''}`,
    ],
    ...(variants.length
      ? [
          [
            'Variants',
            lines(
              variants.map(
                ({ key, weight = 1 }) => `${key}, ${share(weight, weights)} of users`,
              ),
            ),
          ] as const,
        ]
      : []),
    ...(languages.length ? [['Languages', languages.join(', ')] as const] : []),
    [
      'Version',
      <>
        {version === 0 ? 'never published' : version}
        {at && (
          <>
            , changed <Time at={at} />
          </>
        )}
      </>,
    ],
    ['Comes from', origin === 'file' ? 'the popups file, where it is edited' : 'the API'],
  ];
}
