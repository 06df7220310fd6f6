// Outages: what each is called, what visitors notice, and what to do. As in docs/operations.md.

export interface Advice {
  readonly title: string;
  readonly visitors: string;
  readonly mend: string;
  /** To copy. */
  readonly command?: string;
}

const ADVICE: Readonly<Record<string, Advice>> = {
  redis: {
    title: 'Redis is away or slow',
    visitors: 'on_failure of each popup decides; events are taken.',
    mend: 'Bring it back. Service is full within a second, and what was taken is merged by itself.',
    command: 'systemctl status redis-server',
  },
  redis_unfit: {
    title: 'Redis can’t be used as it is set up',
    visitors: 'on_failure of each popup decides, or missing users are read from SQL.',
    mend: 'The text below says what is wrong; no restart is needed afterwards.',
  },
  overrides: {
    title: 'A pause or archive is not stored everywhere yet',
    visitors: 'Decisions go by it already.',
    mend: 'Bring back the store that is named; it is written there by itself.',
  },
  rebuild: {
    title: 'Redis is filled again',
    visitors: 'Users who are not there yet are read from SQL.',
    mend: 'Nothing to do: “Stores” shows how far it is.',
  },
  sql: {
    title: 'SQL is away, full, slow or refuses',
    visitors: 'No change: records wait in the journal, which has room for 256 MiB of them.',
    mend: 'Bring it back before the journal is full; then shows degrade and events get 503.',
  },
  catalog: {
    title: 'This node’s popups are older than those of others',
    visitors: 'They get the popups of before.',
    mend: 'Look at SQL and the network between this node and it.',
  },
  file: {
    title: 'The popups file waits for SQL',
    visitors: 'They get the popups of before.',
    mend: 'Bring SQL back: the file is taken by itself then.',
  },
  journal_low: {
    title: 'The disk of the journal is nearly full',
    visitors: 'No change yet.',
    mend: 'Make room for 64 MiB and more; it goes on by itself.',
    command: 'df -h',
  },
  journal_full: {
    title: 'The journal has no room',
    visitors: 'Shows degrade, events get 503, and /readyz is red.',
    mend: 'Make room on its disk; it goes on by itself.',
    command: 'df -h',
  },
  journal: {
    title: 'The journal could not be written',
    visitors: 'Shows degrade, events get 503, and /readyz is red once two writes in a row failed.',
    mend: 'Look at the disk’s health; if the journal has closed, restart the node afterwards.',
    command: 'dmesg -T | tail',
  },
  names: {
    title: 'A host name of a URL is not known',
    visitors: 'No change while connections last.',
    mend: 'Look at DNS, or at the name in redis.url and mysql.url.',
    command: 'resolvectl status',
  },
  clock: {
    title: 'This clock and the others’ are apart',
    visitors: 'They are served; gaps may end a little early or late.',
    mend: 'Set the clock; the node follows by at most 5 %.',
    command: 'chronyc tracking',
  },
  reads: {
    title: 'Users are read back from SQL too slowly',
    visitors: 'Whoever was away for long may get no popup at first.',
    mend: 'Look at the database: long queries, its disk.',
  },
  lists: {
    title: 'A record in a Redis list can’t be read',
    visitors: 'No change.',
    mend: 'Nodes of very different versions? Bring them to one.',
  },
  slice: {
    title: 'The memory for users is full',
    visitors: 'Users who have not come for long are read again from SQL or Redis.',
    mend: 'Raise slice_bytes, or add nodes.',
  },
  lanes: {
    title: 'A shard can’t keep up with what others hand it',
    visitors: 'Some get no popup.',
    mend: 'More load than there should be: add CPUs or nodes.',
  },
  connections: {
    title: 'More connections than may be open',
    visitors: 'New ones are refused.',
    mend: 'Raise connections_max and LimitNOFILE, or have idle ones closed earlier.',
    command: 'ss -s',
  },
  shedding: {
    title: 'A shard is overloaded',
    visitors: 'Some get 503, so that the others are answered in time.',
    mend: 'Add nodes or CPUs, or hold keys, users and addresses to a rate.',
  },
  sources: {
    title: 'An address has as many connections as it may',
    visitors: 'That address is refused more.',
    mend: 'If it is a balancer, raise connections_per_source or list it as trusted.',
  },
  unsent: {
    title: 'Clients read their answers too slowly',
    visitors: 'The slowest are cut off.',
    mend: 'More load, slower clients, or a balancer that does not read.',
  },
  proxied: {
    title: 'A connection came without the PROXY header, or with a wrong one',
    visitors: 'That connection is closed.',
    mend: 'Set the balancer to send it, or take proxy_protocol off the listener.',
  },
  accepts: {
    title: 'Connections can’t be accepted',
    visitors: 'New ones wait.',
    mend: 'A limit of the process or host: LimitNOFILE of the unit, fs.file-max.',
    command: 'cat /proc/sys/fs/file-nr',
  },
};

export function adviceOf(outage: string): Advice {
  return (
    ADVICE[outage] ?? {
      title: `Something is wrong with ${outage}`,
      visitors: 'See docs/operations.md, “Outages”.',
      mend: 'The log says why.',
    }
  );
}
