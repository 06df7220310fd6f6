import type { PageProps } from '../../shell/pages';

export default function Popups({ params }: PageProps) {
  return <h1>Popups {params['id'] ?? params['user'] ?? ''}</h1>;
}
