// One popup: what it is, what comes of it, how it came to be so, and what can be done with it.
import './popups.css';
import { useEffect, useState } from 'preact/hooks';
import { useLocation, useSearchParams } from 'wouter-preact';
import { Refusal } from '../../api/client';
import { useCatalogChange, useLive } from '../../api/live';
import { useLoad } from '../../api/load';
import { loadPopup, type Popup, switchFor } from '../../api/popups';
import { may } from '../../api/session';
import type { Switch } from '../../api/switching';
import type { PageProps } from '../../shell/pages';
import { Button, LinkButton } from '../../ui/button';
import { StatusChip } from '../../ui/chip';
import { useKeys } from '../../ui/keys';
import { Empty, Failure, Skeleton } from '../../ui/notice';
import { PageHead } from '../../ui/page';
import { LinkTabs } from '../../ui/tabs';
import { Report } from '../statistics/report';
import { BringBackDialog, DeleteDialog } from './delete-dialog';
import { Overview } from './overview';
import { SwitchDialog } from './switch-dialog';
import { Versions } from './versions';

const BACK = { href: '/popups', label: 'Popups' };
const SWITCHES: readonly Switch[] = ['pause', 'resume', 'archive'];

export default function PopupPage({ params }: PageProps) {
  const id = params['id'] ?? '';
  const part = params['part'] ?? '';
  useLive();
  const { value: popup, error, reload } = useLoad(`popup ${id}`, (signal) =>
    loadPopup(id, signal),
  );
  useCatalogChange(id, reload);
  if (!popup) {
    if (error instanceof Refusal && error.status === 404) return <NoPopup id={id} />;
    return (
      <>
        <PageHead title={id} back={BACK} />
        {error ? <Failure error={error} what="The popup could not be loaded" /> : null}
        {!error && <Skeleton height="30rem" />}
      </>
    );
  }
  const path = `/popups/${id}`;
  return (
    <>
      <Head popup={popup} reload={reload} />
      <LinkTabs
        label="Parts of this popup"
        current={part ? `${path}/${part}` : path}
        tabs={[
          { href: path, label: 'Overview' },
          { href: `${path}/statistics`, label: 'Statistics' },
          { href: `${path}/versions`, label: 'Versions' },
        ]}
      />
      <div class="tab-body">
        {part === '' && <Overview popup={popup} />}
        {part === 'statistics' && <Report popup={id} />}
        {part === 'versions' && <Versions popup={popup} onChange={reload} />}
        {!['', 'statistics', 'versions'].includes(part) && (
          <Empty title="There is no such page">
            <p>This popup has an overview, statistics and versions.</p>
          </Empty>
        )}
      </div>
    </>
  );
}

function NoPopup({ id }: { id: string }) {
  return (
    <>
      <PageHead title={id} back={BACK} />
      <Empty
        title="There is no popup of this name"
        actions={<LinkButton href="/popups">Look for it in the list</LinkButton>}
      >
        <p>Names are told exactly, in small letters. A deleted draft is gone for good.</p>
      </Empty>
    </>
  );
}

interface HeadProps {
  readonly popup: Popup;
  readonly reload: () => void;
}

function Head({ popup, reload }: HeadProps) {
  const { id, effective_status: status, status: own, override, gone } = popup;
  const [params, setParams] = useSearchParams();
  const [asking, setAsking] = useState<'delete' | 'bring back' | null>(null);
  const [acting, setActing] = useState<Switch | null>(null);
  const asked = params.get('do');
  // Links lead to what is to be done; once it has been asked, the address is that of the page.
  useEffect(() => {
    const what = SWITCHES.find((known) => known === asked);
    if (!what) return;
    if (may('switch')) setActing(what);
    setParams({}, { replace: true });
  }, [asked]);
  const what = override === 'archived' && !gone ? 'resume' : switchFor(popup);
  const canSwitch = may('switch') && popup.version > 0;
  const canEdit = may('edit') && popup.origin === 'api';
  const [, go] = useLocation();
  useKeys({
    ...(what && canSwitch && {
      p: { words: what === 'pause' ? 'Pause' : 'Resume', call: () => setActing(what) },
    }),
    e: { words: 'Editor', call: () => go(`/popups/${id}/edit`) },
  });
  return (
    <>
      <PageHead
        title={id}
        back={BACK}
        beside={<StatusChip status={status} gone={gone} own={override ? own : null} />}
      >
        {canSwitch && what && (
          <Button icon={what === 'pause' ? 'pause' : 'play'} onClick={() => setActing(what)}>
            {what === 'pause' ? 'Pause' : 'Resume'}
          </Button>
        )}
        <LinkButton icon="edit" href={`/popups/${id}/edit`}>
          {canEdit ? 'Edit' : 'Definition'}
        </LinkButton>
        {canSwitch && status !== 'archived' && (
          <Button kind="quiet" icon="archive" onClick={() => setActing('archive')}>
            Archive
          </Button>
        )}
        {canEdit && !gone && (
          <Button kind="quiet" onClick={() => setAsking('delete')}>
            Delete
          </Button>
        )}
        {may('edit') && gone && (
          <Button onClick={() => setAsking('bring back')}>Bring back</Button>
        )}
      </PageHead>
      {acting && (
        <SwitchDialog
          popup={popup}
          what={acting}
          onClose={() => setActing(null)}
          onDone={reload}
        />
      )}
      {asking === 'delete' && (
        <DeleteDialog popup={popup} onClose={() => setAsking(null)} onDone={reload} />
      )}
      {asking === 'bring back' && (
        <BringBackDialog popup={popup} onClose={() => setAsking(null)} onDone={reload} />
      )}
    </>
  );
}
