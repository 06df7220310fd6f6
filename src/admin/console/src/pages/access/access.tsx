// Who may do what: who is here, tokens for people and programs, roles.
import './access.css';
import { may, session, type Session } from '../../api/session';
import { LinkButton } from '../../ui/button';
import { Icon } from '../../ui/icon';
import { Notice } from '../../ui/notice';
import { PageHead, Section } from '../../ui/page';
import { Time } from '../../ui/time';
import { RIGHTS, ROLES } from './roles';
import { Tokens } from './tokens';

export default function Access() {
  const who = session.value;
  return (
    <>
      <PageHead title="Access" />
      {who && <Who who={who} />}
      <Tokens />
      <Roles />
    </>
  );
}

function Who({ who }: { who: Session }) {
  return (
    <Section title="You" card>
      <p>{whoWords(who)}</p>
      {who.expires_at && (
        <p class="access-note">
          It lets you in until <Time at={who.expires_at} form="absolute" />.
        </p>
      )}
      {who.read_only && !may('switch') && !who.name && (
        <Notice
          title="This console is read-only"
          actions={<LinkButton href="/login">Sign in with a token</LinkButton>}
        >
          <p>
            Buttons that change something are off. Who signs in with a token may do what its role
            allows. The setting is <code>access</code> in the section <code>[console]</code> of
            nudged.toml.
          </p>
        </Notice>
      )}
      <ul class="rights">
        {RIGHTS.map(({ right, words }) => (
          <li key={right} class={may(right) ? 'right' : 'right right-off'}>
            <Icon name={may(right) ? 'check' : 'close'} />
            <span class="hidden">{may(right) ? 'You may: ' : 'You may not: '}</span>
            {words}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function whoWords({ name, role, login, owner }: Session): string {
  if (name) return `You are signed in with the token “${name}”, which has the role ${role}.`;
  if (login && owner)
    return 'You are signed in with the token of admin_token_file: its owner may do everything.';
  return (
    'You are here without a token: this address can be reached from this host alone, and whoever ' +
    'can log in on the host counts as its owner.'
  );
}

function Roles() {
  return (
    <Section title="Roles">
      <div class="roles-room" tabIndex={0} role="region" aria-label="Roles">
        <table class="roles">
          <thead>
            <tr>
              <th scope="col">Right</th>
              {ROLES.map((role) => (
                <th key={role} scope="col">
                  {role}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {RIGHTS.map(({ right, words, roles }) => (
              <tr key={right}>
                <th scope="row">{words}</th>
                {ROLES.map((role) => (
                  <td key={role}>
                    {roles.includes(role) ? (
                      <>
                        <Icon name="check" />
                        <span class="hidden">yes</span>
                      </>
                    ) : (
                      <span class="role-no">no</span>
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="access-note">
        The token of <code>admin_token_file</code> is nobody’s role: it may do everything, always,
        and stays when all others are revoked.
      </p>
    </Section>
  );
}
