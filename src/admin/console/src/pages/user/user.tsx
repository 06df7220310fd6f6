import type { PageProps } from '../../shell/pages';

export default function User({ params }: PageProps) {
  return <h1>User {params['id'] ?? params['user'] ?? ''}</h1>;
}
