/** Who calls. */
export interface User {
  readonly kind: 'user';
  readonly userId: string;
  readonly email: string;
  readonly isSuperuser: boolean;
  /** I7: the only environment this call may touch; null before the user has one. */
  readonly envId: string | null;
  /** Teams of the active environment and the role in each. */
  readonly teams: Readonly<Record<string, 'owner' | 'member'>>;
}

export type Caller = User | { readonly kind: 'service' } | { readonly kind: 'nobody' };

/** What the pipelines service answers at its internal identity endpoint, and every service works with. */
export type Identify = (token: string) => Promise<User>;
