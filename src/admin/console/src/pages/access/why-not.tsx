// Why a button is off: what is missing, beside it.
import './why-not.css';
import { type Right, session } from '../../api/session';
import { rolesWith } from './roles';

export function WhyNot({ right }: { right: Right }) {
  const who = session.value;
  const isReadOnly = who?.read_only && !who.name;
  return (
    <span class="why-not">
      {isReadOnly
        ? 'This console is read-only.'
        : `This needs the role ${rolesWith(right)}${who?.role ? `; yours is ${who.role}` : ''}.`}
    </span>
  );
}
