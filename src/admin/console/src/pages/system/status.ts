// What `GET /v1/status` and its neighbours answer, as far as it is shown.
import type { Outage } from '../../api/live';

export interface Shard {
  readonly id: number;
  readonly cpu: number | null;
  readonly load: number;
  readonly connections: number;
  readonly users: number;
  readonly slice_bytes: number;
}

export interface Listener {
  readonly address: string;
  readonly connections_accepted: number;
  readonly connections: number;
  readonly connections_refused: number;
}

export interface Journal {
  readonly written: number;
  readonly synced: number;
  readonly accepting: boolean;
  readonly full: boolean;
  readonly lacks: string | null;
  readonly unapplied_bytes: number;
  readonly bytes: number;
  readonly segments?: number;
  readonly failures?: number;
  readonly last_error?: Outage | null;
}

export interface Sql {
  readonly applied: number;
  readonly lag: number;
  readonly lag_ms: number;
  readonly unfit: string | null;
  readonly halted: boolean;
  readonly failures?: number;
  readonly last_error?: Outage | null;
  readonly retention?: { readonly events: string; readonly users: string };
}

export interface Redis {
  readonly state: string;
  readonly unfit: string | null;
  readonly evicts: boolean | null;
  readonly partitions_lost: number;
  readonly other_nodes?: number;
  readonly rebuild?: {
    readonly partitions: number;
    readonly phase: string;
    readonly users: number;
    readonly for_ms: number;
  } | null;
  readonly lists?: { readonly waiting: number; readonly lag_ms: number };
  readonly last_error?: Outage | null;
}

export interface NodeSeen {
  readonly node: string;
  readonly host: string;
  readonly version: string;
  readonly self: boolean;
  readonly catalog_version: number;
  readonly overrides: number;
  readonly current: boolean;
  readonly silent_ms: number;
}

export interface Certificate {
  readonly not_before: string;
  readonly expires_at: string;
  readonly expires_in_s: number;
}

export interface Status {
  readonly version: string;
  readonly ready: boolean;
  readonly started_at: string;
  readonly uptime_s: number;
  readonly shards: readonly Shard[];
  readonly load: number;
  readonly listeners: readonly Listener[];
  readonly connections_max: number;
  readonly writer_cpu: number | null;
  readonly pinned: boolean;
  readonly ack: 'written' | 'synced';
  readonly catalog: {
    readonly version: number;
    readonly since: string;
    readonly popups: Readonly<Record<string, number>>;
  };
  readonly journal: Journal;
  readonly sql: Sql;
  readonly redis: Redis | null;
  readonly tls: Certificate | null;
  readonly data: {
    readonly directory: string;
    readonly free_bytes: number | null;
    readonly files: Readonly<Record<string, number>>;
  };
  readonly limits: Readonly<Record<string, number | null>>;
  readonly outages: readonly Outage[];
  readonly clock: { readonly now: string; readonly ahead_ms: number };
  /** Missing in older nodes. */
  readonly nodes?: readonly NodeSeen[];
}
