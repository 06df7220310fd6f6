import type { PageProps } from '../../shell/pages';

export default function Login({ params }: PageProps) {
  return <h1>Login {params['id'] ?? params['user'] ?? ''}</h1>;
}
